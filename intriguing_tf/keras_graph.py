"""What a Keras model computes: its graph of layers, its parts, copies.

The one room that touches names which Keras and TensorFlow do not promise to keep. Where one is
missing, `private` says so, naming the release.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.origins import is_in, is_of

_KNOWN_TO_WORK = "Keras 3.10 to 3.15 with TensorFlow 2.18 to 2.21"
_PACKAGES = ("keras", "intriguing_tf")
# The range of float32 in which no number overflows, or may become 0.
_LEAST32, _LARGEST32 = 2.0**-126, 1e38
# What makes or trains weights, by the last word of its name in a configuration; what does without.
_OF_WEIGHTS = {"initializer": "zeros", "regularizer": None, "constraint": None}


def private(owner: Any, name: str) -> Any:
    """Returns a private attribute of Keras's or TensorFlow's.

    Raises:
        RuntimeError: this release has no such attribute.
    """
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise RuntimeError(
            f"{type(owner).__module__}.{type(owner).__name__} has no {name!r} in Keras "
            f"{keras.__version__} with TensorFlow {tf.__version__}. Known to work: "
            f"{_KNOWN_TO_WORK}."
        ) from error


def graph_of(model: keras.Model) -> Any:
    """Returns the Functional model that holds all that a model computes.

    Raises:
        ValueError: a subclassed model without a graph of layers, or with a `call` of its own,
            which may compute something else than its graph.
    """
    graph = private(model, "_functional") if isinstance(model, keras.Sequential) else model
    name = f"Model {model.name!r} ({type(model).__name__})"
    advice = (
        "Build it as a Sequential or Functional model; of a model that only trains another one, "
        "take the other: `model.model` of an `AdversarialModel`."
    )
    if not is_functional(graph):
        raise ValueError(
            f"{name} has no graph of layers, so what it computes between them cannot be seen. "
            f"{advice}"
        )
    method = _own_method(model)
    if method is not None:
        raise ValueError(
            f"{name} has a `{method}` of its own, which may compute something else than its graph "
            f"of layers. {advice}"
        )
    return graph


def _own_method(model: keras.Model) -> str | None:
    """The method by which a model may compute something else than its graph; `None` if none."""
    for method in ("call", "__call__"):
        owner = next(kind for kind in type(model).__mro__ if method in vars(kind))
        if method in vars(model) or owner.__module__.partition(".")[0] != "keras":
            return method
    return None


def nodes_of(graph: Any) -> list[Any]:
    """Returns the calls of layers that a graph consists of, from its inputs to its outputs."""
    by_depth = private(graph, "_nodes_by_depth")
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def run_through(graph: Any, inputs: tf.Tensor, operation: Any) -> Any:
    """Returns the outputs of a graph, with `operation(each)` in the place of each operation."""
    return private(graph, "_run_through_graph")(inputs, operation)


def is_functional(model: Any) -> bool:
    """Whether a model was made from symbolic tensors, so that it has a graph of layers."""
    return isinstance(model, keras.Model) and getattr(model, "_nodes_by_depth", None) is not None


def is_keras_operation(operation: Any) -> bool:
    """Whether an operation of a graph is a `keras.ops` function, not a layer or a user's own."""
    return type(operation).__module__.startswith("keras.src.ops.")


