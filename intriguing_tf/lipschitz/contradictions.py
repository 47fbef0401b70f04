"""Compares bounds with the model itself: a few power iterations that know nothing of rules.

Products with the Jacobian and its transpose, at random and at given points, give lower bounds of
the Lipschitz constant. One above the bound shows an error in a rule, and raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.keras_graph import float64_copy, graph_of, named_tensors

Array = np.ndarray

# Seconds for the comparison, or a share of what the bound took, if that is more.
SECONDS = 2.0
SHARE = 0.1
STEPS = 4
# Models with more weights are not copied to float64 for the comparison.
LARGEST_COPY = 10**7
# Sizes of the random points, in standard deviations.
SCALES = (1e-2, 1.0, 10.0)
# For inputs of unknown size.
UNKNOWN = 8


class ContradictionError(RuntimeError):
    """A Lipschitz bound lies below what the model attains: a rule is wrong. Please report it."""


def check_attained(found: float, bound: float, allowed: float, what: str) -> None:
    """Raises if a ratio that was attained lies above a bound.

    Args:
        found: the ratio.
        bound: the bound.
        allowed: how far rounding may have raised `found`.
        what: of which model.

    Raises:
        ContradictionError: it names both numbers.
    """
    if found > bound * (1 + 1e-6) + allowed:
        raise ContradictionError(
            f"The Lipschitz bound of {what} is {bound:.9g}, but its Jacobian has the norm "
            f"{found:.9g} at a point. One of the rules is wrong: do not use the bound, and please "
            "report the model's `summary()` with both numbers."
        )


def check_bound(model: keras.Model, total: float, lost: float, took: float) -> None:
    """Compares the bound of a whole model with its Jacobian at random points.

    Args:
        model: the model.
        total: its bound.
        lost: a bound of what the branches that cancel would add up to.
        took: seconds that the bound took.

    Raises:
        ContradictionError: the Jacobian is longer than the bound.
    """
    deadline = time.monotonic() + max(SECONDS, SHARE * took)
    computed, unit = _in_most_digits(model)
    rng = np.random.default_rng(0)
    for scale in SCALES:
        if time.monotonic() > deadline:
            return
        points = [
            tf.constant(scale * rng.normal(size=_sizes(x.shape)), tf.as_dtype(x.dtype))
            for x in computed.inputs
        ]
        try:
            found = attained(lambda given: _outputs(computed, given), points, deadline)
        except (LookupError, ValueError, tf.errors.OpError):
            return  # an operation without a derivative, or sizes that do not fit
        check_attained(found, total, unit * (total + lost), f"model {model.name!r}")


def attained(
    function: Callable[[Sequence[Any]], list[Any]], points: Sequence[Any], deadline: float
) -> float:
    """Returns the largest ‖J v‖/‖v‖ that a few power iterations find, each point by itself.

    Args:
        function: from tensors [n, …] to tensors [n, …].
        points: where J is taken; several inputs count as one long vector.
        deadline: when to stop, as `time.monotonic` counts.
    """
    rng = np.random.default_rng(1)
    points = list(points)
    vectors = _unit([tf.constant(rng.normal(size=x.shape), x.dtype) for x in points])
    best = 0.0
    for _ in range(STEPS):
        images = _unit(_images(function, points, vectors))
        with tf.GradientTape() as tape:
            tape.watch(points)
            outputs = function(points)
        back = tape.gradient(outputs, points, images, unconnected_gradients="zero")
        lengths = _lengths(back).numpy()  # ‖Jᵀu‖ for a unit vector u: never above ‖J‖
        best = max(best, float(np.max(lengths[np.isfinite(lengths)], initial=0.0)))
        if time.monotonic() > deadline:
            break
        vectors = _unit(back)
    return best


def _images(
    function: Callable[[Sequence[Any]], list[Any]], points: list[Any], vectors: list[Any]
) -> list[Any]:
    """J v; by differences where an operation has no second derivative, which J v takes here."""
    try:
        with tf.autodiff.ForwardAccumulator(points, vectors) as forward:
            outputs = function(points)
        images = [forward.jvp(y) for y in outputs]
        return [
            tf.zeros_like(y) if image is None else image
            for y, image in zip(outputs, images, strict=True)
        ]
    except LookupError:
        step = 1e-5
        moved = function([x + step * v for x, v in zip(points, vectors, strict=True)])
        return [y - x for x, y in zip(function(points), moved, strict=True)]


def _in_most_digits(model: keras.Model) -> tuple[keras.Model, float]:
    """The model in float64, and what rounding may add to a product, as a share; or as it is."""
    double = all(x.dtype == "float64" for x in model.weights)
    if model.count_params() <= LARGEST_COPY:
        try:
            copy = float64_copy(model)
        except ValueError:
            return model, 1e-9 if double else 1e-2
        return copy, 1e-9
    return model, 1e-2


def _outputs(model: keras.Model, points: Sequence[Any]) -> list[Any]:
    given = keras.tree.pack_sequence_as(named_tensors(graph_of(model), "inputs"), list(points))
    return keras.tree.flatten(model(given, training=False))


def _sizes(shape: Sequence[int | None]) -> list[int]:
    return [1, *(UNKNOWN if size is None else size for size in shape[1:])]


def _lengths(tensors: Sequence[Any]) -> Any:
    squares = [tf.reduce_sum(x * x, list(range(1, len(x.shape)))) for x in tensors]
    return tf.sqrt(tf.add_n([tf.cast(each, tf.float64) for each in squares]))


def _unit(tensors: Sequence[Any]) -> list[Any]:
    """Divides by the length of all of them together, example by example."""
    lengths = tf.maximum(_lengths(tensors), 1e-300)
    return [
        x / tf.cast(tf.reshape(lengths, [-1, *[1] * (len(x.shape) - 1)]), x.dtype) for x in tensors
    ]
