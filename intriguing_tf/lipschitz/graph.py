"""The calls of layers that a model consists of, those of the models within it included."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from intriguing_tf.aliases import moved_names
from intriguing_tf.keras_graph import given_tensors, graph_of, nodes_of
from intriguing_tf.lipschitz.exactness import check_arguments, check_dtype
from intriguing_tf.lipschitz.registry import errors_named, is_registered
from intriguing_tf.lipschitz.steps import NoBoundError, Shape

__getattr__ = moved_names(__name__, "intriguing_tf.lipschitz.bounds", "bound")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What identifies a tensor: the number of the call that gave it, and which output it is.

    The model's inputs are the outputs of call −1.
    """

    call: int
    index: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or operation.

    Args:
        number: of the call, in the order of computation.
        name: of the layer, after those of the models that it is in.
        operation: the layer, or the `keras.ops` operation.
        node: Keras's record of the call; `None` where there is none.
        inputs: the tensors that it is called on.
        input_shapes: theirs, the batch first.
        outputs: the tensors that it gives.
        squashes: whether its last step counts; a softmax or sigmoid on top of the logits does not
            (`head`).
    """

    number: int
    name: str
    operation: Any
    node: Any
    inputs: tuple[Tensor, ...]
    input_shapes: list[Shape]
    outputs: tuple[Tensor, ...]
    squashes: bool = True


@dataclasses.dataclass(frozen=True)
class CallGraph:
    """A model as calls in the order of computation, each after those that give its inputs."""

    inputs: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Tensor, ...]


def calls_of(model: keras.Model) -> CallGraph:
    """Returns what a model computes, as calls of layers; models within it are entered.

    Raises:
        ValueError: the model, or one within it, has no graph of layers.
    """
    inputs = tuple(Tensor(-1, i) for i in range(len(graph_of(model).inputs)))
    calls: list[Call] = []
    outputs = _enter(model, inputs, "", calls)
    return CallGraph(inputs, tuple(calls), outputs)


def call_of(layer: keras.layers.Layer, input_shapes: Sequence[Shape]) -> CallGraph:
    """Returns one call of a layer by itself."""
    inputs = tuple(Tensor(-1, i) for i in range(len(input_shapes)))
    outputs = (Tensor(0),)
    call = Call(0, layer.name, layer, None, inputs, list(input_shapes), outputs)
    return CallGraph(inputs, (call,), outputs)


def _enter(
    model: keras.Model, given: Sequence[Tensor], prefix: str, calls: list[Call]
) -> tuple[Tensor, ...]:
    """Adds the calls of a model on the tensors `given`; returns the tensors of its outputs."""
    graph = graph_of(model)
    # Keyed by identity: symbolic tensors compare element by element.
    tensors = dict(zip(map(id, graph.inputs), given, strict=True))
    for node in nodes_of(graph):
        layer = node.operation
        if node.is_input or isinstance(layer, keras.layers.InputLayer):
            continue
        name = prefix + layer.name
        is_model = isinstance(layer, keras.Model) and not is_registered(type(layer))
        given = node.input_tensors
        if is_model:
            with errors_named(layer):
                check_arguments(layer, node)
                given = given_tensors(layer, node)
                _check_sizes(layer, given)
        inputs = tuple(tensors[id(tensor)] for tensor in given)
        if is_model:
            outputs = _enter(layer, inputs, f"{name}/", calls)
        else:
            number = len(calls)
            shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
            outputs = tuple(Tensor(number, i) for i in range(len(node.outputs)))
            calls.append(Call(number, name, layer, node, inputs, shapes, outputs))
        tensors.update(zip(map(id, node.outputs), outputs, strict=True))
    return tuple(tensors[id(tensor)] for tensor in graph.outputs)


def _check_sizes(model: keras.Model, given: Sequence[Any]) -> None:
    """Raises where a model within is called on other sizes than those that its rules will read."""
    for own, tensor in zip(graph_of(model).inputs, given, strict=True):
        check_dtype(own, given=tensor)
        pairs = zip(own.shape[1:], tensor.shape[1:], strict=True)
        if any(want is not None and want != got for want, got in pairs):
            raise NoBoundError(
                f"it was built for inputs of shape {tuple(own.shape)}, and rules hold for these "
                f"sizes only. Received: shape {tuple(tensor.shape)}"
            )
