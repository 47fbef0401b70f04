"""What float32 computes lies within the errors of the evaluation in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf import layers as own
from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz import certified_radius
from intriguing_tf.lipschitz.evaluation import EvaluatedCall, Evaluator
from intriguing_tf.lipschitz.graph import calls_of
from intriguing_tf.lipschitz.margins import MarginBounds
from tests.lipschitz.small_networks import sequential

IMAGES = np.random.default_rng(0).normal(size=(4, 5, 4, 2)).astype("float32")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(
    "make",
    [
        lambda kind: layers.UpSampling2D(2, interpolation=kind),
        lambda kind: layers.Resizing(3, 7, interpolation=kind),
    ],
    ids=["up", "resized"],
)
def test_resampled_images_have_errors(make, interpolation):
    model = sequential((5, 4, 2), make(interpolation), layers.Flatten(), layers.Dense(3))
    found = Evaluator(float64_copy(model), single=True)(IMAGES)
    differences = np.abs(model(IMAGES).numpy() - found.logits)
    errors = found.errors(unit=2.0**-24, rounded=True)
    assert np.all(differences <= errors)
    assert errors.max() < 1e-3


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: x * -x * x,
        lambda x: x * ops.mean(x, axis=-1, keepdims=True),
        lambda x: x / (3.0 * x - 1.0),
        lambda x: x**-1.5,
        ops.expm1,
        ops.log10,
        ops.rsqrt,
        ops.square,
    ],
)
def test_what_only_a_domain_bounds_has_errors_there(function):
    x = keras.Input((2,))
    model = keras.Model(x, function((x + 1e4) - 1e4))  # some digits are lost before
    on_domain = MarginBounds(model, domain=(0.5, 1)).on_domain
    evaluate = Evaluator(float64_copy(model), True, on_domain)
    images = np.random.default_rng(0).uniform(0.5, 1, (50, 2))
    found = evaluate(images)
    single, double = found.errors(unit=2.0**-24, rounded=True), found.errors()
    assert np.all(np.abs(model(images).numpy() - found.logits) <= single)
    lost = np.abs(np.asarray(function(images)) - found.logits)
    assert np.all(lost <= double) and lost.max() > double.max() / 1e3


def test_what_is_computed_is_brought_into_the_domains_interval():
    x = keras.Input((2,))
    (call,) = calls_of(float64_copy(keras.Model(x, ops.log(x)))).calls
    (rule,) = MarginBounds(keras.Model(x, ops.log(x)), domain=(1, 2)).on_domain.values()
    evaluated = EvaluatedCall(call, rule.rule, rule.intervals)
    (found,) = evaluated.run([np.array([[-1.0, 1.5], [1.0, 9.0]])])
    np.testing.assert_allclose(found, np.log([[1, 1.5], [1, 2]]), atol=1e-5)


SUMS = {  # what adds up, the shape of its input, and how many products a number of the output has
    "dense": (layers.Dense(2), (30,), 30),
    "convolution": (layers.Conv1D(2, 5), (9, 6), 30),
    "groups": (layers.Conv2D(4, 3, groups=2), (4, 4, 6), 27),
    "grouped": (own.GroupedConv2D(4, 3, groups=2), (4, 4, 6), 27),
    "transposed": (layers.Conv1DTranspose(2, 5), (9, 6), 30),
    "depthwise": (layers.DepthwiseConv1D(15), (20, 3), 15),
    "separable": (layers.SeparableConv1D(2, 5, depth_multiplier=2), (9, 6), 5 + 12),
    "untied": (own.LocallyConnected2D(2, 3), (4, 4, 3), 27),
    "einsum": (layers.EinsumDense("nab,bc->nc", 2), (20, 3), 60),
    "einsum of all": (layers.EinsumDense("nab,ab->n", ()), (8, 9), 72),
    "einsum with free indices": (layers.EinsumDense("nabc,bde->nde", (2, 2)), (4, 5, 6), 120),
    "einsum with shared indices": (layers.EinsumDense("nabc,bcd->nbd", (5, 2)), (4, 5, 6), 24),
    "einsum of rows": (layers.EinsumDense("...ab,bc->...c", 2), (3, 8, 9), 72),
    "pooling": (layers.AveragePooling2D(3), (6, 6, 1), 9),
    "ceil pooling": (own.CeilAveragePooling2D(3), (6, 6, 1), 9),
    "global pooling": (layers.GlobalAveragePooling2D(), (6, 6, 1), 36),
    "sum": (lambda x: ops.sum(x, (1, 2)), (6, 5), 30),
    "mean": (lambda x: ops.mean(x, (1, 2)), (6, 5), 30),
    "cumulated": (lambda x: ops.cumsum(x, axis=1), (30,), 30),
    "trace": (lambda x: ops.trace(x, axis1=1, axis2=2), (8, 8), 8),
    "norm": (lambda x: ops.norm(x, 1, axis=1), (30,), 30),
    "matrix": (lambda x: ops.matmul(x, np.ones((30, 2))), (30,), 30),
    "dot": (lambda x: ops.dot(x, np.ones((30, 2))), (4, 30), 30),
}


@pytest.mark.parametrize("name", SUMS)
def test_every_product_of_a_sum_is_rounded(name):
    """Sums of n products may err by n units of what they add up, in an unlucky order."""
    layer, shape, products = SUMS[name]
    x = keras.Input(shape, dtype="float64")
    if isinstance(layer, layers.Layer):
        layer = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
    model = keras.Model(x, layer(x))
    model.set_weights([np.ones(weight.shape) for weight in model.weights])
    size = 2.0**53 * np.ones((1, *shape))
    errors = Evaluator(model, single=False)(size).errors()
    whole = model(size).numpy().reshape(1, -1)
    assert errors.max() >= products * 2.0**-53 * whole.max()


@pytest.mark.parametrize("equation", ["nab,bc->nc", "nab,abc->nc"])
def test_ones_that_a_large_number_swallows_decide_nothing(equation):
    """(999, 500) and an order of adding up that finds (0, 500)."""
    rows = 1001
    layer = layers.EinsumDense(equation, output_shape=2)
    model = keras.Sequential([keras.Input((rows, 2)), layer])
    layer.set_weights([np.eye(2) * np.ones(layer.kernel.shape)])
    image = np.zeros((1, rows, 2), "float32")
    image[0, :, 0] = [2.0**53, *[1.0] * (rows - 2), -(2.0**53)]
    image[0, 1, 1] = 500
    assert certified_radius(model, image) == 0


@pytest.mark.parametrize("size, overflows", [(2e38, True), (2e20, False)])
def test_products_that_cancel_may_overflow_in_another_order(size, overflows):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.set_weights([size * np.array([[1], [-1], [1], [-1]]), np.array([1e27])])
    errors = Evaluator(float64_copy(model), single=True)(np.ones((1, 4))).errors()
    assert np.isinf(errors).all() == overflows


@pytest.mark.parametrize("size, overflows", [(1e20, True), (1e10, False)])
def test_a_product_of_three_may_overflow_before_the_last(size, overflows):
    x = keras.Input((2,))
    model = keras.Model(x, layers.Multiply()([x, x, 1e-35 * x]))
    evaluate = Evaluator(float64_copy(model), True, MarginBounds(model, domain=(0, 2e20)).on_domain)
    assert np.isinf(evaluate(np.full((1, 2), size)).errors()).all() == overflows
