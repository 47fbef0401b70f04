"""The rules of `keras.ops` functions that layers have, too, such as `x / 127.5 - 1`."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import activations

from intriguing_tf.lipschitz import curves
from intriguing_tf.lipschitz.rounding import constant_error, round_down, round_up
from intriguing_tf.lipschitz.rules.activations import (
    GELU_TANH,
    LESS,
    SLOPES,
    elu_slopes,
    log_softmax_step,
    relu_slopes,
    softmax_over,
    softmax_step,
)
from intriguing_tf.lipschitz.rules.calls import OperationCall, Result, operation
from intriguing_tf.lipschitz.rules.common import BATCH
from intriguing_tf.lipschitz.rules.merging import BESIDE
from intriguing_tf.lipschitz.rules.normalization import per_channel
from intriguing_tf.lipschitz.steps import (
    IDENTITY,
    Diagonal,
    LayerBound,
    Matrix,
    NoBoundError,
    Slopes,
    Steps,
)

# Activations without arguments, by the names of their operations.
_ACTIVATIONS = {
    "HardSigmoid": activations.hard_sigmoid,
    "HardSilu": activations.hard_silu,
    "HardTanh": activations.hard_tanh,
    "LogSigmoid": activations.log_sigmoid,
    "Relu": activations.relu,
    "Relu6": activations.relu6,
    "Selu": activations.selu,
    "Sigmoid": activations.sigmoid,
    "Silu": activations.silu,
    "Softplus": activations.softplus,
    "Softsign": activations.softsign,
    "SparsePlus": activations.sparse_plus,
    "SparseSigmoid": activations.sparse_sigmoid,
    "Tanh": activations.tanh,
    "TanhShrink": activations.tanh_shrink,
}


@operation(*_ACTIVATIONS)
def activation(call: OperationCall) -> Steps:
    return Steps((SLOPES[_ACTIVATIONS[type(call.operation).__name__]],))


@operation("Elu")
def elu(call: OperationCall) -> Steps:
    return Steps((elu_slopes(float(call.setting("alpha"))),))


@operation("Celu")
def celu(call: OperationCall) -> Steps:
    if not 0 < call.setting("alpha") < math.inf:
        raise NoBoundError("its alpha must be positive and finite")
    return Steps((Slopes(0.0, 1.0),))


@operation("LeakyRelu")
def leaky_relu(call: OperationCall) -> Steps:
    return Steps((relu_slopes(float(call.setting("negative_slope"))),))


@operation("Gelu")
def gelu(call: OperationCall) -> Steps:
    if call.setting("approximate"):
        return Steps((Slopes(1 - GELU_TANH, GELU_TANH, attained=LESS * GELU_TANH),))
    return Steps((SLOPES[activations.gelu],))


@operation("Squareplus")
def squareplus(call: OperationCall) -> Steps:
    if not 0 <= call.setting("b") < math.inf:
        raise NoBoundError("with b < 0 it takes roots of negative numbers; b must be finite")
    return Steps((Slopes(0.0, 1.0),))


@operation("SoftShrink")
def soft_shrink(call: OperationCall) -> Steps:
    if not 0 <= call.setting("threshold") < math.inf:
        raise NoBoundError("with a negative threshold it jumps; it must be finite")
    return Steps((Slopes(0.0, 1.0),))


@operation("Softmax")
def softmax(call: OperationCall) -> Steps | LayerBound:
    axes = call.own_axes(call.setting("axis"))
    if len(axes) != 1:
        return softmax_over([call.shapes[0][axis] for axis in axes])
    return Steps((softmax_step(axes[0], call.shapes[0]),))


@operation("LogSoftmax")
def log_softmax(call: OperationCall) -> Steps:
    axes = call.own_axes(call.setting("axis"))
    if len(axes) != 1:
        raise NoBoundError(f"its rule is for one axis. Received: {len(axes)}")
    return Steps((log_softmax_step(axes[0], call.shapes[0]),))


@operation("Absolute", "Abs", "Fabs")
def absolute(call: OperationCall) -> Steps:
    return Steps((Slopes(-1.0, 1.0, curves.ABSOLUTE, (0.0, math.inf)),))


@operation("Clip")
def clip(call: OperationCall) -> Steps:
    low, high = call.setting("x_min"), call.setting("x_max")
    if any(each is None or np.ndim(each) for each in (low, high)) or not low <= high:
        raise NoBoundError(f"it must have two numbers, the smaller first. Received: {low}, {high}")
    call.same_shape()
    return Steps((Slopes(0.0, 1.0, attained=float(low < high)),))


@operation("StopGradient", "Copy")
def kept(call: OperationCall) -> Steps:
    return IDENTITY


@operation("Cast")
def cast(call: OperationCall) -> Steps:
    # The dtypes of a call's tensors, which are checked before, are float32 or float64.
    call.setting("dtype")
    return IDENTITY


@operation("Negative")
def negated(call: OperationCall) -> Steps:
    return Steps((Diagonal(np.array(-1.0)),))


@operation("Add", "Subtract")
def added(call: OperationCall) -> Result:
    call.same_shape()
    call.operands()
    if len(call.shapes) == 1:
        call.constant()
        # c − x turns the sign of x; that matters where branches are summed.
        turned = type(call.operation).__name__ == "Subtract" and not isinstance(
            call.operands()[0], keras.KerasTensor
        )
        return negated(call) if turned else Steps(())
    return LayerBound(1.0, attained=1.0, how="sum over the branches", combine="sum")


@operation("Multiply")
def multiplied(call: OperationCall) -> Steps:
    return _scaled(call, call.constant(), 0.0)


@operation("Divide", "TrueDivide")
def divided(call: OperationCall) -> Steps:
    divisor = call.constant()
    if isinstance(call.operands()[1], keras.KerasTensor):
        raise NoBoundError("it divides by something that depends on the input")
    if np.any(divisor == 0):
        raise NoBoundError("it divides by zero")
    factor = 1 / divisor
    error = constant_error(divisor) / np.maximum(np.abs(divisor) - constant_error(divisor), 1e-300)
    return _scaled(call, factor, np.abs(factor) * error + 2.0**-52 * np.abs(factor))


def _scaled(call: OperationCall, factor: np.ndarray, error: np.ndarray | float) -> Steps:
    call.same_shape()
    return per_channel(factor, error + constant_error(factor))


@operation("Maximum", "Minimum", "Fmax", "Fmin")
def maximum(call: OperationCall) -> Result:
    call.same_shape()
    call.operands()
    if len(call.shapes) > 1:
        return BESIDE
    call.constant()
    return Steps((Slopes(0.0, 1.0),))


@operation("Matmul", "Dot")
def matmul(call: OperationCall) -> Steps:
    weights = call.constant()
    if weights.ndim != 2 or not isinstance(call.operands()[0], keras.KerasTensor):
        raise NoBoundError("only x @ matrix, with a constant matrix of two axes, has a rule")
    if len(call.shapes[0]) < 2:
        raise NoBoundError(BATCH)
    error = float(np.linalg.norm(constant_error(weights)))
    return Steps((Matrix(weights.T, round_up(error, weights.size)),))


@operation("Mean", "Sum", "Average", "Nanmean", "Nansum")
def mean(call: OperationCall) -> LayerBound:
    root = math.sqrt(call.count())
    is_sum = type(call.operation).__name__ in ("Sum", "Nansum")
    value = root if is_sum else 1 / root
    return LayerBound(round_up(value), attained=round_down(value), how="√count or 1/√count")


@operation("Max", "Min", "Amax", "Amin", "Nanmax", "Nanmin")
def largest(call: OperationCall) -> LayerBound:
    call.count()
    return LayerBound(1.0, attained=1.0, how="each number is read once")


@operation("Concatenate", "Stack", "Append")
def beside(call: OperationCall) -> LayerBound:
    rank = len(call.output_shape)
    if call.setting("axis") is None or call.setting("axis") % rank == 0:
        raise NoBoundError(BATCH)
    call.operands()
    return BESIDE
