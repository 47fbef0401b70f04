"""Rules of other functions of `keras.ops`, against the Jacobians of what they compute."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from intriguing_tf.lipschitz import Certifier, NoBoundError, bound
from intriguing_tf.lipschitz.contradictions import attained
from tests.lipschitz.small_networks import randomised

KERNEL = np.random.default_rng(0).normal(size=(2, 2, 3, 2))
# Each on maps of 4 × 4 pixels and 3 channels: the function, and what it nearly attains.
FUNCTIONS = {
    "arctan": (ops.arctan, 1.0),
    "arcsinh": (ops.arcsinh, 1.0),
    "sin": (ops.sin, 1.0),
    "cos": (ops.cos, 1.0),
    "sinc": (lambda x: ops.sinc(x), 1.3703),
    "erf": (ops.erf, 2 / math.sqrt(math.pi)),
    "erfc": (lambda x: ops.erfc(x), 2 / math.sqrt(math.pi)),
    "fabs": (lambda x: ops.fabs(x), 1.0),
    "nan_to_num": (ops.nan_to_num, 1.0),
    "deg2rad": (lambda x: ops.deg2rad(x), math.pi / 180),
    "rad2deg": (lambda x: ops.rad2deg(x), 180 / math.pi),
    "hypot with a constant": (lambda x: ops.hypot(x, np.array(1e-3)), 1.0),
    "hypot": (lambda x: ops.hypot(x, ops.flip(x, axis=1)), math.sqrt(2)),
    "logaddexp": (lambda x: ops.logaddexp(x, ops.flip(x, axis=1)), math.sqrt(2)),
    "logaddexp2": (lambda x: ops.logaddexp2(3.0, x), 1.0),
    "fmax": (lambda x: ops.fmax(x, 0.0), 1.0),
    "sort": (lambda x: ops.sort(x, axis=1), 1.0),
    "median of three": (lambda x: ops.median(x, axis=-1), 1.0),
    "median of four": (lambda x: ops.median(x, axis=1), math.sqrt(0.5)),
    "quantile": (lambda x: ops.quantile(x, 0.5, axis=-1), 1.0),
    "ptp": (lambda x: ops.ptp(x, axis=-1), math.sqrt(2)),
    "std": (lambda x: ops.std(x, axis=(1, 2)), 0.25),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=(-1,)), 1.0),
    "norm": (lambda x: ops.norm(x, axis=-1), 1.0),
    "l1 norm": (lambda x: ops.norm(x, 1, axis=-1), math.sqrt(3)),
    "largest norm": (lambda x: ops.norm(x, np.inf, axis=1, keepdims=True), 1.0),
    "Frobenius norm": (lambda x: ops.norm(x, axis=(1, 2)), 1.0),
    "cumsum": (lambda x: ops.cumsum(x, axis=1), 1 / (2 * math.sin(math.pi / 18))),
    "diff": (lambda x: ops.diff(x, axis=1), 2 * math.cos(math.pi / 8)),
    "second differences": (
        lambda x: ops.diff(x, 2, axis=2),
        np.linalg.norm(np.diff(np.eye(4), 2, 0), 2),
    ),
    "nansum": (lambda x: ops.nansum(x, axis=1), 2.0),
    "nanmean": (lambda x: ops.nanmean(x, axis=1), 0.5),
    "nanmax": (lambda x: ops.nanmax(x, axis=1), 1.0),
    "trace": (lambda x: ops.trace(x, 0, 1, 2), 2.0),
    "diagonal": (lambda x: ops.diagonal(x, 1, 1, 2), 1.0),
    "tril": (ops.tril, 1.0),
    "hstack": (lambda x: ops.hstack([x, x]), math.sqrt(2)),
    "dstack": (lambda x: ops.dstack([x, x, x]), math.sqrt(3)),
    "unstack": (lambda x: ops.unstack(x, axis=1)[2], 1.0),
    "fliplr": (lambda x: ops.fliplr(x), 1.0),
    "max_pool": (lambda x: ops.max_pool(x, 3, 1), 2.0),
    "average_pool": (lambda x: ops.average_pool(x, 2), 0.5),
    "conv": (lambda x: ops.conv(x, KERNEL, 2, "same"), np.linalg.norm(KERNEL.reshape(12, 2), 2)),
    "depthwise_conv": (
        lambda x: ops.depthwise_conv(x, KERNEL[..., :1], 2),
        np.linalg.norm(KERNEL[..., 0].reshape(4, 3), axis=0).max(),
    ),
}


def peaked(x: tf.Tensor) -> tf.Tensor:
    """Random maps; some have one number far above the others."""
    return tf.concat([x, x * x * x * x, 1e-3 * x, ops.ones_like(x) + 1e-6 * x], axis=0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_attain_their_bounds_and_no_more(name):
    function, exact = FUNCTIONS[name]
    x = keras.Input((4, 4, 3), dtype="float64")
    try:
        model = keras.Model(x, function(x))
    except AttributeError:
        pytest.skip("this release of Keras lacks it")
    total = bound(model, verbose=False).total
    assert total == pytest.approx(exact, rel=1e-4)
    points = peaked(tf.constant(2 * np.random.default_rng(1).normal(size=(12, 4, 4, 3))))
    found = float(attained(model, [points], math.inf).max())
    assert 0.8 * exact < found <= total * (1 + 1e-9)


ALONG_THE_BATCH = {
    "sort": lambda x: ops.sort(x, axis=0),
    "cumsum": lambda x: ops.cumsum(x),
    "norm": lambda x: ops.norm(x),
    "median": lambda x: ops.median(x),
    "tril": lambda x: ops.tril(x),
    "diagonal": lambda x: ops.diagonal(x, 0, 0, 1),
    "unstack": lambda x: ops.unstack(x, 2, axis=0)[0],
}


@pytest.mark.parametrize("name", ALONG_THE_BATCH)
def test_functions_along_the_batch_are_refused(name):
    x = keras.Input((3,), batch_size=2)
    with pytest.raises(NoBoundError, match=r"batch|one axis"):
        bound(keras.Model(x, ALONG_THE_BATCH[name](x)), verbose=False)


def test_settings_that_no_rule_speaks_of_are_refused():
    x = keras.Input((4, 4))
    for y in (ops.norm(x, "nuc", axis=(1, 2)), ops.norm(x, 0, axis=1)):
        with pytest.raises(NoBoundError, match="ord="):
            bound(keras.Model(x, y), verbose=False)
    with pytest.raises(NoBoundError, match="channels last"):
        bound(keras.Model(x, ops.max_pool(x, 2, data_format="channels_first")), verbose=False)


@pytest.mark.parametrize("function", ["quantile", "percentile", "nanquantile", "nanpercentile"])
def test_quantiles_beyond_the_ends_are_refused(function):
    """Where q is none, Keras extrapolates; here behind units that are alive near 60 only."""
    if not hasattr(ops, function):
        pytest.skip("this release of Keras lacks it")
    most = 100 if "percentile" in function else 1
    x = keras.Input((4,), dtype="float64")
    y = ops.relu(x - 60.0)
    for share in (-0.5, 1 + 1e-9, 1.5, 2):
        model = keras.Model(x, getattr(ops, function)(y, share * most, axis=-1, keepdims=True))
        with pytest.raises(NoBoundError, match=f"q must be from 0 to {most}$"):
            bound(model, verbose=False)
    with pytest.raises(ValueError, match="finite"):
        model = keras.Model(x, getattr(ops, function)(y, math.nan, axis=-1, keepdims=True))
        bound(model, verbose=False)
    for share in (0, 1):
        model = keras.Model(x, getattr(ops, function)(y, share * most, axis=-1, keepdims=True))
        assert bound(model, verbose=False).total == 1


@pytest.mark.slow
def test_radii_go_through_them():
    x = keras.Input((5,))
    y = keras.layers.Dense(4)(x)
    for function in (ops.arctan, ops.erf, ops.sin, ops.arcsinh, ops.sort):
        y = function(y)
    model = randomised(keras.Model(x, keras.layers.Dense(3)(y)))
    radii = Certifier(model).radius(np.random.default_rng(9).normal(size=(8, 5)))
    assert np.any((radii > 1e-6) & np.isfinite(radii))
