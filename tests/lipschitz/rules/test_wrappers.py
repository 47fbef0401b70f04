"""Rules of wrappers around a layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import intriguing_tf as itf
from tests.lipschitz.small_networks import total


def test_spectral_normalization_is_measured_not_believed():
    layer = layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same", use_bias=False))
    layer.build((None, 6, 6, 4))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 4))
    layer.layer.kernel.assign(kernel)
    measured = itf.lipschitz.conv_norm(kernel.astype(np.float32), (6, 6), padding="same")
    assert total(layer) == pytest.approx(measured, rel=1e-9)
    assert measured > 1.5


def test_time_distributed_is_the_layer_itself():
    keras.utils.set_random_seed(0)
    inner = layers.Dense(5)
    distributed = total(layers.TimeDistributed(inner), shape=(7, 4))
    assert distributed == pytest.approx(itf.lipschitz.dense_norm(inner.kernel.numpy()), rel=1e-9)


@pytest.mark.slow
def test_spectral_normalization_is_certified_as_the_layer_within():
    inner = layers.Dense(3, "softmax")
    wrapped = keras.Sequential([keras.Input((4,)), layers.SpectralNormalization(inner)])
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(3, "softmax")])
    plain.set_weights(inner.get_weights())
    images = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    radii = itf.lipschitz.certified_radius(wrapped, images, verbose=False)
    assert radii.min() > 0
    np.testing.assert_allclose(
        radii, itf.lipschitz.certified_radius(plain, images, verbose=False), rtol=1e-9
    )
