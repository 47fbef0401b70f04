"""In which intervals the numbers of every tensor lie while the inputs stay in a box.

Each tensor has two rows: its intervals over the whole domain, and at the domain's center alone.
Layers with weights take the middle of an interval and its radius: |W| times the radius, with the
error rules of `evaluation_errors`; what keeps the order takes both ends. Every interval is widened
by more than float32 would round, so that constants that a layer rounds are covered, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.lipschitz import evaluation_errors as rules
from intriguing_tf.lipschitz.activation_errors import SMOOTH, activation_error
from intriguing_tf.lipschitz.evaluation import EvaluatedCall
from intriguing_tf.lipschitz.rounding import FLOAT32, UNIT_ROUNDOFF
from intriguing_tf.lipschitz.steps import Slopes, Softmax, Step

Array = np.ndarray
# By so much of their size intervals are widened, beyond what the error rules say.
WIDENED = 1e-6
LEAST = 1e-37
# Rules of what keeps the order of numbers: of both ends come both ends.
MONOTONE = (rules.moved, rules.ordered, rules.least, rules.compared, rules.averaged)
DOMAIN, CENTER = 0, 1


@dataclasses.dataclass(frozen=True, eq=False)
class Range:
    """Intervals of a tensor's numbers.

    Args:
        low, high: float64 [2, *one example]; row `DOMAIN` on the whole domain, row `CENTER` at its
            center.
        spread: how far the tensor as a whole moves from its value at the center, in l2, at most.
    """

    low: Array
    high: Array
    spread: float = math.inf

    @property
    def size(self) -> Array:
        """The largest absolute values."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def middle(self) -> Array:
        return self.low / 2 + self.high / 2

    @property
    def radius(self) -> Array:
        middle = self.middle
        return np.maximum(self.high - middle, middle - self.low) * (1 + 8 * UNIT_ROUNDOFF)

    def within(self, spread: float) -> Range:
        """The same where the tensor moves by no more than `spread` from the center."""
        spread = min(spread, self.spread)
        if math.isinf(spread):
            return self
        low, high = self.low.copy(), self.high.copy()
        reach = spread * (1 + 8 * UNIT_ROUNDOFF) + LEAST
        low[DOMAIN] = np.maximum(low[DOMAIN], self.low[CENTER] - reach)
        high[DOMAIN] = np.minimum(high[DOMAIN], self.high[CENTER] + reach)
        return Range(low, high, spread)

    def length(self, axes: Sequence[int]) -> Array:
        """The largest l2 norm over these axes (of one example, from 0 on), on the domain."""
        axes = tuple(axes)
        box, center = np.sqrt(np.sum(self.size**2, tuple(a + 1 for a in axes), keepdims=True))
        return np.minimum(box, center + self.spread) * (1 + (self.size.size + 8) * UNIT_ROUNDOFF)

    @property
    def is_finite(self) -> bool:
        ends = np.isfinite(self.low), np.isfinite(self.high)
        return bool(np.all(ends)) and not math.isnan(self.spread)


def range_of(low: Array, high: Array) -> Range:
    """Returns the range of an input of the model."""
    center = low / 2 + high / 2
    found = Range(np.stack([low, center]), np.stack([high, center]))
    wide = found.radius[DOMAIN]
    spread = float(np.linalg.norm(wide.ravel())) * (1 + (wide.size + 8) * UNIT_ROUNDOFF)
    return dataclasses.replace(found, spread=spread)


