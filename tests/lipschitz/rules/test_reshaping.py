"""Interpolation: the matrices of its axes, and what it takes to read them."""

import keras
import numpy as np
import pytest
from keras import layers

from intriguing_tf.lipschitz import bound
from intriguing_tf.lipschitz.rules.reshaping import interpolation_matrices


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("kind", ["resizing", "up-sampling"])
def test_the_matrices_of_both_axes_are_the_layer(kind, interpolation):
    layer = layers.UpSampling2D((2, 3), interpolation=interpolation)
    if kind == "resizing":
        layer = layers.Resizing(3, 7, interpolation=interpolation)
    model = keras.Sequential([keras.Input((5, 6, 2)), layer])
    images = np.random.default_rng(0).normal(size=(4, 5, 6, 2)).astype("float32")
    rows, columns = interpolation_matrices(layer, (None, 5, 6, 2))
    expected = np.einsum("ai,bj,nijc->nabc", rows, columns, images)
    np.testing.assert_allclose(model(images), expected, atol=1e-5)
    product = np.linalg.norm(rows, 2) * np.linalg.norm(columns, 2)
    assert product <= bound(model).total <= 1.0001 * product


def test_photographs_of_a_camera_take_little(monkeypatch):
    taken, call = [], layers.Resizing.call

    def counting(self, images, *arguments, **keywords):
        taken.append(np.size(images))
        return call(self, images, *arguments, **keywords)

    model = keras.Sequential([keras.Input((1080, 1920, 3)), layers.Resizing(64, 96)])
    monkeypatch.setattr(layers.Resizing, "call", counting)
    rows, columns = interpolation_matrices(model.layers[0], (None, 1080, 1920, 3))
    assert rows.shape == (64, 1080) and columns.shape == (96, 1920)
    assert max(taken) < 200_000 < 1080 * 1920
