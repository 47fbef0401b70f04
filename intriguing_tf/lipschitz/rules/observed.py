"""Layers and operations that move numbers: where each one goes is seen, not believed.

The operation is run on numbers that are all different, for two examples at once. What comes out
says which input each output is, how often each input is used, that nothing but moving happened,
and that no example reads another.
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
    numbers = np.arange(1, 2 * count + 1, dtype=np.float64).reshape(2, *sizes)
    outputs = []
    for low, high in zip(*(_run(function, x) for x in (numbers, numbers + 2 * count)), strict=True):
        if low.shape != high.shape or low.shape[:1] != (2,):
            raise NoBoundError("it changes the number of examples")
        outputs.append(_places(low, high, count))
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


def _places(low: Array, high: Array, count: int) -> Array:
    """Places of one example's output in its input, from what came out for both inputs."""
    constant = low == high
    whole = (high - low == 2 * count) & (low == np.round(low)) & (low >= 1) & (low <= 2 * count)
    places = np.where(
        constant, CONSTANT, low - 1 - count * np.reshape([0, 1], (2, *[1] * (low.ndim - 1)))
    )
    inside = constant | ((places >= 0) & (places < count))
    if not np.all((constant | whole) & inside) or not np.array_equal(places[0], places[1]):
        raise NoBoundError("it does more than moving the numbers of each example by itself")
    return places[0].astype(np.int64)
