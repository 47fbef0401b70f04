"""Rules of layers with a kernel."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import intriguing_tf as itf
from intriguing_tf import keras_graph
from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz import bound
from intriguing_tf.lipschitz.evaluation import Evaluator
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


def with_lora(layer, alpha, kernel, first, second, shape=(1,), **last):
    """A model of one layer, whose kernel is W + alpha A B: of rank 1."""
    model = keras.Sequential([keras.Input(shape), layer])
    layer.enable_lora(1, lora_alpha=alpha)
    values = {"_kernel": kernel, "lora_kernel_a": first, "lora_kernel_b": second, **last}
    for name, value in values.items():
        variable = getattr(layer, name)
        variable.assign(np.reshape(value, variable.shape))
    return model


def test_lora_has_its_alpha_on_a_domain_and_in_radii():
    """sigmoid(10 x − 8), of which a copy without the alpha makes sigmoid(x − 8)."""
    dense = layers.Dense(1, activation="sigmoid")
    model = with_lora(dense, 10.0, 0.0, 1.0, 1.0, bias=-8.0)
    assert itf.lipschitz.bound(model, domain=(0, 1), verbose=False).total >= 2.5
    radius = itf.lipschitz.certified_radius(model, np.array([[0.3]]), verbose=False)
    np.testing.assert_allclose(radius, 0.5, rtol=1e-4)


@pytest.mark.parametrize(
    "layer", [layers.Dense(1, use_bias=False), layers.EinsumDense("ab,bc->ac", 1)]
)
def test_what_float32_loses_of_a_kernel_with_lora_counts(layer):
    """W + A B is −2⁻²⁶, and 0 in float32."""
    near = 1 + 2**-13
    model = with_lora(layer, 1.0, 1 + 2**-12, near, -near)
    assert 2**-26 <= itf.lipschitz.bound(model, verbose=False).total < 2**-19


def test_a_negative_alpha_makes_no_negative_error():
    layer = layers.Conv1D(1, 2, use_bias=False)
    model = with_lora(layer, -1.0, [1, 1], [1, 1], 1, shape=(2, 1))
    copy = float64_copy(model)
    (call,) = Evaluator(copy, single=True).calls
    ones = tf.ones((1, 2, 1), tf.float64)
    (found,) = call.errors([ones], [ones], [ones], 0.0)
    assert found.numpy() >= 4
