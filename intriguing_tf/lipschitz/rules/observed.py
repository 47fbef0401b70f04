"""Layers and operations that move numbers: where each one goes is seen, not believed.

The operation is run on numbers that are all different, for two examples at once, in two orders.
What comes out says which input each output is, how often each input is used, that nothing but
moving happened, and that no example reads another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.lipschitz.rounding import round_down, round_up
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Regroup, Shape, Steps

Array = np.ndarray
# Whole numbers up to this are exact in float32.
EXACT = 2**24
CONSTANT = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Movement:
    """Where the numbers of one example go.

    Args:
        shape: of one example before.
        outputs: for each output tensor, the place in the flat input of each number, or CONSTANT.
    """

    shape: tuple[int, ...]
    outputs: list[Array]

    @property
    def most(self) -> int:
        """How often the most used number is used."""
        used = np.concatenate([places[places != CONSTANT].ravel() for places in self.outputs])
        return int(np.bincount(used, minlength=1).max())

    def steps(self) -> Steps | LayerBound:
        """The movement as a step: a permutation, or a bound."""
        (places,) = self.outputs if len(self.outputs) == 1 else (np.array([CONSTANT]),)
        size = math.prod(self.shape)
        if places.size == size and np.array_equal(np.sort(places, axis=None), np.arange(size)):
            same_order = np.array_equal(places.ravel(), np.arange(size))
            return Steps((Regroup(self._channels(places), same_order),))
        root = math.sqrt(self.most)
        exact = math.isqrt(self.most) ** 2 == self.most
        return LayerBound(
            root if exact else round_up(root),
            attained=root if exact else round_down(root),
            how=f"every number at most {self.most} times",
        )

    def _channels(self, places: Array) -> Array | None:
        """The place on the last axis before, if it depends on that afterwards only."""
        if not self.shape or not places.ndim:
            return None
        before = (places % self.shape[-1]).reshape(-1, places.shape[-1])
        return before[0] if np.all(before == before[0]) else None


def movement(function: Callable[[Any], Any], shape: Shape) -> Movement:
    """Returns where `function` moves the numbers of an example of this shape, the batch first.

    Raises:
        NoBoundError: an unknown size, too large, or it does something else than moving.
    """
    sizes = shape[1:]
    if None in sizes:
        raise NoBoundError(
            f"it depends on the size of its input, which is not known. Received: shape {shape}"
        )
    count = math.prod(sizes)  # type: ignore[arg-type]
    if 4 * count >= EXACT:
        raise NoBoundError(f"its input is too large to be followed. Received: shape {shape}")
    # In no order: means of numbers in a row are numbers of that row.
    first, second = (np.random.default_rng(i).permutation(2 * count) + 1.0 for i in range(2))
    given = [each.reshape(2, *sizes) for each in (first, first + 2 * count, second)]
    outputs = []
    for low, high, again in zip(*(_run(function, x) for x in given), strict=True):
        if not low.shape == high.shape == again.shape or low.shape[:1] != (2,):
            raise NoBoundError("it changes the number of examples")
        outputs.append(_places(low, high, again, first, second))
    return Movement(tuple(int(size) for size in sizes), outputs)  # type: ignore[arg-type]


def moved(function: Callable[[Any], Any], shape: Shape) -> Steps | LayerBound:
    """Returns the step of a function that moves numbers; as `movement`."""
    return movement(function, shape).steps()


def _run(function: Callable[[Any], Any], numbers: Array) -> list[Array]:
    try:
        outputs = keras.tree.flatten(function(keras.ops.convert_to_tensor(numbers)))
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise NoBoundError(f"it cannot be run on two examples: {error}") from error
    return [keras.ops.convert_to_numpy(each).astype(np.float64) for each in outputs]


def _places(low: Array, high: Array, again: Array, first: Array, second: Array) -> Array:
    """Places of one example's output in its input, from what came out of three inputs.

    Args:
        low, high, again: of the numbers `first`, of these plus as many as they are, of `second`.
        first, second: the numbers 1, 2, … of two examples, each in an order of its own.
    """
    size = len(first)
    constant = (low == high) & (low == again)
    whole = (high - low == size) & (low == np.round(low)) & (low >= 1) & (low <= size)
    where = np.empty(size, np.int64)
    where[first.astype(np.int64) - 1] = np.arange(size)
    found = where[np.where(whole, low, 1).astype(np.int64) - 1]
    example, places = np.divmod(found, size // 2)
    moved = whole & (again == second[found])
    moved &= example == np.reshape([0, 1], (2, *[1] * (low.ndim - 1)))
    places = np.where(constant, CONSTANT, places)
    if not np.all(constant | moved) or not np.array_equal(places[0], places[1]):
        raise NoBoundError("it does more than moving the numbers of each example by itself")
    return places[0].astype(np.int64)
