"""The rules of operations written without a layer, such as `x / 127.5 - 1` or `x[..., ::-1]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import activations

from intriguing_tf.keras_graph import call_arguments, is_keras_operation
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.rounding import CONSTANT, UNIT_ROUNDOFF
from intriguing_tf.lipschitz.rules.activations import activation_steps
from intriguing_tf.lipschitz.steps import Diagonal, LayerBound, NoBoundError, Regroup, Shape, Steps

# Operations that are activations by another name.
_ACTIVATIONS = {
    "Elu": activations.elu,
    "Relu": activations.relu,
    "Relu6": activations.relu6,
    "Sigmoid": activations.sigmoid,
    "Silu": activations.silu,
    "Softplus": activations.softplus,
    "Tanh": activations.tanh,
}


def apply_operation(node: Any, shapes: Sequence[Shape]) -> LayerBound | Steps:
    """Returns the bound of a call of a `keras.ops` function on symbolic tensors.

    Raises:
        NoBoundError: the operation has no rule, or no finite bound.
    """
    kind = type(node.operation).__name__
    ours = is_keras_operation(node.operation)
    if ours and kind in _ACTIVATIONS:
        return Steps(activation_steps(_ACTIVATIONS[kind], shapes[0]))
    if not ours or kind not in _RULES:
        raise NoBoundError(
            f"No Lipschitz rule is registered for operation {node.operation.name!r} ({kind}). Put "
            "it into a keras.layers.Layer of its own and register a rule for that with "
            "intriguing_tf.lipschitz.register."
        )
    try:
        return _RULES[kind](node, shapes)
    except NoBoundError as error:
        raise NoBoundError(f"Operation {node.operation.name!r} ({kind}): {error}") from error


def _added(node: Any, shapes: Sequence[Shape]) -> LayerBound | Steps:
    _check_not_broadcast(node, shapes)
    if len(shapes) == 1:
        return Steps(())
    return LayerBound(1.0, attained=1.0, how="sum over the branches", combine="sum")


def _multiplied(node: Any, shapes: Sequence[Shape]) -> Steps:
    return _scaled(node, shapes, _constant(node))


def _divided(node: Any, shapes: Sequence[Shape]) -> Steps:
    divisor = _constant(node)
    if isinstance(_operands(node)[1], keras.KerasTensor):
        raise NoBoundError("it divides by something that depends on the input")
    if np.any(divisor == 0):
        raise NoBoundError("it divides by zero")
    return _scaled(node, shapes, 1 / divisor * (1 + 2 * UNIT_ROUNDOFF))


def _scaled(node: Any, shapes: Sequence[Shape], factor: np.ndarray) -> Steps:
    _check_not_broadcast(node, shapes)
    if factor.size == 1 or factor.shape[-1:] == (factor.size,):
        return Steps((Diagonal(factor.reshape(-1) * CONSTANT),))
    largest = float(np.max(np.abs(factor))) * CONSTANT
    return Steps((LayerBound(largest, how="largest factor"),))


def _negated(node: Any, shapes: Sequence[Shape]) -> Steps:
    return Steps((Diagonal(np.array(-1.0)),))


def _kept(node: Any, shapes: Sequence[Shape]) -> Steps:
    return Steps(())


def _reshaped(node: Any, shapes: Sequence[Shape]) -> Steps:
    return Steps((Regroup(None),))


def _selected(node: Any, shapes: Sequence[Shape]) -> Steps:
    positional, keywords = call_arguments(node)
    index = positional[1] if len(positional) > 1 else keywords["key"]
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts):
        raise NoBoundError("it picks by a list or an array, perhaps the same entry twice")
    return Steps((LayerBound(1.0, attained=1.0, how="keeps numbers or drops them"),))


def _concatenated(node: Any, shapes: Sequence[Shape]) -> LayerBound:
    return LayerBound(1.0, attained=1.0, how="root of the sum of squares over the branches")


_RULES: dict[str, Callable[[Any, Sequence[Shape]], LayerBound | Steps]] = {
    "Add": _added,
    "Cast": _kept,
    "Concatenate": _concatenated,
    "Divide": _divided,
    "GetItem": _selected,
    "Multiply": _multiplied,
    "Negative": _negated,
    "Reshape": _reshaped,
    "Stack": _concatenated,
    "Subtract": _added,
    "Transpose": _reshaped,
    "TrueDivide": _divided,
}


def _operands(node: Any) -> list[Any]:
    positional, keywords = call_arguments(node)
    return [*positional, *keywords.values()][:2]


def _constant(node: Any) -> np.ndarray:
    constants = [each for each in _operands(node) if not isinstance(each, keras.KerasTensor)]
    if len(constants) != 1:
        raise NoBoundError(
            "it multiplies or divides two things that both depend on the input, so its slope "
            "grows with the input"
        )
    return as_weights(keras.ops.convert_to_numpy(constants[0]), "constant")


def _check_not_broadcast(node: Any, shapes: Sequence[Shape]) -> None:
    """A tensor that is spread over a larger one counts more than once."""
    result = tuple(node.outputs[0].shape)
    if any(tuple(shape) != result for shape in shapes):
        raise NoBoundError(f"shapes {list(shapes)} are broadcast to {result}")
