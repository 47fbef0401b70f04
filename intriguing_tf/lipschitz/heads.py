"""What a single output unit means: a logit, divided at 0, or a probability, divided at 1/2."""

from __future__ import annotations

from typing import Any

import keras
from keras import activations, layers

from intriguing_tf.keras_graph import layers_in
from intriguing_tf.lipschitz.graph import Call, CallGraph, Tensor

# What gives probabilities, or their logarithms.
_FUNCTIONS = (
    activations.hard_sigmoid,
    activations.log_sigmoid,
    activations.log_softmax,
    activations.relu6,
    activations.sigmoid,
    activations.softmax,
    activations.sparse_sigmoid,
)
_OPERATIONS = frozenset(
    ["HardSigmoid", "LogSigmoid", "LogSoftmax", "Relu6", "Sigmoid", "Softmax", "SparseSigmoid"]
)


def check_one_unit(graph: CallGraph) -> None:
    """Raises where one output unit may be a probability that is no sigmoid of a logit.

    Args:
        graph: of a classifier with one output unit, up to its logits.

    Raises:
        ValueError: from the output on back, through all that has no weights, something is met that
            gives probabilities: a mean of sigmoids, one of two classes of a softmax.
    """
    by_output = {tensor: call for call in graph.calls for tensor in call.outputs}
    call = _squashing(graph.outputs[0], by_output)
    if call is not None:
        raise ValueError(
            "One output unit is a logit (two classes, divided at 0) or ends in a sigmoid (divided "
            "at 1/2); of other probabilities nobody can tell where they are divided. End the model "
            "in the logit, in a sigmoid, or in one probability per class. Received: one unit after "
            f"{call.name!r} ({type(call.operation).__name__})."
        )


def _squashing(tensor: Tensor, by_output: dict[Tensor, Call]) -> Call | None:
    """The call that squashes a tensor, if nothing with weights stands after it."""
    call = by_output.get(tensor)
    if call is None or not call.squashes:
        return None
    if _squashes(call):
        return call
    if getattr(call.operation, "weights", None):
        return None
    found = [_squashing(each, by_output) for each in call.inputs]
    return found[0] if found and all(found) else None  # a logit among them makes logits of a sum


def _squashes(call: Call) -> bool:
    operation = call.operation
    if not isinstance(operation, keras.layers.Layer):
        name = type(operation).__name__
        return name in _OPERATIONS or (name == "Clip" and _lowest(operation) >= 0)
    inner: tuple[Any, ...] = (operation, *layers_in(operation))
    return any(
        isinstance(each, layers.Softmax)
        or (isinstance(each, layers.ReLU) and each.max_value is not None)
        or getattr(each, "activation", None) in _FUNCTIONS
        for each in inner
    )


def _lowest(operation: Any) -> float:
    """The lower end of a clip, whose ends are numbers where it has a rule."""
    return float(operation.x_min)