def call_arguments(node: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the positional and keyword arguments of one call in a graph."""
    arguments = private(node, "arguments")
    return arguments.args, arguments.kwargs


def given_tensors(model: keras.Model, node: Any) -> list[Any]:
    """Returns what a call in a graph gives to each input of a model, in the order of its inputs.

    A dictionary goes by the inputs' names, a list by their order: Keras itself decides, on the
    tensors of the graph instead of values.

    Raises:
        ValueError: one is missing, or Keras would change its number of axes.
    """
    graph = graph_of(model)
    positional, keywords = call_arguments(node)
    inputs = positional[0] if positional else keywords["inputs"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = private(type(graph), "_standardize_inputs")(_Symbolic(graph), inputs)
    fits = len(given) == len(graph.inputs) and all(
        isinstance(x, keras.KerasTensor) and len(x.shape) == len(own.shape)
        for x, own in zip(given, graph.inputs, strict=True)
    )
    if not fits:
        raise ValueError(
            f"Model {model.name!r} is called on tensors that are not its inputs one by one: "
            f"{[tuple(x.shape) for x in graph.inputs]}. Received: {inputs!r}."
        )
    return given


class _Symbolic:
    """Stands for a Functional model while Keras matches its inputs, and leaves them as they are."""

    def __init__(self, graph: Any):
        self._inputs = private(graph, "_inputs")
        self._inputs_struct = private(graph, "_inputs_struct")

    def _maybe_warn_inputs_struct_mismatch(
        self, inputs: Any, raise_exception: bool = False
    ) -> None:
        if raise_exception:
            raise ValueError(f"Inputs that do not match the model's. Received: {inputs!r}.")

    def _convert_inputs_to_tensors(self, inputs: list[Any]) -> list[Any]:
        return inputs

    _adjust_input_rank = _convert_inputs_to_tensors


def layers_in(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns a model's layers, those within its layers and models too."""
    return [each for each in private(model, "_flatten_layers")() if each is not model]


def unexported(module: str, *names: str) -> tuple[type, ...]:
    """Returns those layer classes of a module of `keras.applications` that this release has."""
    found = vars(importlib.import_module(f"keras.src.applications.{module}"))
    return tuple(found[name] for name in names if name in found)


def layer_below(layer: keras.layers.Layer) -> Any:
    """Returns the layer or operation that gives a layer its input."""
    return private(layer.input, "_keras_history").operation


def is_input(tensor: Any) -> bool:
    """Whether a symbolic tensor is an input of the model that it belongs to."""
    return isinstance(private(tensor, "_keras_history").operation, keras.layers.InputLayer)


def operations_in(graph: tf.Graph) -> list[tf.Operation]:
    """Returns the operations of a traced graph, those within the functions it calls too."""
    operations = list(graph.get_operations())
    for name in private(graph, "_functions"):
        inner = getattr(private(graph, "_get_function")(name), "graph", None)
        operations += inner.get_operations() if inner is not None else []
    return operations


def find_layer(model: keras.Model, layer: keras.layers.Layer | str) -> keras.layers.Layer:
    """Returns the layer of that name, or checks that the given layer belongs to the model."""
    layers = {each.name: each for each in model.layers}
    if isinstance(layer, keras.layers.Layer):
        if layers.get(layer.name) is layer:
            return layer
        layer = layer.name
    elif layer in layers:
        return layers[layer]
    raise ValueError(
        f"Layer {layer!r} is not one of the layers of model {model.name!r}. "
        f"Valid: {', '.join(layers)}."
    )


def up_to(model: keras.Model, layer: keras.layers.Layer | str) -> keras.Model:
    """Returns the part of the model from its input to the output of `layer`, sharing weights.

    Raises:
        ValueError: the model has no such layer, or no graph of layers (subclassed models).
    """
    layer = find_layer(model, layer)
    output = _output_in(model, layer)
    return keras.Model(model.inputs[0], output, name=f"{model.name}_up_to_{layer.name}")


def above(model: keras.Model, layer: keras.layers.Layer | str) -> keras.Model:
    """Returns the part of the model above `layer`, whose input is that layer's output.

    Weights are shared with `model`.

    Raises:
        ValueError: the model has no such layer, no graph of layers (subclassed models), or a path
            around the layer, so that its output alone does not determine the model's; nothing
            lies above the layer.
    """
    layer = find_layer(model, layer)
    graph = graph_of(model)
    last = [node.outputs for node in nodes_of(graph) if node.operation is layer]
    if any(each is graph.outputs[0] for each in keras.tree.flatten(last)):
        raise ValueError(
            f"Nothing of model {model.name!r} lies above layer {layer.name!r}, which gives its "
            "output. Take a layer below."
        )
    try:
        output = _output_in(model, layer)
        part = keras.Model(output, model.outputs[0], name=f"{model.name}_above_{layer.name}")
        if sum(node.is_input for node in nodes_of(part)) > 1:  # older Keras does not refuse it
            raise ValueError(f"{part.name!r} has other inputs as well.")
        return with_policy_of(model, part)
    except ValueError as error:
        raise ValueError(
            f"Model {model.name!r} cannot be cut above layer {layer.name!r}: its output must be "
            "one tensor on which all that follows depends, with no path around it."
        ) from error


def with_policy_of(model: keras.Model, other: keras.Model) -> keras.Model:
    """Returns `other`, made of `model` or a part of it, with its policy, not Keras's of now."""
    other.dtype_policy = model.dtype_policy
    return other


def _output_in(model: keras.Model, layer: keras.layers.Layer) -> Any:
    """Returns what the layer's one call in the model's own graph gives.

    `layer.output` may be another tensor: a model that was loaded from a file has called its layers
    several times while it was built.
    """
    outputs = [node.outputs for node in nodes_of(graph_of(model)) if node.operation is layer]
    if len(outputs) != 1 or len(outputs[0]) != 1:
        raise ValueError(
            f"Layer {layer.name!r} of model {model.name!r} must be called once and give one "
            f"tensor. Received: {len(outputs)} calls."
        )
    return outputs[0][0]


def named_tensors(model: keras.Model, kind: str) -> Any:
    """Returns the structure (tensor, list or dictionary) of a model's "inputs" or "outputs".

    `None` where it has no graph of layers.
    """
    return getattr(model, f"_{kind}_struct", None)


def called_flat(model: keras.Model, tensors: Sequence[Any]) -> list[Any]:
    """Returns the outputs of a model with a graph, with `training=False`, as a list.

    Args:
        model: the model.
        tensors: one for each of its inputs, in their order, however they are named or nested.
    """
    given = keras.tree.pack_sequence_as(named_tensors(graph_of(model), "inputs"), list(tensors))
    return keras.tree.flatten(model(given, training=False))


def float64_copy(model: keras.Model) -> keras.Model:
    """Returns a copy of a Sequential or Functional model that computes in float64.

    Models within it and layers within its layers compute in float64 too. Settings, and constants
    between layers, are those that the model computes with: float32 rounds them. It has its own
    weights, with the model's values, and shares the model's regularizers and constraints. What
    `get_config` of a layer does not say it lacks: `lipschitz.copies` compares the two.

    Raises:
        ValueError: the model has no graph of layers, or a layer cannot be copied from its
            configuration and weights.
    """
    graph_of(model)
    try:
        copy = _clone_in_float64(model)
        copy.set_weights(model.get_weights())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"Model {model.name!r} cannot be copied to float64: {error}") from error
    for weight, original in zip(copy.weights, model.weights, strict=True):
        weight.regularizer, weight.constraint = original.regularizer, original.constraint
    for layer, original in zip(layers_in(copy), layers_in(model), strict=True):
        layer.activity_regularizer = original.activity_regularizer
        if getattr(original, "lora_rank", None):  # Keras's Dense loses the other one
            layer.lora_alpha = original.lora_alpha
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with what it derives from its weights
    return copy


