"""A call of a `keras.ops` function on symbolic tensors, and the table of rules for them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.keras_graph import call_arguments, is_keras_operation
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.registry import errors_named
from intriguing_tf.lipschitz.rules.common import own_axis
from intriguing_tf.lipschitz.rules.merging import check_same_shape
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Shape, Steps

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
        self._dtype = node.input_tensors[0].dtype
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

    def count(self) -> int:
        """Returns how many numbers go into one of the output, by `axis` and `keepdims`.

        Raises:
            NoBoundError: the batch is among them, or an unknown size.
        """
        self.setting("keepdims")
        sizes = [self.shapes[0][axis] for axis in self.own_axes(self.setting("axis"))]
        if None in sizes:
            raise NoBoundError(f"an axis has an unknown size. Received: shape {self.shapes[0]}")
        return math.prod(sizes)  # type: ignore[arg-type]

    def same_shape(self) -> None:
        """Raises unless tensors have the shape of the output, and constants that of one example."""
        if len(self.shapes) > 1:
            check_same_shape(self.shapes)
        if any(tuple(shape) != self.output_shape for shape in self.shapes):
            raise NoBoundError(f"shapes {self.shapes} are broadcast to {self.output_shape}")
        for operand in self._call.values():
            if isinstance(operand, keras.KerasTensor):
                continue
            shape = tuple(keras.ops.shape(operand))
            if len(shape) == len(self.output_shape) and shape[0] != 1:
                raise NoBoundError(f"its constant of shape {shape} is another for each example")

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
        zeros = keras.ops.zeros((2, *shape[1:]), self._dtype)
        try:
            computed = keras.tree.flatten(self.run(zeros))[0].shape
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise NoBoundError(f"it cannot be run on two examples: {error}") from error
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
