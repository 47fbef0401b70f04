"""What a traced function computes: operations, settings, constants; nothing that is only a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# Settings of operations that name something, or say how to run it; so do those with an underscore.
_NAMING = frozenset({"config", "config_proto", "container", "executor_type", "shared_name"})


def structure(function: Any, known: Sequence[tf.Variable] = ()) -> list[Any]:
    """Returns what a function computes, as far as the graph that it traced tells.

    Args:
        function: a concrete function of TensorFlow.
        known: variables that stand for themselves. Of others the value counts, unless the function
            changes it, and of captured tensors and constants too.

    Returns:
        Lists and dictionaries of strings, integers and arrays, equal in every process for equal
        code. Where TensorFlow calls Python (`py_function`), what happens there cannot be seen; nor
        can the content of tables, or gradients that code defines otherwise (`custom_gradient`).
    """
    graph = function.graph.as_graph_def()
    bodies = _Bodies(graph.library.function)
    numbers = _numbered(node.name for node in graph.node)
    return [
        bodies.operations(graph.node, numbers),
        [_reference(tensor.name, numbers) for tensor in function.outputs],
        [_reference(tensor.name, numbers) for tensor in function.inputs],
        _captured(function, known),
        bodies.found,
    ]


class _Bodies:
    """The functions that a graph calls, numbered as they come.

    Attributes:
        found: by number, what each computes.
    """

    def __init__(self, library: Iterable[Any]):
        self.found: dict[str, Any] = {}
        self._library = {each.signature.name: each for each in library}
        self._numbers: dict[str, str] = {}

    def operations(self, nodes: Iterable[Any], numbers: Mapping[str, int]) -> list[Any]:
        """Returns each node's operation, inputs and settings."""
        return [
            [
                node.op,
                [_reference(each, numbers) for each in node.input],
                self._settings(node.attr),
            ]
            for node in nodes
        ]

    def _settings(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        kept = (key for key in attributes if not key.startswith("_") and key not in _NAMING)
        # Sorted, for functions are numbered as they come, and TensorFlow's mappings have no order.
        return {key: self._setting(key, attributes[key]) for key in sorted(kept)}

    def _setting(self, key: str, value: Any) -> Any:
        if key == "token":  # of a Python function, another in every process
            return None
        if value.HasField("func"):
            return self._call(value.func)
        if value.HasField("tensor"):
            return _array(tf.make_ndarray(value.tensor))
        if value.HasField("list") and value.list.func:
            return [self._call(each) for each in value.list.func]
        return value.SerializeToString(deterministic=True).hex()

    def _call(self, function: Any) -> list[Any]:
        return [self._number(function.name), self._settings(function.attr)]

    def _number(self, name: str) -> str:
        if name not in self._numbers:
            number = self._numbers[name] = str(len(self._numbers))
            self.found[number] = self._body(self._library[name])
        return self._numbers[name]

    def _body(self, function: Any) -> list[Any]:
        taken = [each.name for each in function.signature.input_arg]
        given = [function.ret[each.name] for each in function.signature.output_arg]
        numbers = _numbered([*taken, *(node.name for node in function.node_def)])
        return [
            len(taken),
            self.operations(function.node_def, numbers),
            [_reference(each, numbers) for each in given],
        ]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _reference(tensor: str, numbers: Mapping[str, int]) -> list[Any]:
    """A tensor by the number of what gives it; `^name` only waits for an operation."""
    name, _, place = tensor.removeprefix("^").partition(":")
    return [numbers[name], "^" if tensor.startswith("^") else place]


def _captured(function: Any, known: Sequence[tf.Variable]) -> list[Any]:
    """What the function takes from outside its arguments, in the order of its inputs."""
    places = {id(variable.handle): place for place, variable in enumerate(known)}
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    inside = function.inputs[len(function.inputs) - len(function.captured_inputs) :]
    found: list[Any] = []
    for tensor, outside in zip(inside, function.captured_inputs, strict=True):
        if id(outside) in places:
            found.append(places[id(outside)])
        elif outside.dtype not in {tf.resource, tf.variant}:
            found.append(_array(outside.numpy()))
        elif id(outside) in variables and not _assigned(tensor):
            found.append(_array(variables[id(outside)].numpy()))
        else:
            found.append("state")
    return found


def _assigned(handle: tf.Tensor) -> bool:
    return any(each.type.startswith("Assign") for each in handle.consumers())


def _array(values: Any) -> np.ndarray:
    array = np.atleast_1d(values)
    return array.astype("S") if array.dtype.hasobject else array
