"""Rules of layers with a kernel."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import intriguing_tf as itf
from intriguing_tf.lipschitz import bound
from tests.lipschitz.small_networks import total


def test_a_separable_layer_is_bounded_as_one():
    keras.utils.set_random_seed(0)
    layer = layers.SeparableConv2D(16, 3, padding="same")
    joint = total(layer, shape=(12, 12, 8))
    parts = itf.lipschitz.depthwise_norm(
        layer.depthwise_kernel.numpy(), (12, 12), padding="same"
    ) * itf.lipschitz.dense_norm(layer.pointwise_kernel.numpy()[0, 0])
    assert joint < 0.97 * parts


def test_embedding_is_the_steepest_step_between_neighbours():
    layer = layers.Embedding(3, 2)
    layer.build()
    layer.embeddings.assign([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
    assert bound(model).total == pytest.approx(5.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_layer(bad):
    layer = layers.Dense(3, name="broken")
    model = keras.Sequential([keras.Input((4,)), layer])
    weights = np.ones((4, 3))
    weights[1, 1] = bad
    layer.kernel.assign(weights)
    with pytest.raises(ValueError, match=r"broken.*finite"):
        bound(model)


def test_an_unknown_size_is_refused_only_where_it_matters():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3, name="first")])
    with pytest.raises(ValueError, match=r"first.*size"):
        bound(model)
    pointwise = keras.Sequential([keras.Input((None, None, 3)), layers.Dense(4), layers.ReLU()])
    assert bound(pointwise).total > 0
