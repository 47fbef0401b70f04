"""Refuses by name what the rules do not speak of: other precisions, masks, arguments of calls.

A rule is about one class of layers, called on its inputs alone, in float32 or float64. Whatever
else changes what Keras computes is found here, before the rule is asked.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from intriguing_tf.keras_graph import call_arguments, is_input, layers_in
from intriguing_tf.lipschitz.registry import (
    errors_named,
    is_registered,
    known_arguments,
    why_unbounded,
)
from intriguing_tf.lipschitz.steps import NoBoundError

PRECISIONS = ("float32", "float64")
# Arguments of every layer's constructor, and what becomes of them.
EVERY_LAYER = {
    "name": "a name",
    "dtype": "refused unless float32 or float64",
    "trainable": "training only",
    "kwargs": "name, trainable and dtype, which every layer has",
    "seed": "training only",
    "quantization_config": "refused: quantized layers are not linear",
    "gptq_unpacked_column_size": "refused: quantized layers are not linear",
}
# Endings of such arguments.
EVERY_ENDING = {
    "_initializer": "sets weights, which are read",
    "_regularizer": "training only",
    "_constraint": "training only",
}
# Arguments of a layer's `call` besides its inputs.
EVERY_CALL = {
    "training": "refused if true",
    "mask": "refused if given",
}


# Keras replaces these methods of every layer by wrappers.
_WRAPPED_BY_KERAS = frozenset({"build", "quantize"})
_MAKE_MASKS = (keras.layers.Embedding, keras.layers.Masking)


def check_call(operation: Any, node: Any) -> None:
    """Raises where a call computes something else than its layer's rule says.

    Args:
        operation: the layer or operation.
        node: Keras's record of the call; `None` where there is none.

    Raises:
        NoBoundError: it names the layer, the argument and what would be valid.
    """
    with errors_named(operation):
        for layer in _layers_of(operation):
            _check_precision(layer)
            _check_methods(layer)
        if node is not None:
            _check_tensors(node)
            if isinstance(operation, keras.layers.Layer):
                check_arguments(operation, node)
                _check_shape(operation, node)


def check_arguments(layer: Any, node: Any) -> None:
    """Raises unless a layer, or a model within the model, is called on its inputs alone."""
    positional, keywords = call_arguments(node)
    bound = inspect.signature(layer.call).bind(*positional, **keywords).arguments
    parameters = inspect.signature(layer.call).parameters
    first = next(iter(parameters), None)
    for name, value in bound.items():
        if name == first:
            _check_inputs(value)
            continue
        if _is_tensor(value) and is_registered(type(layer)) and name != "mask":
            continue
        nothing = all(leaf is None for leaf in keras.tree.flatten(value))
        if nothing or (name == "training" and not value):
            continue
        if _is_tensor(value) or value is not parameters[name].default:
            if why := why_unbounded(type(layer)):
                raise NoBoundError(f"it has no finite Lipschitz bound: {why}")
            shown = "a tensor" if _is_tensor(value) else repr(value)
            raise NoBoundError(
                f"its rule does not cover the call argument {name}={shown}. Call it on its inputs "
                "alone"
            )


def _check_inputs(inputs: Any) -> None:
    others = [
        leaf for leaf in keras.tree.flatten(inputs) if not isinstance(leaf, keras.KerasTensor)
    ]
    if any(leaf is not None for leaf in others):
        raise NoBoundError(
            "it is called on an array that does not depend on the model's input. Add it by an "
            f"operation such as `x + array`. Received: {type(others[0]).__name__} among its inputs"
        )


def _layers_of(operation: Any) -> Iterator[Any]:
    if isinstance(operation, keras.layers.Layer):
        yield operation
        yield from layers_in(operation)


def _check_precision(layer: Any) -> None:
    if getattr(layer, "quantization_mode", None):
        raise NoBoundError(
            f"quantized layers are not linear. Received: mode {layer.quantization_mode!r}"
        )
    for kind in ("compute_dtype", "variable_dtype"):
        if getattr(layer, kind) not in PRECISIONS:
            raise NoBoundError(
                f"it rounds to {getattr(layer, kind)}, and bounds hold for float32 and float64 "
                f'only. Build the model with dtype="float32". Received: {kind} of layer '
                f"{layer.name!r}"
            )


def _check_methods(layer: Any) -> None:
    kind: type = type(layer)
    # A model keeps its loss under the name of a method.
    methods = {"call", "__call__"} if isinstance(layer, keras.Model) else _methods_of(kind)
    for name in vars(layer).keys() & methods:
        raise NoBoundError(f"the `{name}` of layer {layer.name!r} was replaced")
    owner = next(each for each in kind.__mro__ if "compute_mask" in vars(each))
    if not is_registered(kind):
        return
    if owner in _MAKE_MASKS or owner.__module__.partition(".")[0] != "keras":
        raise NoBoundError("it makes masks (`compute_mask`), which no rule covers")


@functools.cache
def _methods_of(kind: type) -> frozenset[str]:
    """The methods of a class that nobody replaces on one of its layers, but for Keras itself."""
    names = {name for each in kind.__mro__ for name, value in vars(each).items() if callable(value)}
    functions = {name for name in names if inspect.isfunction(getattr(kind, name, None))}
    return frozenset(functions - _WRAPPED_BY_KERAS)


def _check_tensors(node: Any) -> None:
    for tensor in [*node.input_tensors, *node.outputs]:
        check_dtype(tensor)


def _check_shape(layer: Any, node: Any) -> None:
    """Raises where a layer would now give another shape than in the model's graph."""
    kind = type(layer)
    says = kind.compute_output_shape is not keras.Layer.compute_output_shape
    one = len(node.input_tensors) == len(node.outputs) == 1
    if not (says and one and kind in known_arguments()):
        return
    positional, keywords = call_arguments(node)
    given = positional[0] if positional else next(iter(keywords.values()))
    shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), given)
    now = tuple(layer.compute_output_shape(shapes))
    then = tuple(node.outputs[0].shape)
    same = (None in (a, b) or a == b for a, b in zip(now, then, strict=False))
    if len(now) != len(then) or not all(same):
        raise NoBoundError(
            "one of its attributes was changed after the model was built: it would give shape "
            f"{now}. Build the model again. Received: shape {then}"
        )


def check_dtype(tensor: Any, given: Any = None) -> None:
    """Raises unless a tensor holds float32 or float64.

    Args:
        tensor: of a model, or of one within it.
        given: what the model within it is called on, if the tensor is its input.
    """
    if tensor.dtype not in PRECISIONS:
        begins = is_input(tensor if given is None else given)
        raise NoBoundError(
            f"its tensors are {tensor.dtype}, and bounds hold for float32 and float64 only. "
            f"{_advice(tensor.dtype, begins)}"
        )


def _advice(dtype: str, begins: bool) -> str:
    """What to do about tensors of another dtype, with which the model begins or not."""
    if "float" in dtype or "complex" in dtype:
        return "Build the model in float32"
    if begins:
        return (
            "Of a model that begins with integers, such as an Embedding, take the part from "
            "the first floating-point tensor on: intriguing_tf.keras_graph.above(model, layer)"
        )
    return (
        "What compares or chooses (`where`, `argmax`, masks) has no rule: put it, and what reads "
        "it, into a keras.layers.Layer of its own and register a rule for that"
    )


def _is_tensor(value: Any) -> bool:
    return any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten(value))
