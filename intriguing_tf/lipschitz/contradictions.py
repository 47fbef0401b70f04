"""Compares bounds with the model itself: Jacobians that know nothing of rules.

At random and at given points they give lower bounds of the Lipschitz constant: of small models the
Jacobian's norm, of others products with it and its transpose. One above the bound shows an error in
a rule, and raises.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.keras_graph import called_flat, float64_copy, layers_in
from intriguing_tf.lipschitz.copies import check_copied
from intriguing_tf.lipschitz.graph import calls_of

Array = np.ndarray

# Seconds for the comparison, or a share of what the bound took, if that is more.
SECONDS = 2.0
SHARE = 0.1
STEPS = 4
# Of Jacobians that are at hand.
POWERS = 20
# Models with more weights are not copied to float64 for the comparison.
LARGEST_COPY = 10**7
# By what share of the largest output rounding may move a model's outputs, where they are compared
# with those of its copy.
ROUNDED = 1e-5
# What rounding in float32 may add to a product with a Jacobian, as a share.
IN_FLOAT32 = 1e-2
# Sizes of the random points, in standard deviations.
SCALES = (1e-2, 1.0, 10.0)
# For inputs of unknown size.
UNKNOWN = 8
# Whole Jacobians are taken where they have at most so many numbers, and so many products.
LARGEST_JACOBIANS = 2**18
LARGEST_PRODUCTS = 2**28


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
    if math.isfinite(found) and found > bound * (1 + 1e-6) + allowed:
        raise ContradictionError(
            f"The Lipschitz bound of {what} is {bound:.9g}, but its Jacobian has the norm "
            f"{found:.9g} at a point. One of the rules is wrong: do not use the bound, and please "
            "report the model's `summary()` with both numbers."
        )


def check_bound(
    model: keras.Model,
    total: float,
    lost: float,
    took: float,
    boxes: Sequence[tuple[Array, Array]] | None = None,
) -> None:
    """Compares the bound of a whole model with its Jacobian at random points.

    Args:
        model: the model.
        total: its bound.
        lost: a bound of what the branches that cancel would add up to.
        took: seconds that the bound took.
        boxes: for each input, the least and the largest values that the bound speaks of; `None`
            where it speaks of all.

    Raises:
        ContradictionError: the Jacobian is longer than the bound.
    """
    deadline = time.monotonic() + max(SECONDS, SHARE * took)
    computed, unit = _in_most_digits(model)
    rng = np.random.default_rng(0)
    large = model.count_params() > LARGEST_COPY
    allowed = gradients_may_exceed(model)
    for scales in [[scale] for scale in SCALES] if large else [SCALES]:
        if time.monotonic() > deadline:
            return
        points = [
            tf.constant(_random(rng, scales, x.shape), tf.as_dtype(x.dtype))
            for x in computed.inputs
        ]
        if boxes is not None:
            points = [_inside(rng, *pair) for pair in zip(points, boxes, strict=True)]
        try:
            if not _same_function(model, computed, points):
                computed, unit = model, IN_FLOAT32
                points = _as_inputs_of(model, points)
            found = float(np.max(attained(computed, points, deadline)))
        except (LookupError, ValueError, tf.errors.OpError):
            return  # an operation without a derivative, or sizes that do not fit
        check_attained(found / allowed, total, unit * (total + lost), f"model {model.name!r}")


def gradients_may_exceed(model: keras.Model) -> float:
    """Returns by what factor TensorFlow's gradients may exceed the true ones of a model.

    Keras's `celu` is a maximum plus a function of a minimum; at exactly 0 both pass the gradient
    on, which makes it 2.
    """
    return 2.0 ** sum(_is_celu(call.operation) for call in calls_of(model).calls)


def _is_celu(operation: Any) -> bool:
    if not isinstance(operation, keras.layers.Layer):
        return type(operation).__name__ == "Celu"
    inner = (operation, *layers_in(operation))
    return any(getattr(each, "activation", None) is keras.activations.celu for each in inner)


def attained(model: keras.Model, points: Sequence[Any], deadline: float) -> Array:
    """Returns lower bounds of ‖J‖ at some points, float64 [n].

    Args:
        model: a model with a graph.
        points: tensors [n, …], one for each input; they count as one long vector.
        deadline: when to stop, as `time.monotonic` counts.
    """
    inputs = sum(math.prod(x.shape[1:]) for x in points)
    shapes = [x.shape[1:] for x in model.outputs]
    if not any(None in shape for shape in shapes):
        numbers = sum(map(math.prod, shapes))
        rows = len(points[0]) * numbers
        small = rows * (inputs + numbers) <= LARGEST_JACOBIANS
        if small and rows * model.count_params() <= LARGEST_PRODUCTS:
            jacobians = _jacobians(model, points, numbers)
            if jacobians is not None:
                return _norms(jacobians)
    return _by_products(model, points, deadline)


def _jacobians(model: keras.Model, points: Sequence[Any], numbers: int) -> Array | None:
    """The Jacobians [n, numbers, inputs]: each point is repeated, for one output each.

    `None` if the outputs have another shape than Keras says.
    """
    count = len(points[0])
    copies = [tf.repeat(x, numbers, axis=0) for x in points]
    with tf.GradientTape() as tape:
        tape.watch(copies)
        outputs = called_flat(model, copies)
    sizes = [math.prod(y.shape[1:]) for y in outputs]
    if sum(sizes) != numbers:
        return None
    kept = np.split(np.tile(np.eye(numbers), (count, 1)), np.cumsum(sizes)[:-1], axis=1)
    chosen = [
        tf.constant(each.reshape(y.shape), y.dtype) for each, y in zip(kept, outputs, strict=True)
    ]
    rows = tape.gradient(outputs, copies, chosen, unconnected_gradients="zero")
    whole = np.concatenate([x.numpy().reshape(len(x), -1) for x in rows], axis=1)
    return whole.reshape(count, numbers, -1)


def _norms(matrices: Array) -> Array:
    """Lower bounds of the norms of matrices [n, rows, columns], close to them.

    Rows that are not finite do not count.
    """
    matrices = matrices.astype(np.float64)
    finite = np.isfinite(matrices).all(axis=2, keepdims=True)
    matrices = np.where(finite, matrices, 0.0)
    scales = np.max(np.abs(matrices), axis=(1, 2), keepdims=True)
    matrices = matrices / np.where(scales > 0, scales, 1.0)
    # A row is near the best vector, but may lie in a space that the matrix keeps apart.
    longest = np.argmax(np.sum(matrices**2, axis=2), axis=1)
    vectors = matrices[np.arange(len(matrices)), longest][:, :, None]
    vectors = vectors + 0.1 * np.random.default_rng(1).normal(size=vectors.shape[1:])
    best = np.zeros(len(matrices))
    for _ in range(POWERS):
        images = matrices @ vectors
        images /= np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-300)
        vectors = matrices.swapaxes(1, 2) @ images
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        best = np.maximum(best, lengths[:, 0, 0])
        vectors /= np.maximum(lengths, 1e-300)
    return best * scales[:, 0, 0]


def _by_products(model: keras.Model, points: Sequence[Any], deadline: float) -> Array:
    """The largest ‖Jᵀu‖/‖u‖ [n] that a few power iterations find, each point by itself.

    J v, which only gives the next u, is taken by differences; it costs one forward pass.
    """
    rng = np.random.default_rng(1)
    points = list(points)

    def random(tensors: Sequence[Any]) -> list[Any]:
        return _unit([tf.constant(rng.normal(size=x.shape), x.dtype) for x in tensors])

    step = float(np.finfo(points[0].dtype.as_numpy_dtype).eps) ** (1 / 3)
    reach = step * tf.maximum(_lengths(points), 1.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(points)
        outputs = called_flat(model, points)
    images, best, started = random(outputs), np.zeros(len(points[0])), time.monotonic()
    for done in range(1, STEPS + 1):
        back = tape.gradient(outputs, points, images, unconnected_gradients="zero")
        lengths = _lengths(back).numpy()  # ‖Jᵀu‖ for a unit vector u: never above ‖J‖
        best = np.maximum(best, np.where(np.isfinite(lengths), lengths, 0.0))
        now = time.monotonic()
        if done == STEPS or now + (now - started) / done > deadline:
            break
        vectors = _where_finite(_unit(back), random(points))
        there = [x + _times(reach, v) for x, v in zip(points, vectors, strict=True)]
        moved = called_flat(model, there)
        images = _unit([y - x for x, y in zip(outputs, moved, strict=True)])
        images = _where_finite(images, random(outputs))
    return best


def _random(rng: np.random.Generator, scales: Sequence[float], shape: Sequence[int | None]) -> Any:
    """A random point of each scale."""
    sizes = [len(scales), *(UNKNOWN if size is None else size for size in shape[1:])]
    return np.reshape(scales, [-1] + [1] * (len(sizes) - 1)) * rng.normal(size=sizes)


def _inside(rng: np.random.Generator, points: Any, box: tuple[Array, Array]) -> Any:
    """As many random points of a box, for each of them nearer to its middle or to its corners."""
    share = rng.uniform(-1, 1, size=points.shape)
    power = np.reshape(np.linspace(0.1, 3, len(points)), [-1] + [1] * (share.ndim - 1))
    share = (1 + np.sign(share) * np.abs(share) ** power) / 2
    return tf.constant((1 - share) * box[0] + share * box[1], points.dtype)


def _in_most_digits(model: keras.Model) -> tuple[keras.Model, float]:
    """The model in float64, and what rounding may add to a product, as a share; or as it is."""
    layers = [each for each in layers_in(model) if not isinstance(each, keras.Model)]
    if all(each.compute_dtype == "float64" for each in layers):
        return model, 1e-9
    if model.count_params() <= LARGEST_COPY:
        try:
            copy = float64_copy(model)
        except ValueError:
            return model, IN_FLOAT32
        return copy, 1e-9
    return model, IN_FLOAT32


def _same_function(model: keras.Model, copy: keras.Model, points: Sequence[Any]) -> bool:
    """Whether a model gives what its copy in float64 gives at some points."""
    if copy is model:
        return True
    own, copied = called_flat(model, _as_inputs_of(model, points)), called_flat(copy, points)
    try:
        for mine, other in zip(own, copied, strict=True):
            check_copied(f"model {model.name!r}", mine, other, ROUNDED * np.abs(other))
    except ValueError:
        return False
    return True


def _as_inputs_of(model: keras.Model, points: Sequence[Any]) -> list[Any]:
    return [tf.cast(x, own.dtype) for x, own in zip(points, model.inputs, strict=True)]


def _lengths(tensors: Sequence[Any]) -> Any:
    squares = [tf.reduce_sum(x * x, list(range(1, len(x.shape)))) for x in tensors]
    return tf.sqrt(tf.add_n([tf.cast(each, tf.float64) for each in squares]))


def _unit(tensors: Sequence[Any]) -> list[Any]:
    """Divides by the length of all of them together, example by example."""
    lengths = tf.maximum(_lengths(tensors), 1e-300)
    return [_times(1 / lengths, x) for x in tensors]


def _times(factors: Any, x: Any) -> Any:
    """Multiplies each example by its factor."""
    return x * tf.cast(tf.reshape(factors, [-1, *[1] * (len(x.shape) - 1)]), x.dtype)


def _where_finite(tensors: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """The tensors of each example whose length is finite and not 0; of the others, `others`."""
    lengths = _lengths(tensors)
    good = tf.math.is_finite(lengths) & (lengths > 0)
    return [
        tf.where(tf.reshape(good, [-1, *[1] * (len(x.shape) - 1)]), x, y)
        for x, y in zip(tensors, others, strict=True)
    ]
