"""Layers and operations that move numbers: where each one goes is seen, not believed.

The operation is run on random numbers that are all different, for two examples at once. What comes
out says which input each output is, how often each input is used, that nothing but moving happened
(a mean of such numbers is none of them), and that no example reads another.
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
    names = _names(2 * count)
    runs = [_run(function, each.reshape(2, *sizes)) for each in names]
    outputs = []
    for out in zip(*runs, strict=True):
        if out[0].shape != out[1].shape or out[0].shape[:1] != (2,):
            raise NoBoundError("it changes the number of examples")
        outputs.append(_places(out, names, count))
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


def _names(count: int) -> tuple[Array, Array]:
    """Two lists of so many random whole numbers, all different."""
    rng = np.random.default_rng(count)
    half = EXACT // 2
    low, high = (rng.choice(half, count, replace=False).astype(np.float64) for _ in range(2))
    return low, high + half


def _places(out: tuple[Array, Array], names: tuple[Array, Array], count: int) -> Array:
    """Places of one example's output in its input, from what came out for both lists of names."""
    constant = out[0] == out[1]
    first, second = (_looked_up(*each) for each in zip(out, names, strict=True))
    places = first - count * np.reshape([0, 1], (2, *[1] * (first.ndim - 1)))
    moved = (first == second) & (places >= 0) & (places < count)
    places = np.where(constant, CONSTANT, places)
    if not np.all(constant | moved) or not np.array_equal(places[0], places[1]):
        raise NoBoundError("it does more than moving the numbers of each example by itself")
    return places[0]


def _looked_up(values: Array, names: Array) -> Array:
    """The place of each value among the names; less than 0 where it is none of them."""
    order = np.argsort(names)
    found = order[np.searchsorted(names[order], values).clip(max=len(names) - 1)]
    return np.where(names[found] == values, found, -len(names))