def widened(low: Any, high: Any, terms: float = 1.0) -> Range:
    """Intervals, widened by more than float32 rounds so many times."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return Range(
        low - terms * WIDENED * np.abs(low) - LEAST, high + terms * WIDENED * np.abs(high) + LEAST
    )


def follow(call: EvaluatedCall, given: Sequence[Range]) -> tuple[Range | None, list[Range]]:
    """Returns what enters a call's activation, if it has one, and what the call gives.

    Raises:
        NoBoundError: TensorFlow does not run it in float64.
    """
    if call.rule is rules.activation:
        entering = given[0]
        return entering, [_activated(call, call.ending, entering)]
    if call.rule in MONOTONE:
        return None, _ends(call, given)
    middle = [tf.constant(each.middle) for each in given]
    linear = call.rule is rules.multiplied
    centers = [call.run_linear(middle)] if linear else call.run(middle)
    radii = _errors(call, given, [each.radius for each in given], centers)
    outputs = [_around(*pair) for pair in zip(centers, radii, strict=True)]
    if linear and call.ending is not None:
        return outputs[0], [_activated(call, call.ending, outputs[0])]
    return None, [_normalized(call, each, given[0]) for each in outputs]


def _around(center: Any, radius: Any) -> Range:
    center, radius = np.asarray(center), np.asarray(radius)
    reach = radius * (1 + WIDENED) + WIDENED * np.abs(center) + LEAST
    return Range(center - reach, center + reach)


def _errors(
    call: EvaluatedCall, given: Sequence[Range], errors: Sequence[Array], results: Sequence[Any]
) -> list[Any]:
    """How far outputs move where each input moves by its error, rounding in float32 included."""
    sizes = [tf.constant(each.size) for each in given]
    moved = [tf.constant(each) for each in errors]
    _, found = call.linear_errors(sizes, moved, tf.abs(results[0]), FLOAT32)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _ends(call: EvaluatedCall, given: Sequence[Range]) -> list[Range]:
    lows = call.run([tf.constant(each.low) for each in given])
    highs = call.run([tf.constant(each.high) for each in given])
    results = [tf.maximum(tf.abs(a), tf.abs(b)) for a, b in zip(lows, highs, strict=True)]
    costs = _errors(call, given, [np.zeros_like(each.low) for each in given], results)
    return [
        widened(low - cost, high + cost, 0.1)
        for low, high, cost in zip(lows, highs, costs, strict=True)
    ]


def _activated(call: EvaluatedCall, step: Step | None, entering: Range) -> Range:
    """The range behind an activation."""
    if step is None:
        return entering
    if not isinstance(step, Slopes):
        return _squashed(call, step, entering)
    low, high, middle = (
        np.asarray(call.activate(tf.constant(each)))
        for each in (entering.low, entering.high, entering.middle)
    )
    reach = step.bound * entering.radius
    if step.low >= 0:
        ends = low, high
    elif step.image is not None:  # it falls somewhere below 0, and rises from there on
        least = np.where(entering.low >= 0, low, step.image[0])
        ends = np.maximum(least, middle - reach), np.minimum(np.maximum(low, high), middle + reach)
    else:
        ends = middle - reach, middle + reach
    size = entering.size
    cost = 4 * FLOAT32 * (np.abs(middle) + reach + 1)
    cost = cost + SMOOTH * max(1.0, step.bound) * UNIT_ROUNDOFF * (size + reach + 1)
    image = step.image or (-math.inf, math.inf)
    image = image[0] - WIDENED * abs(image[0]), image[1] + WIDENED * abs(image[1])
    return Range(np.clip(ends[0] - cost, *image), np.clip(ends[1] + cost, *image))


def _squashed(call: EvaluatedCall, step: Step, entering: Range) -> Range:
    """The range behind softmax or log-softmax."""
    middle = call.activate(tf.constant(entering.middle))
    size, moved = tf.constant(entering.size), tf.constant(entering.radius)
    error = activation_error(step, False, size, moved, tf.abs(middle), FLOAT32)
    found = _around(middle, error)
    if isinstance(step, Softmax) and step.bound <= 0.5:  # no log-softmax, but one that is always 0
        return Range(np.maximum(found.low, 0.0), np.minimum(found.high, 1.0))
    return found


def _normalized(call: EvaluatedCall, found: Range, given: Range) -> Range:
    """Numbers divided by their own deviation are at most √n, whatever they were."""
    layer = call.call.operation
    kinds = (keras.layers.LayerNormalization, keras.layers.GroupNormalization)
    if not isinstance(layer, (*kinds, getattr(keras.layers, "RMSNormalization", kinds[0]))):
        return found
    weights = [np.max(np.abs(each), initial=0.0) for each in layer.get_weights()]
    shape = given.low.shape
    axes = range(1, len(shape)) if isinstance(layer, kinds[1]) else np.atleast_1d(layer.axis)
    together = math.prod(shape[axis] for axis in axes)
    most = (math.sqrt(together) + 1) * float(max(1.0, *weights, 1.0)) * (1 + WIDENED)
    return Range(np.maximum(found.low, -most), np.minimum(found.high, most))
