"""What a Keras model computes: its graph of layers, its parts, copies, a faster way through it.

The one room that touches names which Keras and TensorFlow do not promise to keep. Where one is
missing, `private` says so, naming the release.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

_KNOWN_TO_WORK = "Keras 3.10 to 3.15 with TensorFlow 2.18 to 2.21"
_CONVOLUTIONS = frozenset(
    {
        keras.layers.Conv1D,
        keras.layers.Conv2D,
        keras.layers.Conv3D,
        keras.layers.DepthwiseConv1D,
        keras.layers.DepthwiseConv2D,
    }
)


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
            around the layer, so that its output alone does not determine the model's.
    """
    layer = find_layer(model, layer)
    graph_of(model)
    try:
        output = _output_in(model, layer)
        part = keras.Model(output, model.outputs[0], name=f"{model.name}_above_{layer.name}")
        if sum(node.is_input for node in nodes_of(part)) > 1:  # older Keras does not refuse it
            raise ValueError(f"{part.name!r} has other inputs as well.")
        return part
    except ValueError as error:
        raise ValueError(
            f"Model {model.name!r} cannot be cut above layer {layer.name!r}: its output must be "
            "one tensor on which all that follows depends, with no path around it."
        ) from error


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

    Models within it and layers within its layers compute in float64 too. It has its own weights,
    with the model's values.

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
    for layer in layers_in(copy):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with what it derives from its weights
    return copy


def _clone_in_float64(model: Any) -> keras.Model:
    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.Sequential) or is_functional(layer):
            return _clone_in_float64(layer)
        return type(layer).from_config(_float64_config(layer.get_config()))

    # A clone's own inputs would keep their dtype, and round what enters it.
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(
            batch_shape=x.shape,
            dtype="float64" if x.dtype.startswith(("float", "bfloat")) else x.dtype,
            name=x.name,
        ),
        private(graph_of(model), "_inputs_struct"),
    )
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=clone)


def _float64_config(config: Any) -> Any:
    """A layer's configuration with every dtype in it, of wrapped layers too, set to float64."""
    if isinstance(config, dict):
        return {
            key: "float64" if key == "dtype" else _float64_config(value)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [_float64_config(value) for value in config]
    return config


def folded_call(model: keras.Model, inputs: tf.Tensor) -> tf.Tensor:
    """Returns `model(inputs, training=False)` up to rounding, in less time.

    Each `BatchNormalization` that alone follows a convolution is folded into its kernel, which
    saves passes over the activations, forwards and backwards. The kernel is folded within each
    call, so changed weights are followed.

    Args:
        model: a built Keras model. One without a graph of layers is called as it is.
        inputs: a batch for it.
    """
    try:
        graph = graph_of(model)
    except ValueError:
        return model(inputs, training=False)
    if len(graph.inputs) != 1 or graph.inputs[0].dtype != inputs.dtype.name:
        return model(inputs, training=False)
    convolutions = _followed_by_normalization(graph)
    normalizations = set(convolutions.values())

    def operation(each: Any) -> Any:
        if each in convolutions:
            return lambda x, **_: _convolve(each, convolutions[each], x)
        if each in normalizations:
            return lambda x, **_: x
        if isinstance(each, keras.Model) and len(each.inputs or ()) == 1:
            return lambda x, **_: folded_call(each, x)
        if "training" in inspect.signature(each.call).parameters:
            return lambda *args, **kwargs: each(*args, **{**kwargs, "training": False})
        return each

    outputs = private(graph, "_run_through_graph")(inputs, operation)
    return outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs


def _followed_by_normalization(graph: Any) -> dict[Any, keras.layers.BatchNormalization]:
    """Returns the convolutions whose output goes through a normalization and nowhere else."""
    nodes = nodes_of(graph)
    by_operation: dict[Any, list[Any]] = {}
    readers: dict[int, list[Any]] = {id(tensor): [None] for tensor in graph.outputs}
    for node in nodes:
        by_operation.setdefault(node.operation, []).append(node)
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)
    found = {}
    for layer, calls in by_operation.items():
        if type(layer) not in _CONVOLUTIONS or len(calls) != 1 or not _is_plain(layer):
            continue
        after = readers.get(id(calls[0].outputs[0]), [])
        if len(after) != 1 or after[0] is None or len(by_operation[after[0].operation]) != 1:
            continue
        norm = after[0].operation
        if type(norm) is keras.layers.BatchNormalization:
            by_channel = norm.axis in (-1, len(calls[0].outputs[0].shape) - 1)
            if by_channel and norm.compute_dtype == layer.compute_dtype:
                found[layer] = norm
    return found


def _is_plain(layer: Any) -> bool:
    """Whether a convolution is no more than one, over the last axis, in the dtype of its kernel."""
    return (
        layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
        and layer.padding in ("valid", "same")
        and layer.compute_dtype == layer.variable_dtype
        and getattr(layer, "quantization_mode", None) is None
    )


def _convolve(layer: Any, norm: keras.layers.BatchNormalization, x: tf.Tensor) -> tf.Tensor:
    """Returns norm(layer(x)) = (s · kernel) * x + s · (bias − mean) + beta."""
    ops = keras.ops
    scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
    scale = scale * norm.gamma if norm.scale else scale
    shift = -scale * norm.moving_mean
    shift = shift + scale * layer.bias if layer.use_bias else shift
    shift = shift + norm.beta if norm.center else shift
    kernel = ops.convert_to_tensor(layer.kernel)
    settings = (layer.strides, layer.padding, layer.data_format, layer.dilation_rate)
    if isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
        convolved = ops.depthwise_conv(x, kernel * ops.reshape(scale, kernel.shape[-2:]), *settings)
    else:
        convolved = ops.conv(x, kernel * scale, *settings)
    return convolved + shift
