"""Differentiable bounds of kernels against the rigorous norms and against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from intriguing_tf.lipschitz.differentiable import (
    PowerIteration,
    chain_to_logits,
    constant_bound,
    convolution_bound,
    dense_bound,
)
from intriguing_tf.lipschitz.geometry import Geometry


def random_kernel(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (1, 7), (40, 1)], ids=str)
def test_dense_bound_is_the_spectral_norm(shape):
    kernel = random_kernel(*shape)
    exact = np.linalg.svd(kernel, compute_uv=False)[0]
    assert exact <= dense_bound(tf.constant(kernel)).numpy() * (1 + 1e-12)
    assert dense_bound(tf.constant(kernel)).numpy() <= exact * 1.003


def test_equal_singular_values_are_the_worst_case():
    """Schatten norm 2 (2^s + 1) of the unit matrix, s = 9 and 5."""
    identity = tf.eye(100, dtype=tf.float64)
    assert dense_bound(identity).numpy() == pytest.approx(100 ** (1 / 1026), rel=1e-9)
    assert dense_bound(identity, 5).numpy() == pytest.approx(100 ** (1 / 66), rel=1e-9)


def test_dense_bound_follows_its_gradient():
    kernel = tf.Variable(random_kernel(12, 8))
    with tf.GradientTape() as tape:
        bound = dense_bound(kernel)
    gradient = tape.gradient(bound, kernel).numpy()
    u, _, vt = np.linalg.svd(kernel.numpy())
    np.testing.assert_allclose(gradient, np.outer(u[:, 0], vt[0]), atol=0.02)
    direction = random_kernel(12, 8, seed=1)
    ahead, behind = (dense_bound(kernel + e * direction) for e in (1e-6, -1e-6))
    assert np.sum(gradient * direction) == pytest.approx((ahead - behind).numpy() / 2e-6, rel=1e-5)


CONVOLUTIONS = [
    ((3, 3, 4, 6), Geometry((12, 12), padding="same")),
    ((5, 5, 2, 3), Geometry((11, 14), strides=2, padding="same")),
    ((3, 2, 5, 2), Geometry((9, 9), strides=(2, 1))),
    ((3, 3, 2, 2), Geometry((12, 12), padding="same", dilation_rate=2)),
    ((3, 3, 3, 8), Geometry((10, 10), padding="same", groups=2)),
    ((3, 3, 5, 2), Geometry((10, 10), strides=2, padding="same", depthwise=True)),
    ((7, 3, 4), Geometry((20,), padding="causal")),
    ((5, 5, 1, 32), Geometry((28, 28))),
    ((5, 5, 2, 3), Geometry((2, 2), padding="same")),  # most taps see only padding
]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "geometry"), CONVOLUTIONS, ids=str)
@pytest.mark.drawn(6)
def test_convolution_bound_is_above_the_layer_and_close(shape, geometry):
    kernel = random_kernel(*shape)
    rank = len(geometry.spatial_shape)
    options = {"padding": geometry.padding, "dilation_rate": geometry.dilation_rate}
    if geometry.depthwise:
        layer = keras.layers.DepthwiseConv2D(
            shape[:2], geometry.strides, depth_multiplier=shape[-1], use_bias=False, **options
        )
        inputs = shape[2]
    else:
        layer = (keras.layers.Conv1D, keras.layers.Conv2D)[rank - 1](
            shape[-1],
            shape[:rank],
            strides=geometry.strides,
            groups=geometry.groups,
            use_bias=False,
            **options,
        )
        inputs = shape[-2] * geometry.groups
    size = (*geometry.spatial_shape, inputs)
    layer.dtype_policy = "float64"
    layer.build((None, *size))
    layer.set_weights([kernel])
    matrix = layer(np.eye(np.prod(size)).reshape(-1, *size)).numpy().reshape(np.prod(size), -1)
    exact = np.linalg.svd(matrix, compute_uv=False)[0]
    bound = convolution_bound(tf.constant(kernel), geometry).numpy()
    assert exact <= bound * (1 + 1e-12)
    assert bound <= (1.25 if min(geometry.spatial_shape) > 4 else 1.6) * exact


def test_convolution_bound_has_a_gradient():
    kernel = tf.Variable(random_kernel(3, 3, 2, 4))
    geometry = Geometry((8, 8), strides=2, padding="same")
    with tf.GradientTape() as tape:
        bound = convolution_bound(kernel, geometry)
    gradient = tape.gradient(bound, kernel).numpy()
    # It is homogeneous of degree one: Euler's theorem.
    assert np.sum(gradient * kernel.numpy()) == pytest.approx(bound.numpy(), rel=1e-6)
    direction = random_kernel(3, 3, 2, 4, seed=2)
    ahead, behind = (convolution_bound(kernel + e * direction, geometry) for e in (1e-6, -1e-6))
    assert np.sum(gradient * direction) == pytest.approx((ahead - behind).numpy() / 2e-6, rel=1e-5)


def test_zero_kernels_have_no_norm_and_finite_gradients():
    for bound, shape in (
        (dense_bound, (5, 4)),
        (lambda k: convolution_bound(k, Geometry((6, 6))), (3, 3, 2, 2)),
        (lambda k: convolution_bound(k, Geometry((6, 6))), (3, 3, 1, 2)),
    ):
        kernel = tf.Variable(tf.zeros(shape))
        with tf.GradientTape() as tape:
            value = bound(kernel)
        assert value.numpy() < 1e-6
        assert np.isfinite(tape.gradient(value, kernel).numpy()).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e20, 1e30])
def test_norms_of_extreme_kernels_are_those_of_ordinary_ones_times_the_factor(scale):
    for bound, shape in (
        (dense_bound, (5, 4)),
        (lambda k: convolution_bound(k, Geometry((6, 6))), (3, 3, 2, 2)),
        (lambda k: convolution_bound(k, Geometry((6, 6))), (3, 3, 1, 2)),
    ):
        ordinary, extreme = (
            tf.Variable(tf.cast(factor * random_kernel(*shape), tf.float32))
            for factor in (1.0, scale)
        )
        with tf.GradientTape(persistent=True) as tape:
            values = bound(ordinary), bound(extreme)
        assert float(values[1]) / scale == pytest.approx(float(values[0]), rel=1e-5)
        gradients = tape.gradient(values[0], ordinary), tape.gradient(values[1], extreme)
        np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_power_iterations_of_extreme_kernels_reach_their_norm(scale):
    kernel = scale * random_kernel(6, 4)
    initializer = keras.initializers.Constant(kernel)
    layer = keras.layers.Dense(4, use_bias=False, kernel_initializer=initializer)
    exact = np.linalg.norm(kernel / scale, 2)
    assert float(powered(layer, (6,)).norm()) / scale == pytest.approx(exact, rel=1e-3)


def powered(layer, shape, iterations=300):
    layer.build((None, *shape))
    power = PowerIteration(layer, (None, *shape), keras.layers.Layer().add_weight)
    run = tf.function(power.iterate)
    for _ in range(iterations):
        run()
    return power


LINEAR_LAYERS = {
    "dense": (keras.layers.Dense(4), (6,)),
    "conv": (keras.layers.Conv2D(3, 3, 2, "same", use_bias=False), (7, 6, 2)),
    "dilated": (keras.layers.Conv2D(3, 2, dilation_rate=2, use_bias=False), (6, 6, 2)),
    "causal": (keras.layers.Conv1D(3, 3, padding="causal", use_bias=False), (6, 2)),
    "depthwise": (keras.layers.DepthwiseConv2D(3, 2, "same", use_bias=False), (5, 5, 2)),
}


@pytest.mark.parametrize("name", LINEAR_LAYERS)
def test_power_iterations_reach_the_norm_of_the_layer_itself(name):
    layer, shape = LINEAR_LAYERS[name]
    power = powered(layer, shape)
    size = int(np.prod(shape))
    matrix = layer(np.eye(size, dtype=np.float32).reshape(-1, *shape)).numpy().reshape(size, -1)
    exact = np.linalg.norm(matrix, 2)
    with tf.GradientTape() as tape:
        norm = power.norm()
    assert float(norm) == pytest.approx(exact, rel=1e-3)
    assert float(norm) <= exact * (1 + 1e-5)
    # It is homogeneous of degree one: Euler's theorem.
    gradient = tape.gradient(norm, layer.kernel.value)
    assert float(tf.reduce_sum(gradient * layer.kernel.value)) == pytest.approx(exact, rel=1e-3)


def test_power_iterations_survive_a_zero_kernel():
    layer = keras.layers.Dense(3, kernel_initializer="zeros")
    power = powered(layer, (4,), 1)
    assert float(power.norm()) < 1e-6
    layer.kernel.assign(np.eye(4, 3))
    power.iterate()
    assert float(power.norm()) > 0.5


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (keras.layers.Dropout(0.5), (4,), "Dropout"),
        (keras.layers.Conv1D(2, 2), (None, 2), "fixed size"),
    ],
)
def test_power_iterations_need_a_known_layer_and_size(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        PowerIteration(layer, (None, *shape), keras.layers.Layer().add_weight)


def test_a_chain_ends_at_its_logits():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, "sigmoid", name="below"),
            keras.layers.Dense(3, "softmax", name="head"),
        ]
    )
    chain = chain_to_logits(model)
    assert chain.head.name == "head"
    assert [(layer.name, shape) for layer, shape in chain.below.items()] == [("below", (None, 4))]
    assert chain.constant == 0.25


@pytest.mark.parametrize(
    "layer, shape",
    [
        (layers.TimeDistributed(layers.Dense(2)), (3, 2)),
        (layers.EinsumDense("abc,cd->abd", (3, 2)), (3, 2)),
        (layers.LayerNormalization(), (4,)),
        (layers.BatchNormalization(), (4,)),
        (layers.BatchNormalization(scale=False, center=False), (4,)),
        (layers.PReLU(), (4,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_training_changes_are_no_constants(layer, shape):
    x = keras.Input(shape)
    with pytest.raises(ValueError, match="changes in training"):
        constant_bound(keras.Model(x, layers.Dense(2)(layers.Flatten()(layer(x)))))


def test_constants_are_what_has_no_weights_that_train():
    x = keras.Input((4,))
    y = layers.Normalization(mean=1.0, variance=4.0)(x)
    y = layers.Dense(3, "sigmoid")(layers.Dropout(0.5)(y))
    assert constant_bound(keras.Model(x, layers.ReLU()(y))) == pytest.approx(1 / 8)
