"""Which values a tensor of a traced graph takes, as far as its operations tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

_INFINITE = math.inf
_LARGE = 700.0  # its exponential is finite


class Range(NamedTuple):
    """The values of a tensor: of all its numbers alike.

    Attributes:
        low: none is less.
        high: none is greater.
        of: the tensors of any sign that they come from, by `id`. What comes from one of them twice
            need not take what each of the two would allow.
        vague: "", or the operation for which the ends need not be approached.
    """

    low: float
    high: float
    of: frozenset[int] = frozenset()
    vague: str = ""

    @property
    def is_free(self) -> bool:
        """Whether it takes values of any sign and size."""
        return not self.vague and (self.low, self.high) == (-_INFINITE, _INFINITE)


def value_range(tensor: tf.Tensor) -> Range:
    """Returns the least and the greatest value that the operations before a tensor allow.

    Operations that are not known here, such as calls of functions, allow all, vaguely.
    """
    found: dict[int, Range] = {}
    pending = [tensor]
    while pending:
        tensor = pending[-1]
        read = [] if id(tensor) in found else _read(tensor)
        if missing := [each for each in read if id(each) not in found]:
            pending += missing
            continue
        pending.pop()
        if id(tensor) in found:
            continue
        ranges = [found[id(each)] for each in read]
        result = _range_of(tensor, ranges)
        if math.isnan(result.low) or math.isnan(
            result.high
        ):  # ∞ − ∞, constants that are no numbers
            result = _unknown(tensor.op.type, _sources(ranges))
        found[id(tensor)] = result
    return result


def _read(tensor: tf.Tensor) -> list[tf.Tensor]:
    """The tensors whose ranges are asked for."""
    operation = tensor.op
    if tensor.dtype == tf.bool or _constant(tensor) is not None:
        return []
    if operation.type == "IdentityN":
        # Of a gradient of one's own: outputs and, behind them, inputs.
        return [operation.inputs[tensor.value_index]]
    numbers = _numbers(operation)
    if operation.type in _MIXING and any(map(_is_variable, numbers)):
        return []
    return numbers


def _constant(tensor: tf.Tensor) -> np.ndarray | None:
    constant = tf.get_static_value(tensor)
    return constant if constant is not None and np.size(constant) else None


def _is_variable(tensor: tf.Tensor) -> bool:
    while tensor.op.type in _PASSING:
        tensor = tensor.op.inputs[0]
    return tensor.op.type in _VARIABLES


def _range_of(tensor: tf.Tensor, ranges: list[Range]) -> Range:
    kind = tensor.op.type
    if tensor.dtype == tf.bool:
        return Range(0.0, 1.0)
    if (constant := _constant(tensor)) is not None:
        low, high = float(np.min(constant)), float(np.max(constant))
        return Range(low, high, vague="" if low == high else kind)
    if kind in _COUNTING:
        return Range(0.0, _INFINITE, vague=kind)
    if kind == "Placeholder" or (kind in _MIXING and not ranges):
        return _free(tensor)
    if kind == "IdentityN":
        return ranges[0]
    if kind == "SelectV2" and len(ends := _ends(tensor)) > 1:
        return Range(min(ends), max(ends), vague=kind)
    if kind in _MIXING:
        return _mixed(tensor, ranges)
    if kind in _CHOOSING and ranges:
        return _united(ranges, kind)
    if kind in _RISING:
        return _risen(_RISING[kind], ranges[0])
    if kind == "LeakyRelu" and (slope := tensor.op.get_attr("alpha")) > 0:
        return _risen(lambda x: x if x > 0 else slope * x, ranges[0])
    if kind in _WAVES:
        return ranges[0]._replace(low=-1.0, high=1.0, vague="" if ranges[0].is_free else kind)
    if kind == "Mul" and tensor.op.inputs[0] is tensor.op.inputs[1]:
        return Range(0.0, _INFINITE, ranges[0].of, kind)
    if kind in _LINEAR and _stay_free(ranges, kind in _MULTIPLYING):
        return Range(-_INFINITE, _INFINITE, _sources(ranges))
    if kind not in _RULES or not ranges:
        return _unknown(kind, _sources(ranges))
    low, high = _RULES[kind](*ranges)
    return Range(low, high, _sources(ranges), _vagueness(kind, ranges))


def _numbers(operation: tf.Operation) -> list[tf.Tensor]:
    """The inputs whose values are passed on; the others are sizes, places and conditions."""
    if operation.type in _OF_FIRST or (operation.outputs and operation.outputs[0].dtype.is_integer):
        return [*operation.inputs][: None if operation.type in _RULES else 1]
    return [each for each in operation.inputs if each.dtype.is_floating]


def _unknown(kind: str, of: frozenset[int] = frozenset()) -> Range:
    return Range(-_INFINITE, _INFINITE, of, kind)


def _free(tensor: tf.Tensor) -> Range:
    return Range(-_INFINITE, _INFINITE, frozenset({id(tensor)}))


def _sources(ranges: Sequence[Range]) -> frozenset[int]:
    return frozenset().union(*(each.of for each in ranges))


def _share_sources(ranges: Sequence[Range]) -> bool:
    return sum(len(each.of) for each in ranges) > len(_sources(ranges))


def _vagueness(kind: str, ranges: Sequence[Range]) -> str:
    """Why what an operation gives of ranges need not fill what its rule allows."""
    vague = [each.vague for each in ranges if each.vague]
    return vague[0] if vague else kind if _share_sources(ranges) else ""


def _stay_free(ranges: Sequence[Range], multiplied: bool) -> bool:
    """Whether a sum or product of them is free: one is, and the others come from elsewhere."""
    free = [each for each in ranges if each.is_free]
    others = [each for each in ranges if not each.is_free]
    if multiplied and _share_sources(free):
        return False
    return bool(free) and not _sources(others) & _sources(free)


def _mixed(tensor: tf.Tensor, ranges: Sequence[Range]) -> Range:
    """Sums of products with many factors: of both signs unless all that enters has one."""
    first, *others = ranges
    product = _product_of(first, *others[:1])
    if 0 in (product[0], product[1]) and product != (0, 0):
        return Range(
            *_summed(Range(*product)), _sources(ranges), _vagueness(tensor.op.type, ranges)
        )
    signed = [each for each in ranges if each.low < 0 < each.high]
    if all(each.of for each in ranges) and not any(each.is_free for each in signed):
        return _unknown(tensor.op.type, _sources(ranges))  # of activations among each other
    if len(ranges) > 1 and _share_sources(ranges):
        return _unknown(tensor.op.type, _sources(ranges))
    return _free(tensor)


def _united(ranges: Sequence[Range], kind: str) -> Range:
    """The range of all of them, which is filled where they are alike, and not of one tensor."""
    low, high = min(each.low for each in ranges), max(each.high for each in ranges)
    alike = all((each.low, each.high) == (low, high) for each in ranges)
    alike = alike and kind != "SelectV2" and not _share_sources(ranges)
    vague = next((each.vague for each in ranges if each.vague), "" if alike else kind)
    return Range(low, high, _sources(ranges), vague)


def _risen(function: Callable[[float], float], x: Range) -> Range:
    return x._replace(low=function(x.low), high=function(x.high))


def _ends(tensor: tf.Tensor) -> set[float]:
    """The constants that conditions choose: two are the ends of a clip that is written out."""
    if tensor.op.type == "SelectV2":
        return _ends(tensor.op.inputs[1]) | _ends(tensor.op.inputs[2])
    constant = tf.get_static_value(_source(tensor))
    return {float(constant)} if constant is not None and np.size(constant) == 1 else set()


def _source(tensor: tf.Tensor) -> tf.Tensor:
    """What a tensor repeats, where it is one number for all places."""
    return _source(tensor.op.inputs[0]) if tensor.op.type in {"BroadcastTo", "Cast"} else tensor


Ends = tuple[float, float]


def _added(*ranges: Range) -> Ends:
    return sum(each.low for each in ranges), sum(each.high for each in ranges)


def _negated(x: Range) -> Range:
    return x._replace(low=-x.high, high=-x.low)


def _product_of(*factors: Range) -> Ends:
    first, *rest = factors
    low, high = first.low, first.high
    for each in rest:
        products = [
            0.0 if 0 in (a, b) else a * b for a in (low, high) for b in (each.low, each.high)
        ]
        low, high = min(products), max(products)
    return low, high


def _inverse(x: Range) -> Range:
    if x.low < 0 < x.high or x.low == x.high == 0:
        return x._replace(low=-_INFINITE, high=_INFINITE)
    if x.high <= 0:
        return _negated(_inverse(_negated(x)))
    return x._replace(low=1 / x.high, high=1 / x.low if x.low else _INFINITE)


def _power(x: Range, exponent: Range) -> Ends:
    even = exponent.low == exponent.high and exponent.low % 2 == 0
    if x.low >= 0 or even:
        inside = max(abs(x.low), abs(x.high)) <= 1 and exponent.low >= 0
        return 0.0, 1.0 if inside else _INFINITE
    return math.nan, math.nan


def _summed(x: Range, *_: Range) -> Ends:
    """Any number of them are added up."""
    return (0.0 if x.low >= 0 else -_INFINITE), (0.0 if x.high <= 0 else _INFINITE)


def _product(x: Range, *_: Range) -> Ends:
    """Any number of them are multiplied."""
    return (0.0, 1.0 if x.high <= 1 else _INFINITE) if x.low >= 0 else (math.nan, math.nan)


def _exponential(x: float) -> float:
    return math.exp(x) if x < _LARGE else _INFINITE


def _logarithm(x: float) -> float:
    return math.log(x) if x > 0 else -_INFINITE


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


_SELU = 1.0507009873554805, 1.7580993408473766  # its slope, and what it comes down to
# Functions that rise, of which the ends give the ends.
_RISING: dict[str, Callable[[float], float]] = {
    "Atan": math.atan,
    "Elu": lambda x: x if x > 0 else math.expm1(x),
    "Erf": math.erf,
    "Exp": _exponential,
    "Expm1": lambda x: _exponential(x) - 1,
    "Log": _logarithm,
    "Log1p": lambda x: _logarithm(1 + x),
    "Relu": lambda x: max(x, 0.0),
    "Relu6": lambda x: min(max(x, 0.0), 6.0),
    "Selu": lambda x: _SELU[0] * x if x > 0 else _SELU[1] * math.expm1(x),
    "Sigmoid": lambda x: 1 / (1 + _exponential(-x)),
    "Sinh": lambda x: math.sinh(x) if abs(x) < _LARGE else math.copysign(_INFINITE, x),
    "Softplus": _softplus,
    "Softsign": lambda x: math.copysign(1.0, x) if math.isinf(x) else x / (1 + abs(x)),
    "Sqrt": lambda x: math.sqrt(max(x, 0.0)),
    "Tanh": math.tanh,
}
_WAVES = frozenset({"Sin", "Cos"})
# Counts of numbers, and places in lists of them.
_COUNTING = frozenset({"Shape", "ShapeN", "Size", "Rank", "ArgMax", "ArgMin"})
_PASSING = frozenset(
    {"BroadcastTo", "Cast", "ExpandDims", "Identity", "Reshape", "Squeeze", "Transpose"}
)
# What a program keeps: numbers that are not known, of one sign.
_VARIABLES = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableV2"})
_OF_FIRST = frozenset({"Cast"})
# Sums over many products.
_MIXING = frozenset(
    {"BatchMatMulV2", "BatchMatMulV3", "Conv2D", "Conv2DBackpropInput", "Conv3D", "Einsum"}
    | {"Conv3DBackpropInputV2", "DepthwiseConv2dNative", "MatMul"}
)
# What gives some of the numbers that enter it, or means of them.
_CHOOSING = frozenset(
    {"AvgPool", "AvgPool3D", "BatchToSpaceND", "BroadcastTo", "Cast", "ConcatV2", "DepthToSpace"}
    | {"ExpandDims", "GatherNd", "GatherV2", "Identity", "Max", "MaxPool", "MaxPool3D", "Mean"}
    | {"Min", "MirrorPad", "Pack", "PadV2", "PreventGradient", "Reshape", "ResizeArea"}
    | {"ResizeBilinear", "ResizeNearestNeighbor", "ReverseV2", "Roll", "SelectV2", "Slice"}
    | {"Snapshot", "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Squeeze", "StopGradient"}
    | {"StridedSlice", "Tile", "TopKV2", "Transpose", "Unpack"}
)
_MULTIPLYING = frozenset({"FusedBatchNormV3", "Mul", "RealDiv"})
_LINEAR = _MULTIPLYING | {"AddN", "AddV2", "BiasAdd", "Cumsum", "Sub", "Sum"}
_POSITIVE = 0.0, _INFINITE
_RULES: dict[str, Callable[..., Ends]] = {
    "Abs": lambda x: _POSITIVE,
    "AddN": _added,
    "AddV2": _added,
    "BiasAdd": _added,
    "ClipByValue": lambda x, low, high: (
        min(max(x.low, low.low), high.low), min(max(x.high, low.high), high.high)
    ),
    "Cumprod": _product,
    "Cumsum": _summed,
    "Erfc": lambda x: (math.erfc(x.high), math.erfc(x.low)),
    "LogSoftmax": lambda x: (-_INFINITE, 0.0),
    "Maximum": lambda x, y: (max(x.low, y.low), max(x.high, y.high)),
    "Minimum": lambda x, y: (min(x.low, y.low), min(x.high, y.high)),
    "Mul": _product_of,
    "Neg": lambda x: _negated(x)[:2],
    "Pad": lambda x: (min(x.low, 0.0), max(x.high, 0.0)),
    "Pow": _power,
    "Prod": _product,
    "RealDiv": lambda x, y: _product_of(x, _inverse(y)),
    "Reciprocal": lambda x: _inverse(x)[:2],
    "Rsqrt": lambda x: _POSITIVE,
    "Softmax": lambda x: (0.0, 1.0),
    "Square": lambda x: _POSITIVE,
    "SquaredDifference": lambda x, y: _POSITIVE,
    "Sub": lambda x, y: _added(x, _negated(y)),
    "Sum": _summed,
}  # fmt: skip
