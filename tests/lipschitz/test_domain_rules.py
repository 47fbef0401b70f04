"""Rules that hold on a domain only, against what the functions do there."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf.lipschitz import NoBoundError, bound, certified_radius


def total(function, domain, shape=(3,)) -> float:
    x = keras.Input(shape)
    return bound(keras.Model(x, function(x)), domain=domain).total


@pytest.mark.parametrize(
    "function, domain, steepest",
    [
        (ops.square, (-3, 2), 6.0),
        (ops.exp, (-1, 1), np.e),
        (layers.Activation("exponential"), (-1, 1), np.e),
        (ops.sqrt, (0.25, 4), 1.0),
        (ops.log, (0.5, 4), 2.0),
        (ops.reciprocal, (0.5, 4), 4.0),
        (lambda x: x * x, (-3, 2), 6.0),
        (lambda x: layers.Multiply()([x, x, x]), (-3, 2), 27.0),
        (lambda x: x / (x + 1), (0, 1), 2.0),  # 1/1 + 1/1², and no better
    ],
    ids=[
        "square",
        "exp",
        "exponential",
        "sqrt",
        "log",
        "reciprocal",
        "product",
        "cube",
        "quotient",
    ],
)
def test_the_steepest_place_of_the_domain_counts(function, domain, steepest):
    assert total(function, domain) == pytest.approx(steepest, rel=1e-4)
    with pytest.raises(NoBoundError, match=r"domain=\(low, high\)"):
        total(function, None)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.power(x, x),
        lambda x: ops.exp(ops.cast(x, "float16")),
        layers.TimeDistributed(layers.Activation("exponential")),
        ops.cumprod,
    ],
    ids=["two tensors", "float16", "in a wrapper", "no rule"],
)
@pytest.mark.parametrize("domain", [None, (0.5, 1)])
def test_no_domain_is_advised_where_it_would_not_help(function, domain):
    with pytest.raises(NoBoundError) as error:
        total(function, domain, (2, 3))
    assert "domain=" not in str(error.value)


def test_radii_are_advised_to_take_a_domain():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(2)(ops.square(x)))
    with pytest.raises(NoBoundError, match=r"give a `domain=\(low, high\)`"):
        certified_radius(model, np.full((1, 3), 0.75))


def test_radii_of_a_square_are_the_margin_over_its_steepest_slope():
    x = keras.Input((1,))
    model = keras.Model(x, ops.square(x) - 0.25)
    points = np.linspace(0, 1, 5)
    radii = certified_radius(model, points[:, None], domain=(0, 1))
    np.testing.assert_allclose(radii, np.abs(points**2 - 0.25) / 2, rtol=1e-5)
    assert (radii <= np.abs(points - 0.5)).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x * x,
        lambda x: x**3,
        lambda x: x / (x + 1.5),
        lambda x: layers.Multiply()([x, x + 2.0, ops.tanh(x)]),
        lambda x: layers.Multiply()([x, layers.Softmax()(x)]),
        lambda x: ops.sqrt(x + 1.5),
        lambda x: ops.log1p(ops.square(x)),
        lambda x: (x + 1.5) ** -1.3,
        layers.Activation("exponential"),
    ],
)
def test_no_prediction_changes_within_the_radius_and_the_domain(function):
    x = keras.Input((2,))
    y = function(x)
    model = keras.Model(x, ops.square(ops.sum(y, axis=-1, keepdims=True)) - 0.5)
    images = np.random.default_rng(0).uniform(-1, 1, (12, 2))
    radii = certified_radius(model, images, domain=(-1, 1), outputs="logits")
    logits = model.predict(images, verbose=0)[:, 0]
    np.testing.assert_allclose(radii * bound(model, domain=(-1, 1)).total, abs(logits), rtol=1e-3)
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, 101)] * 2), axis=-1).reshape(-1, 2)
    other = (model.predict(points, batch_size=4096, verbose=0) > 0) != (logits > 0)
    distances = np.linalg.norm(images - points[:, None], axis=-1)
    assert (radii > 0).all() and not (other & (distances < radii)).any()


@pytest.mark.parametrize("function", [ops.sqrt, ops.log, ops.reciprocal, lambda x: 1.5 / (x * x)])
def test_what_may_meet_zero_is_refused(function):
    with pytest.raises(NoBoundError, match=r"domain|divides"):
        total(function, (-1, 1))


@pytest.mark.parametrize(
    "function, domain",
    [
        (lambda x: ops.exp(800 * x), (-1, 1)),
        (lambda x: ops.exp(800 * x), (1, 2)),  # everywhere beyond it
        (lambda x: ops.exp(800 * ops.sigmoid(x) + 800), (-1, 1)),
        (lambda x: ops.tanh(ops.exp(800 * x)), (1, 2)),
        (lambda x: ops.multiply(ops.exp(500 * x), -ops.exp(500 * x)), (1, 1.01)),
        (lambda x: ops.reciprocal(ops.exp(800 * x)), (1, 2)),
        (lambda x: ops.square(ops.exp(400 * x)), (1, 2)),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_values_beyond_floating_point_are_refused(function, domain):
    with pytest.raises(NoBoundError, match="beyond floating point on the domain"):
        total(function, domain)


def test_a_gate_per_channel_counts_the_norm_of_its_map():
    """x · mean x on a map of 4 × 4 ones: 1 for x, and (4 · 1) · 1/4 for its mean."""

    def gated(x):
        return layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])

    assert total(gated, (0, 1), (4, 4, 1)) == pytest.approx(2.0, rel=1e-4)


def test_normalizations_by_the_norm_stay_refused():
    with pytest.raises(NoBoundError, match="unit"):
        total(lambda x: layers.Multiply()([x, layers.UnitNormalization(name="unit")(x)]), (0, 1))


@pytest.mark.parametrize("exponent, high", [(1.1, 1e30), (40.7, 5.0), (-1.3, 4.0), (0.3, 9.0)])
def test_powers_hold_for_the_exponent_that_float32_has(exponent, high):
    found = total(lambda x: x**exponent, (1.0, high), (1,))
    computed = float(np.float32(exponent))
    for c in (exponent, computed):
        assert found >= max(abs(c) * high ** (c - 1), abs(c))
    with pytest.raises(NoBoundError, match="infinite in float32"):
        total(lambda x: x**1e300, (0.5, 0.9), (1,))
