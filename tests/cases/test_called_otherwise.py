"""What Keras computes otherwise than a layer's rule expects: refused by name, or counted."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from intriguing_tf.keras_graph import above
from intriguing_tf.lipschitz import (
    Certifier,
    LayerBound,
    NoBoundError,
    bound,
    certified_radius,
    register,
)


def model_of(function, *shape: int, dtype: str = "float32") -> keras.Model:
    x = keras.Input(shape, dtype=dtype)
    return keras.Model(x, function(x))


def linear(kernel, bias=None, dtype: str = "float32", activation=None) -> keras.Model:
    kernel = np.asarray(kernel, float)
    dense = layers.Dense(kernel.shape[1], activation, dtype=dtype)
    model = keras.Sequential([keras.Input((len(kernel),), dtype=dtype), dense])
    dense.set_weights([kernel, np.zeros(kernel.shape[1]) if bias is None else np.array(bias)])
    return model


# --- the batch


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.roll(x, 2, axis=0),
        lambda x: ops.roll(x, 8),
        lambda x: ops.take(x, [0, 1], axis=0),
        lambda x: ops.repeat(x, [1, 1], axis=0),
        lambda x: ops.flip(x),
        lambda x: x[:2, :],
        lambda x: x[0:2, ::-1],
        lambda x: x[..., 0:2, :],
    ],
    ids=["roll", "roll flat", "take", "repeat", "flip", "slice", "slices", "after an ellipsis"],
)
def test_what_is_no_change_for_two_examples_is_still_refused(function):
    with pytest.raises(NoBoundError, match="batch"):
        bound(model_of(function, 4))


@pytest.mark.parametrize("function", [lambda x: x[:, ::-1], lambda x: x[..., 1:]])
def test_slices_of_each_example_are_bounded(function):
    assert bound(model_of(function, 4)).total == 1.0


# --- inputs


@pytest.mark.parametrize(
    "layer", [layers.Add(), layers.Maximum(), layers.Average(), layers.Concatenate()]
)
def test_arrays_among_a_layers_inputs_are_refused(layer):
    """One of [1, 4] would spread a single number over four."""
    with pytest.raises(NoBoundError, match="array"):
        bound(model_of(lambda x: layer([x, tf.ones((1, 4))]), 1))


@pytest.mark.parametrize(
    "summed", [lambda pair: layers.Add()(pair), lambda pair: pair[0] + pair[1]]
)
def test_models_within_are_bounded_for_the_sizes_they_were_built_for(summed):
    pair = [keras.Input((4, 1)), keras.Input((4, 1))]
    inner = keras.Model(pair, summed(pair))
    x = keras.Input((4, 1))
    wide = layers.Concatenate()([x, x, x])
    try:
        model = keras.Model(x, inner([x, wide]))
    except ValueError as error:
        pytest.skip(f"Keras refuses it: {error}")
    with pytest.raises(NoBoundError, match="sizes"):
        bound(model)


def test_models_within_that_cast_to_integers_are_refused():
    inner_input = keras.Input((4,), dtype="int32")
    try:
        inner = keras.Model(inner_input, inner_input)
    except ValueError as error:  # older releases
        pytest.skip(f"Keras refuses it: {error}")
    with pytest.raises(NoBoundError, match="int32"):
        bound(model_of(lambda x: inner(x), 4))


def test_embeddings_are_certified_from_their_output_on():
    words = keras.Input((4,), dtype="int32")
    vectors = layers.Embedding(5, 2, name="embedding")(words)
    model = keras.Model(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(vectors)))
    with pytest.raises(NoBoundError, match="above"):
        bound(model)
    part = above(model, "embedding")
    points = np.random.default_rng(0).normal(size=(2, 4, 2))
    kernel = part.layers[-1].kernel.numpy().astype(float)
    exact = np.abs(np.diff(part.predict(points, verbose=0), axis=1)).ravel()
    exact /= np.linalg.norm(kernel[:, 0] - kernel[:, 1]) / 2
    assert certified_radius(part, points) == pytest.approx(exact, rel=1e-4, abs=1e-6)


def test_named_inputs_and_outputs_are_refused():
    x = keras.Input((3,), name="image")
    with pytest.raises(ValueError, match="one input"):
        certified_radius(keras.Model({"image": x}, layers.Dense(2)(x)), np.eye(3))
    with pytest.raises(ValueError, match="one output"):
        certified_radius(keras.Model(x, {"logits": layers.Dense(2)(x)}), np.eye(3))


def test_one_input_and_output_may_stand_in_lists():
    x = keras.Input((3,))
    dense = layers.Dense(2)
    y = dense(x)
    plain, listed = keras.Model(x, y), keras.Model([x], [y])
    points = np.eye(3)
    np.testing.assert_array_equal(certified_radius(listed, points), certified_radius(plain, points))


# --- what was changed after the model was built


def test_methods_that_were_replaced_are_refused():
    convolution = layers.Conv2D(1, 1)
    model = model_of(convolution, 4, 4, 1)
    convolution.convolution_op = lambda inputs, kernel: 100 * inputs
    with pytest.raises(NoBoundError, match="convolution_op"):
        bound(model)


def test_models_within_wrappers_are_no_replaced_methods():
    """Keras keeps a model's loss under the name of a method."""
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    inner.compile(loss="mse")
    assert bound(model_of(layers.TimeDistributed(inner), 5, 3)).total > 0


