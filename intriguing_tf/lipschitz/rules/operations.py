"""The rules of `keras.ops` functions on symbolic tensors, such as `x / 127.5 - 1`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import activations

from intriguing_tf.keras_graph import call_arguments, is_keras_operation
from intriguing_tf.lipschitz import curves
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.registry import errors_named
from intriguing_tf.lipschitz.rounding import constant_error, round_down, round_up
from intriguing_tf.lipschitz.rules.activations import (
    GELU_TANH,
    SLOPES,
    elu_slopes,
    log_softmax_step,
    relu_slopes,
    softmax_step,
)
from intriguing_tf.lipschitz.rules.common import own_axis
from intriguing_tf.lipschitz.rules.merging import BESIDE, check_same_shape
from intriguing_tf.lipschitz.rules.normalization import per_channel
from intriguing_tf.lipschitz.rules.observed import moved
from intriguing_tf.lipschitz.steps import (
    Diagonal,
    LayerBound,
    Matrix,
    NoBoundError,
    Shape,
    Slopes,
    Steps,
)

Result = LayerBound | Steps
PRODUCT = (
    "it multiplies or divides two things that both depend on the input, so its slope grows with "
    "the input"
)


class OperationCall:
    """One call of an operation: its arguments, and which of them a rule has read.

    Args:
        node: Keras's record of the call.
        shapes: of its input tensors, the batch first.
    """

    def __init__(self, node: Any, shapes: Sequence[Shape]):
        self.operation = node.operation
        self.shapes = list(shapes)
        self.output_shape = tuple(node.outputs[0].shape)
        positional, keywords = call_arguments(node)
        signature = inspect.signature(self.operation.call)
        self._call = dict(signature.bind(*positional, **keywords).arguments)
        given = inspect.signature(type(self.operation).__init__).parameters
        self._settings = {
            name: getattr(self.operation, name, None)
            for name in given
            if name not in ("self", "name")
        }
        self._read: set[str] = set()

    def setting(self, name: str) -> Any:
        """Returns an argument of the operation's constructor, such as `axis`."""
        self._read.add(name)
        return self._settings.get(name)

    def operands(self) -> list[Any]:
        """Returns the arguments of the call: symbolic tensors and constants."""
        self._read |= set(self._call)
        return list(self._call.values())

    def constant(self) -> np.ndarray:
        """Returns the one operand that does not depend on the model's input.

        Raises:
            NoBoundError: both do.
        """
        constants = [each for each in self.operands() if not isinstance(each, keras.KerasTensor)]
        if len(constants) != 1:
            raise NoBoundError(PRODUCT)
        return as_weights(keras.ops.convert_to_numpy(constants[0]), "constant")

    def run(self, x: Any) -> Any:
        """Runs the operation on one tensor, with the constants of this call."""
        self._read |= set(self._call) | set(self._settings)
        values = keras.tree.map_structure(
            lambda value: x if isinstance(value, keras.KerasTensor) else value, self._call
        )
        return self.operation.call(**values)

    def own_axes(self, axis: Any) -> list[int]:
        """Returns axes of one example; `None` would be all, with the batch.

        Raises:
            NoBoundError: the batch is among them.
        """
        shape = self.shapes[0]
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, Iterable) else [axis]
        return [own_axis(each, shape) for each in axes]

    def same_shape(self) -> None:
        """Raises unless every operand that is a tensor has the shape of the output."""
        if len(self.shapes) > 1:
            check_same_shape(self.shapes)
        if any(tuple(shape) != self.output_shape for shape in self.shapes):
            raise NoBoundError(f"shapes {self.shapes} are broadcast to {self.output_shape}")

    def check_all_read(self) -> None:
        """Raises where an argument was given that the rule has not read."""
        given = {**self._settings, **self._call}
        for name, value in given.items():
            tensor = any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(value))
            if (
                name not in self._read
                and value is not None
                and not (tensor and len(self.shapes) == 1)
            ):
                raise NoBoundError(f"its rule does not cover the argument {name}={value!r}")

    def check_shape(self) -> None:
        """Raises where Keras computes another shape than it says, which later rules would read."""
        shape = self.shapes[0]
        if len(self.shapes) > 1 or self.output_shape == shape or None in shape[1:]:
            return
        computed = keras.tree.flatten(self.run(np.zeros((2, *shape[1:]), np.float32)))[0].shape
        if tuple(computed[1:]) != self.output_shape[1:]:
            raise NoBoundError(
                f"its output has shape {(None, *computed[1:])}, and Keras says {self.output_shape}"
            )


Rule = Callable[[OperationCall], Result]
RULES: dict[str, Rule] = {}