def _clone_in_float64(model: Any) -> keras.Model:
    rounding = []  # copies of what computes in float32

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.Sequential) or is_functional(layer):
            return _clone_in_float64(layer)
        config = _float64_config(layer.get_config(), is_of(type(layer), _PACKAGES))
        if not _is_in_float32(layer):
            return type(layer).from_config(config)
        copy = type(layer).from_config(_with_floats_rounded(config))
        rounding.append(copy)
        return copy

    def call(layer: Any, *positional: Any, **keywords: Any) -> Any:
        if any(layer is each for each in rounding):
            positional, keywords = keras.tree.map_structure(in_float32, (positional, keywords))
        return layer(*positional, **keywords)

    # A clone's own inputs would keep their dtype, and round what enters it.
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(
            batch_shape=x.shape,
            dtype="float64" if x.dtype.startswith(("float", "bfloat")) else x.dtype,
            name=x.name,
        ),
        private(graph_of(model), "_inputs_struct"),
    )
    # Nothing stands between the layers of a Sequential model.
    calls = {} if isinstance(model, keras.Sequential) else {"call_function": call}
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=clone, **calls)


def _is_in_float32(operation: Any) -> bool:
    """Whether a layer, and all within it, or an operation computes in float32."""
    if isinstance(operation, keras.layers.Layer):
        layers = private(operation, "_flatten_layers")()
        return all(layer.compute_dtype == "float32" for layer in layers)
    return all(tensor.dtype == "float32" for tensor in keras.tree.flatten(operation.output))


def in_float32(constant: Any) -> Any:
    """Returns a Python or NumPy number, or an array, as float32 rounds it; anything else as it is.

    So are those that overflow or underflow there: what becomes of them depends on the processor.
    """
    is_number = isinstance(constant, (int, float, np.ndarray)) and not isinstance(constant, bool)
    exact = np.asarray(constant if is_number else "")
    if exact.dtype.kind not in "iuf":
        return constant
    size = np.abs(exact.astype(np.float64))
    if np.any((size > _LARGEST32) | ((size > 0) & (size < _LEAST32))):
        return constant
    rounded = exact.astype(np.float32).astype(exact.dtype)
    return rounded if isinstance(constant, np.ndarray) else type(constant)(rounded)


def _with_floats_rounded(config: Any) -> Any:
    """The settings of a configuration; whole numbers are sizes and axes."""
    if isinstance(config, dict):
        return {key: _with_floats_rounded(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(map(_with_floats_rounded, config))
    return in_float32(config) if isinstance(config, float) else config


def _float64_config(config: Any, known: bool) -> Any:
    """A layer's configuration with every dtype in it, of wrapped layers too, set to float64.

    Functions that make or train weights have no part in the copy, whose weights are set, and not
    all can be copied: they are left out where the layer is `known` to do nothing else with them.
    """
    if isinstance(config, list):
        return [_float64_config(value, known) for value in config]
    if not isinstance(config, dict):
        return config
    known = is_in(config["module"], _PACKAGES) if config.get("module") else known
    replaced: dict[str, Any] = {"dtype": "float64"}
    for key in config if known else ():
        last = key.rpartition("_")[2]
        if last in _OF_WEIGHTS:
            replaced[key] = _OF_WEIGHTS[last]
    return {
        key: replaced[key] if key in replaced else _float64_config(value, known)
        for key, value in config.items()
    }
