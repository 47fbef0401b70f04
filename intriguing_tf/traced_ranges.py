"""Which values a tensor of a traced graph can have, as far as its operations tell."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

Range = tuple[float, float]

EVERYTHING: Range = (-math.inf, math.inf)
_POSITIVE: Range = (0.0, math.inf)
_LARGE = 700.0  # its exponential is finite
# What an operation gives, whatever enters it.
_FIXED: dict[str, Range] = {
    "Abs": _POSITIVE,
    "Atan": (-math.pi / 2, math.pi / 2),
    "Cos": (-1.0, 1.0),
    "Erf": (-1.0, 1.0),
    "Erfc": (0.0, 2.0),
    "LogSoftmax": (-math.inf, 0.0),
    "Relu6": (0.0, 6.0),
    "Rsqrt": _POSITIVE,
    "Sigmoid": (0.0, 1.0),
    "Sin": (-1.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Softplus": _POSITIVE,
    "Softsign": (-1.0, 1.0),
    "Square": _POSITIVE,
    "SquaredDifference": _POSITIVE,
    "Tanh": (-1.0, 1.0),
}
# What gives some of the numbers that enter it, or means of them.
_CHOOSING = frozenset(
    {"AvgPool", "AvgPool3D", "BroadcastTo", "Cast", "ConcatV2", "ExpandDims", "GatherNd"}
    | {"GatherV2", "Identity", "Max", "MaxPool", "MaxPool3D", "Mean", "Min", "Pack", "Reshape"}
    | {"PreventGradient", "ReverseV2", "SelectV2", "Slice", "Snapshot", "Split", "SplitV"}
    | {"Squeeze", "StopGradient", "StridedSlice", "Tile", "TopKV2", "Transpose", "Unpack"}
)
# Calls of functions, of which the graph shows nothing else.
_HIDING = ("PartitionedCall", "PyFunc", "XlaCallModule", "While", "If", "Case")


class HiddenError(Exception):
    """What computes the tensor cannot be looked into, as in a SavedModel."""


def value_range(tensor: tf.Tensor) -> Range:
    """Returns the least and the largest value that the operations before a tensor allow.

    Raises:
        HiddenError: its values come out of the call of a function.
    """
    return _range(tensor, {})


def _range(tensor: tf.Tensor, found: dict[int, Range]) -> Range:
    if id(tensor) not in found:
        low, high = _range_of(tensor, found)
        # ∞ − ∞ and constants that are no numbers say nothing.
        known = -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high
        found[id(tensor)] = known
    return found[id(tensor)]


def _range_of(tensor: tf.Tensor, found: dict[int, Range]) -> Range:
    operation = tensor.op
    kind = operation.type
    if kind.endswith(_HIDING):
        raise HiddenError(kind)
    if tensor.dtype == tf.bool:
        return 0.0, 1.0
    if kind in _FIXED:
        return _FIXED[kind]
    constant = tf.get_static_value(tensor)
    if constant is not None and np.size(constant):
        return float(np.min(constant)), float(np.max(constant))
    if kind == "IdentityN":  # of a gradient of one's own: outputs and, behind them, inputs
        return _range(operation.inputs[tensor.value_index], found)
    if kind not in _CHOOSING and kind not in _RULES:
        return EVERYTHING
    # The others are sizes, places and conditions.
    numbers = [each for each in operation.inputs if kind == "Cast" or each.dtype.is_floating]
    if not numbers:  # of integers
        return EVERYTHING
    ranges = [_range(each, found) for each in numbers]
    if kind == "SelectV2" and len(ends := _ends(tensor)) > 1:
        return min(ends), max(ends)
    if kind in _CHOOSING:
        return min(low for low, _ in ranges), max(high for _, high in ranges)
    if kind == "Mul" and numbers[0] is numbers[1]:
        return _POSITIVE
    return _RULES[kind](*ranges)


def _ends(tensor: tf.Tensor) -> set[float]:
    """The constants that conditions choose: two are the ends of a clip that is written out."""
    if tensor.op.type == "SelectV2":
        return _ends(tensor.op.inputs[1]) | _ends(tensor.op.inputs[2])
    constant = tf.get_static_value(_source(tensor))
    return {float(constant)} if constant is not None and np.size(constant) == 1 else set()


def _source(tensor: tf.Tensor) -> tf.Tensor:
    """What a tensor repeats, where it is one number for all places."""
    return _source(tensor.op.inputs[0]) if tensor.op.type in {"BroadcastTo", "Cast"} else tensor


def _added(*ranges: Range) -> Range:
    return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def _negated(x: Range) -> Range:
    return -x[1], -x[0]


def _multiplied(x: Range, y: Range) -> Range:
    products = [0.0 if 0 in (a, b) else a * b for a in x for b in y]
    return min(products), max(products)


def _inverse(x: Range) -> Range:
    if x[0] < 0 < x[1] or x == (0, 0):
        return EVERYTHING
    if x[1] <= 0:
        return _negated(_inverse(_negated(x)))
    return 1 / x[1], 1 / x[0] if x[0] else math.inf


def _power(x: Range, exponent: Range) -> Range:
    even = exponent[0] == exponent[1] and exponent[0] % 2 == 0
    if x[0] >= 0 or even:
        inside = max(map(abs, x)) <= 1 and exponent[0] >= 0
        return 0.0, 1.0 if inside else math.inf
    return EVERYTHING


def _summed(x: Range, *_: Range) -> Range:
    """Any number of them are added up."""
    return (0.0 if x[0] >= 0 else -math.inf), (0.0 if x[1] <= 0 else math.inf)


def _product(x: Range, *_: Range) -> Range:
    """Any number of them are multiplied."""
    if x[0] >= 0:
        return 0.0, 1.0 if x[1] <= 1 else math.inf
    return EVERYTHING


def _rising(function: Callable[[float], float]) -> Callable[[Range], Range]:
    """The rule of a function that rises."""
    return lambda x: (function(x[0]), function(x[1]))


def _logarithm(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


_RULES: dict[str, Callable[..., Range]] = {
    "AddN": _added,
    "AddV2": _added,
    "BatchMatMulV2": lambda x, y: _summed(_multiplied(x, y)),
    "ClipByValue": lambda x, low, high: (
        min(max(x[0], low[0]), high[0]), min(max(x[1], low[1]), high[1])
    ),
    "Cumprod": _product,
    "Cumsum": _summed,
    "Einsum": lambda *ranges: _summed(functools.reduce(_multiplied, ranges)),
    "Exp": _rising(lambda x: math.exp(x) if x < _LARGE else math.inf),
    "Log": _rising(_logarithm),
    "Log1p": _rising(lambda x: _logarithm(1 + x)),
    "MatMul": lambda x, y: _summed(_multiplied(x, y)),
    "Maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "Minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "Mul": _multiplied,
    "Neg": _negated,
    "Pow": _power,
    "Prod": _product,
    "RealDiv": lambda x, y: _multiplied(x, _inverse(y)),
    "Reciprocal": _inverse,
    "Sqrt": _rising(lambda x: math.sqrt(max(x, 0.0))),
    "Sub": lambda x, y: _added(x, _negated(y)),
    "Sum": _summed,
}  # fmt: skip