def operation(*names: str) -> Callable[[Rule], Rule]:
    """Files the rule of operations with these class names, of `keras.ops` only."""

    def decorate(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return decorate


def apply_operation(node: Any, shapes: Sequence[Shape]) -> Result:
    """Returns the bound of a call of a `keras.ops` function on symbolic tensors.

    Raises:
        NoBoundError: the operation has no rule, or no finite bound.
    """
    kind = type(node.operation).__name__
    if not is_keras_operation(node.operation) or kind not in RULES:
        raise NoBoundError(
            f"No Lipschitz rule is registered for operation {node.operation.name!r} ({kind}). Put "
            "it into a keras.layers.Layer of its own and register a rule for that with "
            "intriguing_tf.lipschitz.register."
        )
    with errors_named(node.operation):
        call = OperationCall(node, shapes)
        result = RULES[kind](call)
        call.check_all_read()
        call.check_shape()
    return result


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
    if not call.setting("alpha") > 0:
        raise NoBoundError("with alpha ≤ 0 it grows without bound")
    return Steps((Slopes(0.0, 1.0),))


@operation("LeakyRelu")
def leaky_relu(call: OperationCall) -> Steps:
    return Steps((relu_slopes(float(call.setting("negative_slope"))),))


@operation("Gelu")
def gelu(call: OperationCall) -> Steps:
    exact = SLOPES[activations.gelu]
    return Steps((Slopes(1 - GELU_TANH, GELU_TANH) if call.setting("approximate") else exact,))


@operation("Squareplus")
def squareplus(call: OperationCall) -> Steps:
    if not call.setting("b") >= 0:
        raise NoBoundError("with b < 0 it takes roots of negative numbers")
    return Steps((Slopes(0.0, 1.0),))


@operation("SoftShrink")
def soft_shrink(call: OperationCall) -> Steps:
    if not call.setting("threshold") >= 0:
        raise NoBoundError("with a negative threshold it jumps")
    return Steps((Slopes(0.0, 1.0),))


@operation("Softmax")
def softmax(call: OperationCall) -> Steps | LayerBound:
    axes = call.own_axes(call.setting("axis"))
    if len(axes) > 1:
        return LayerBound(0.5, attained=0.5, how="Jacobian diag(p) − ppᵀ")
    return Steps((softmax_step(axes[0], call.shapes[0]),))


@operation("LogSoftmax")
def log_softmax(call: OperationCall) -> Steps:
    (axis,) = call.own_axes(call.setting("axis"))
    return Steps((log_softmax_step(axis, call.shapes[0]),))


@operation("Absolute", "Abs")
def absolute(call: OperationCall) -> Steps:
    return Steps((Slopes(-1.0, 1.0, curves.ABSOLUTE, (0.0, math.inf)),))


@operation("Clip")
def clip(call: OperationCall) -> Steps:
    low, high = call.setting("x_min"), call.setting("x_max")
    if not (np.ndim(low) == np.ndim(high) == 0 and low <= high):
        raise NoBoundError(f"it must have two numbers, the smaller first. Received: {low}, {high}")
    call.same_shape()
    return Steps((Slopes(0.0, 1.0),))


@operation("StopGradient", "Copy")
def kept(call: OperationCall) -> Steps:
    return Steps(())


@operation("Cast")
def cast(call: OperationCall) -> Steps:
    # The dtypes of a call's tensors, which are checked before, are float32 or float64.
    call.setting("dtype")
    return Steps(())


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


@operation("Maximum", "Minimum")
def maximum(call: OperationCall) -> Result:
    call.same_shape()
    call.operands()
    if len(call.shapes) > 1:
        return BESIDE
    constant = next(x for x in call.operands() if not isinstance(x, keras.KerasTensor))
    if np.any(np.isnan(keras.ops.convert_to_numpy(constant))):
        raise NoBoundError("it compares with NaN")
    return Steps((Slopes(0.0, 1.0),))


@operation("Matmul", "Dot")
def matmul(call: OperationCall) -> Steps:
    weights = call.constant()
    if weights.ndim != 2 or not isinstance(call.operands()[0], keras.KerasTensor):
        raise NoBoundError("only x @ matrix, with a constant matrix of two axes, has a rule")
    if len(call.shapes[0]) < 2:
        raise NoBoundError("it works along the batch, so that examples depend on one another")
    error = float(np.linalg.norm(constant_error(weights)))
    return Steps((Matrix(weights.T, round_up(error, weights.size)),))


@operation("Mean", "Sum", "Average")
def mean(call: OperationCall) -> LayerBound:
    root = math.sqrt(_count(call))
    is_sum = type(call.operation).__name__ == "Sum"
    value = root if is_sum else 1 / root
    return LayerBound(round_up(value), attained=round_down(value), how="√count or 1/√count")


@operation("Max", "Min", "Amax", "Amin")
def largest(call: OperationCall) -> LayerBound:
    _count(call)
    return LayerBound(1.0, attained=1.0, how="each number is read once")


def _count(call: OperationCall) -> int:
    """How many numbers go into one of the output."""
    call.setting("keepdims")
    sizes = [call.shapes[0][axis] for axis in call.own_axes(call.setting("axis"))]
    if None in sizes:
        raise NoBoundError(f"an axis has an unknown size. Received: shape {call.shapes[0]}")
    return math.prod(sizes)  # type: ignore[arg-type]


@operation("Concatenate", "Stack")
def beside(call: OperationCall) -> LayerBound:
    rank = len(call.output_shape)
    if call.setting("axis") is None or call.setting("axis") % rank == 0:
        raise NoBoundError("it works along the batch, so that examples depend on one another")
    call.operands()
    return BESIDE


@operation(
    "ExpandDims", "Flip", "GetItem", "Moveaxis", "Pad", "Ravel", "Repeat", "Reshape", "Roll",
    "Rot90", "Split", "Squeeze", "Swapaxes", "Take", "Tile", "Transpose",
)  # fmt: skip
def rearranged(call: OperationCall) -> Result:
    if len(call.shapes) > 1:
        raise NoBoundError("what it moves must not depend on the input")
    kind = type(call.operation).__name__
    if kind in ("Flip", "Repeat", "Roll", "Take"):
        call.own_axes(call.setting("axis"))
    if kind == "GetItem":
        _check_key(call.operands()[1], len(call.shapes[0]))
    return moved(call.run, call.shapes[0])


def _check_key(key: Any, rank: int) -> None:
    """Raises where indices choose among the examples: two examples would not show `x[:2]`."""
    keys = list(key) if isinstance(key, tuple) else [key]
    others = [each for each in keys if each is not None and each is not Ellipsis]
    whole = isinstance(keys[0], slice) and keys[0] in (slice(None), slice(None, None, 1))
    if not whole and not (keys[0] is Ellipsis and len(others) < rank):
        raise NoBoundError("it indexes the batch; its first index must be `:` or `...`")
