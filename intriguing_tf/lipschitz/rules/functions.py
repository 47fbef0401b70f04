"""The rules of other `keras.ops` functions: smooth ones, orders, norms, sums along an axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from intriguing_tf.lipschitz import curves
from intriguing_tf.lipschitz.rounding import (
    CONSTANT,
    UNIT_ROUNDOFF,
    constant_error,
    round_down,
    round_up,
)
from intriguing_tf.lipschitz.rules.activations import LESS
from intriguing_tf.lipschitz.rules.calls import OperationCall, Result, operation
from intriguing_tf.lipschitz.rules.merging import BESIDE
from intriguing_tf.lipschitz.steps import (
    IDENTITY,
    Diagonal,
    LayerBound,
    NoBoundError,
    Slopes,
    Steps,
    matrix_norm,
)

# Largest slopes, rounded up: 2/√π, and that of sin(πx)/(πx), whose π float32 rounds.
ERF = 1.12837917
SINC = 1.3703056 * CONSTANT

# Units in the last place that each may lose, of what it reads and gives; far more than they do.
FEW = 16.0
LOGARITHMS = 128.0

_SLOPES = {
    "Arcsinh": Slopes(0.0, 1.0, curves.ARCSINH),
    "Arctan": Slopes(0.0, 1.0, curves.ARCTAN, (-math.pi / 2, math.pi / 2)),
    "Cos": Slopes(-1.0, 1.0),
    "Erf": Slopes(0.0, ERF, curves.ERF, (-1.0, 1.0), LESS * ERF),
    "Erfc": Slopes(-ERF, 0.0, attained=LESS * ERF),
    "Sin": Slopes(-1.0, 1.0),
    "Sinc": Slopes(-SINC, SINC, attained=LESS * SINC),
}


@operation(*_SLOPES)
def smooth(call: OperationCall) -> Steps:
    return Steps((_SLOPES[type(call.operation).__name__],))


@operation("NanToNum")
def finite(call: OperationCall) -> Steps:
    """What is finite stays, and bounds speak of nothing else."""
    for name in ("nan", "posinf", "neginf"):
        call.setting(name)
    return IDENTITY


@operation("Deg2rad", "Rad2deg")
def angle(call: OperationCall) -> Steps:
    turn = 180 / math.pi
    factor = np.array(1 / turn if type(call.operation).__name__ == "Deg2rad" else turn)
    return Steps((Diagonal(factor, constant_error(factor) + 4 * UNIT_ROUNDOFF * factor),))


@operation("Hypot", "Logaddexp", "Logaddexp2")
def joined(call: OperationCall) -> Result:
    """The gradient in both operands is no longer than 1: (p, 1 − p) of the logarithms."""
    call.same_shape()
    call.operands()
    if len(call.shapes) > 1:
        # Where both operands are small, the logarithm of their sum is not.
        return dataclasses.replace(BESIDE, rounding=LOGARITHMS)
    call.constant()
    turns = type(call.operation).__name__ == "Hypot"
    return Steps((Slopes(-1.0 if turns else 0.0, 1.0),))


@operation("Sort")
def sorted_numbers(call: OperationCall) -> LayerBound:
    call.own_axes(_one_axis(call))
    return LayerBound(1.0, 1.0, "a permutation wherever it is differentiable", rounding=0.0)


@operation("Median", "Nanmedian")
def median(call: OperationCall) -> LayerBound:
    """The middle number in order, or the mean of the two middle ones."""
    root = 1.0 if call.count() % 2 else math.sqrt(0.5)
    return LayerBound(round_up(root), round_down(root), "numbers in order", rounding=FEW)


@operation("Quantile", "Percentile", "Nanquantile", "Nanpercentile")
def quantile(call: OperationCall) -> LayerBound:
    """One of the numbers in order, or between two of them."""
    call.count()
    if call.setting("method") not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise NoBoundError(f"its rule does not cover method={call.setting('method')!r}")
    place = call.constant()
    last = 100 if type(call.operation).__name__.lower().endswith("percentile") else 1
    if place.ndim:
        raise NoBoundError("its rule is for one quantile at a time")
    if not 0 <= place <= last:
        raise NoBoundError(f"beyond the ends it extrapolates; q must be from 0 to {last}")
    return LayerBound(1.0, how="between two numbers in order", rounding=FEW)


@operation("Ptp")
def spread(call: OperationCall) -> LayerBound:
    """The largest minus the smallest number."""
    if call.count() == 1:
        return LayerBound(0.0, 0.0, how="a number minus itself")
    root = math.sqrt(2.0)
    return LayerBound(round_up(root), round_down(root), "largest minus smallest", rounding=FEW)


@operation("Std", "Nanstd")
def deviation(call: OperationCall) -> LayerBound:
    """‖x − mean‖/√n."""
    size = call.count()
    value = 1 / math.sqrt(size) if size > 1 else 0.0
    return LayerBound(round_up(value), round_down(value), how="1/√count")


@operation("Logsumexp")
def log_sum_exp(call: OperationCall) -> LayerBound:
    rounding = LOGARITHMS + 2.0 * call.count()
    return LayerBound(1.0, 1.0, "its gradient is a softmax", rounding=rounding)


@operation("Norm")
def norm(call: OperationCall) -> LayerBound:
    """The l1, l2 or largest norm of vectors, or the Frobenius norm of matrices."""
    size, order = call.count(), call.setting("ord")
    rounding = FEW + 2.0 * size
    axes = call.own_axes(call.setting("axis"))
    if order in (None, "fro") or (order == 2 and len(axes) == 1):
        return LayerBound(1.0, 1.0, "a norm", rounding=rounding)
    if len(axes) == 1 and order in (math.inf, -math.inf):
        return LayerBound(1.0, 1.0, "a norm", rounding=rounding)
    if len(axes) == 1 and order == 1:
        root = math.sqrt(size)
        return LayerBound(round_up(root), round_down(root), "√count", rounding=rounding)
    raise NoBoundError(f"its rule does not cover ord={order!r} over {len(axes)} axes")


@operation("Cumsum", "Nancumsum")
def cumulated(call: OperationCall) -> LayerBound:
    call.setting("dtype")  # what tensors may have is checked
    return _along(call, lambda unit: np.cumsum(unit, axis=0))


@operation("Diff")
def differences(call: OperationCall) -> LayerBound:
    times = call.setting("n")
    return _along(call, lambda unit: np.diff(unit, n=times, axis=0))


@operation("Trace")
def trace(call: OperationCall) -> LayerBound:
    axes = call.own_axes([call.setting("axis1"), call.setting("axis2")])
    shape = call.shapes[0]
    sizes = [shape[axis] for axis in axes]
    if None in sizes:
        raise NoBoundError(f"an axis has an unknown size. Received: shape {shape}")
    count = len(np.diagonal(np.zeros(sizes), call.setting("offset")))  # type: ignore[arg-type]
    root = math.sqrt(count)
    return LayerBound(round_up(root), round_down(root), "√count", rounding=FEW + 2.0 * count)


def _along(call: OperationCall, function: Callable[[np.ndarray], np.ndarray]) -> LayerBound:
    """A linear function of the numbers along one axis, by its matrix."""
    (axis,) = call.own_axes(_one_axis(call))
    size = call.shapes[0][axis]
    if size is None:
        raise NoBoundError(f"an axis has an unknown size. Received: shape {call.shapes[0]}")
    upper, lower = matrix_norm(function(np.eye(size)))
    return LayerBound(upper, min(lower, upper), how="its matrix, Cholesky", rounding=2.0 * size + 8)


def _one_axis(call: OperationCall) -> int:
    axis = call.setting("axis")
    if not isinstance(axis, int):
        raise NoBoundError(f"it must work along one axis. Received: axis={axis!r}")
    return axis
