"""Rules of layers with a kernel."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import intriguing_tf as itf
from intriguing_tf import keras_graph
from intriguing_tf.lipschitz import bound
from intriguing_tf.lipschitz.steps import NoBoundError
from tests.lipschitz.small_networks import randomised, sequential, total


def test_a_separable_layer_is_bounded_as_one():
    keras.utils.set_random_seed(0)
    layer = layers.SeparableConv2D(16, 3, padding="same")
    joint = total(layer, shape=(12, 12, 8))
    parts = itf.lipschitz.depthwise_norm(
        layer.depthwise_kernel.numpy(), (12, 12), padding="same"
    ) * itf.lipschitz.dense_norm(layer.pointwise_kernel.numpy()[0, 0])
    assert joint < 0.97 * parts


def test_embeddings_are_refused_with_the_advice_to_take_the_part_above():
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(3, 2, name="table"), layers.Flatten()]
    )
    with pytest.raises(ValueError, match=r"table.*above"):
        bound(model)
    assert bound(keras_graph.above(model, "table")).total == 1.0


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


def test_an_einsum_whose_shape_keras_has_wrong_is_refused():
    model = sequential((2, 3), layers.EinsumDense("...x,xy->...y", (2, 4)))
    with pytest.raises(NoBoundError, match="does not fit its equation"):
        bound(model, verbose=False)


FIRST = {"data_format": "channels_first"}


@pytest.mark.slow
def test_convolutions_and_pooling_with_channels_first_are_as_with_channels_last():
    """A network, with folded normalization; TensorFlow runs one of the two on a processor only."""

    def network(**arguments):
        axis = 1 if arguments else -1
        x = keras.Input((3, 8, 9) if arguments else (8, 9, 3))
        y = layers.Conv2D(4, (3, 2), strides=2, padding="same", **arguments)(x)
        y = layers.BatchNormalization(axis=axis)(y)
        y = layers.ReLU()(y)
        y = layers.DepthwiseConv2D(2, **arguments)(y)
        y = layers.MaxPooling2D(2, 1, "same", **arguments)(y)
        y = layers.SeparableConv2D(5, 2, padding="same", **arguments)(y)
        y = layers.AveragePooling2D(2, 1, **arguments)(y)
        y = layers.Conv2DTranspose(2, 3, strides=2, **arguments)(y)
        y = layers.GroupNormalization(2, axis=axis, epsilon=0.1)(y)
        return randomised(keras.Model(x, layers.GlobalMaxPooling2D(**arguments)(y)))

    first, last = (bound(each, "product", verbose=False) for each in (network(**FIRST), network()))
    assert first.product == pytest.approx(last.product, rel=1e-6)
    assert [row.kind for row in first.rows] == [row.kind for row in last.rows]
    for ours, theirs in zip(first.rows, last.rows, strict=True):
        assert ours.bound == pytest.approx(theirs.bound, rel=1e-6), ours.layer
    joined = [bound(each, verbose=False).total for each in (network(**FIRST), network())]
    assert joined[1] * (1 - 1e-6) <= joined[0] <= first.product