def test_attributes_that_change_the_shape_are_refused():
    """With strides of 4 the average is over 4 pixels, not over the graph's 64."""
    convolution = layers.Conv2D(1, 1)
    model = model_of(lambda x: layers.GlobalAveragePooling2D()(convolution(x)), 8, 8, 1)
    convolution.strides = (4, 4)
    with pytest.raises(NoBoundError, match="changed after"):
        bound(model)


def test_a_certifier_refuses_weights_that_were_changed():
    model = linear(np.eye(2))
    certifier, x = Certifier(model), np.array([[3.0, 0.0]])
    assert certifier.radius(x)[0] == pytest.approx(3 / math.sqrt(2), rel=1e-6)
    model.layers[0].kernel.assign([[1.0, 0.0], [100.0, -100.0]])  # the same logits at x
    with pytest.raises(ValueError, match="weights"):
        certifier.radius(x)
    assert Certifier(model).radius(x)[0] < 0.03


# --- numbers that are not finite, or nearly 0


def test_biases_and_statistics_must_be_finite():
    with pytest.raises(ValueError, match="bias"):
        bound(linear(np.eye(2), [np.inf, 0.0]))
    norm = layers.BatchNormalization()
    model = model_of(norm, 3)
    norm.moving_mean.assign([0.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="moving_mean"):
        bound(model)


@pytest.mark.parametrize("function", [lambda x: x + np.inf, lambda x: ops.maximum(x, np.nan)])
def test_constants_must_be_numbers(function):
    with pytest.raises(ValueError, match=r"finite|NaN"):
        bound(model_of(function, 4))


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
def test_an_epsilon_that_float32_rounds_is_counted(kind):
    epsilon = 1e-30 * (1 - 2**-25)  # rounds up or down
    rounded = float(np.float32(epsilon))
    found = bound(model_of(kind(epsilon=epsilon), 4)).total
    assert found >= 1 / math.sqrt(min(epsilon, rounded))
    for too_small in (1.1e-38, 2e-45, 1e-46):  # processors take them for 0, and divide by it
        with pytest.raises(NoBoundError, match="epsilon"):
            bound(model_of(kind(epsilon=too_small), 4))


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize(
    "scales", [(1e-200, 1e-200, 1e300, 1e100), (1e170, 1e-170), (1e-170, 1e170)], ids=str
)
def test_products_that_underflow_are_counted(scales, activation):
    """The product of the layers is I, and 0 in floating point, or its squares are."""
    x = y = keras.Input((2,), dtype="float64")
    denses = [layers.Dense(2, activation, use_bias=False, dtype="float64") for _ in scales]
    for dense in denses:
        y = dense(y)
    model = keras.Model(x, y)
    for dense, scale in zip(denses, scales, strict=True):
        dense.set_weights([scale * np.eye(2)])
    assert bound(model).total >= 1 - 1e-9
    assert certified_radius(model, np.array([[1.0, 0.0]]))[0] <= 1 / math.sqrt(2)


@pytest.mark.slow
def test_a_margin_is_cut_by_what_underflowed_on_its_way():
    """The first layers give 0 in floating point, and what is 10 in the exact function."""
    x = keras.Input((1,), dtype="float64")
    denses = [layers.Dense(units, dtype="float64") for units in (1, 1, 1, 2)]
    y = x
    for dense in denses:
        y = dense(y)
    model = keras.Model(x, y)
    kernels = ([[1e-200]], [[1e-200]], [[1e300]], [[-1e101, 0.0]])
    biases = ([0.0], [0.0], [0.0], [1.0, 0.0])
    for dense, kernel, bias in zip(denses, kernels, biases, strict=True):
        dense.set_weights([np.array(kernel), np.array(bias)])
    assert model.predict(np.ones((1, 1)), verbose=0).argmax() == 0  # exactly: (−9, 0)
    assert certified_radius(model, np.ones((1, 1)))[0] == 0.0


def test_images_beyond_float32_have_radius_zero():
    x = np.array([[1e39, 0.0], [1.0, 0.0]])
    assert certified_radius(linear(np.eye(2)), x) == pytest.approx([0.0, 1 / math.sqrt(2)])


@pytest.mark.slow
def test_images_of_more_digits_than_float64_are_taken():
    x = np.array([[1.0, 0.0]])
    radius = certified_radius(linear(np.eye(2)), x)
    np.testing.assert_array_equal(
        certified_radius(linear(np.eye(2)), x.astype("longdouble")), radius
    )


# --- heads


@pytest.mark.parametrize("activation", ["hard_sigmoid", "sparse_sigmoid"])
def test_one_unit_that_is_neither_a_logit_nor_a_sigmoid_is_refused(activation):
    with pytest.raises(ValueError, match="sigmoid"):
        certified_radius(linear([[1.0]], activation=activation), np.array([[0.5]]))


# --- layers that differ in training, in float64, or are one's own


@pytest.mark.slow
def test_layers_that_are_random_by_default_do_nothing():
    def build(first):
        x = keras.Input((8, 8, 1))
        y = x
        for layer in first:
            y = layer(y)
        dense = layers.Dense(2)
        model = keras.Model(x, dense(layers.Flatten()(y)))
        dense.set_weights([np.linspace(-1, 1, 128).reshape(64, 2) ** 3, np.zeros(2)])
        return model

    random = [layers.RandomFlip(), layers.RandomZoom(0.5), layers.RandomContrast(0.9)]
    images = 300 * np.random.default_rng(0).normal(size=(2, 8, 8, 1))
    plain = certified_radius(build([]), images)
    assert plain.min() > 0
    np.testing.assert_allclose(certified_radius(build(random), images), plain, rtol=1e-6)


def test_what_tensorflow_does_not_compute_in_float64_has_no_radius():
    pooling = model_of(lambda x: layers.Flatten()(layers.MaxPooling3D(2)(x)), 4, 4, 2, 1)
    assert bound(pooling).total == 1.0
    with pytest.raises(NoBoundError, match=r"MaxPooling3D.*rounding"):
        certified_radius(pooling, np.ones((1, 4, 4, 2, 1)))


@keras.saving.register_keras_serializable("cases")
class Times(layers.Layer):
    """Has a kernel, and no activation."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), initializer="identity")

    def call(self, x):
        return x @ self.kernel


@keras.saving.register_keras_serializable("cases")
class Sum(layers.Layer):
    def call(self, pair):
        return pair[0] + pair[1]


def test_layers_of_ones_own_may_have_a_kernel():
    register(Times)(lambda layer, shapes: LayerBound(1.0, rounding=8.0))
    x = keras.Input((2,))
    radius = certified_radius(keras.Model(x, Times()(x)), np.array([[3.0, 0.0]]))[0]
    assert radius == pytest.approx(3 / math.sqrt(2), rel=1e-6)


@pytest.mark.slow
def test_rounding_of_layers_of_ones_own_counts_each_input():
    """Two branches of 2⁵³ + x: half an ulp, 1, is lost in each, and the stated rule says so."""
    register(Sum)(lambda layer, shapes: LayerBound(1.0, combine="sum", rounding=1.0))
    x = keras.Input((2,), dtype="float64")
    first, second = (layers.Dense(2, dtype="float64") for _ in range(2))
    model = keras.Model(x, Sum(dtype="float64")([first(x), second(x)]))
    first.set_weights([np.eye(2), np.full(2, 2.0**53)])
    second.set_weights([np.eye(2), np.full(2, -(2.0**53))])
    assert certified_radius(model, np.array([[1.9, 0.0]]))[0] == 0.0
    assert certified_radius(model, np.array([[1e6, 0.0]]))[0] > 1.0
