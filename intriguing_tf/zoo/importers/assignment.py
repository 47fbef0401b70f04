"""Arrays into the weights of a Keras model: all of them, in the right shape, or none."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.keras_graph import layer_below
from intriguing_tf.text import one_line
from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError

# Layer name → weight name ("kernel", "bias", "gamma", ...) → array in Keras's layout.
Arrays = Mapping[str, Mapping[str, np.ndarray]]


def layers_of(model: Any) -> dict[str, keras.layers.Layer]:
    """Returns the layers of a built model by name, those of models within it included.

    Raises:
        TypeError: `model` is not a built Keras model.
        ValueError: two of its layers have the same name.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise TypeError(f"`model` must be a built keras.Model. Received: {type(model).__name__}.")
    layers: dict[str, keras.layers.Layer] = {}
    todo = list(model.layers)
    while todo:
        layer = todo.pop(0)
        if isinstance(layer, keras.Model):
            todo[:0] = layer.layers
        elif layers.setdefault(layer.name, layer) is not layer:
            raise ValueError(
                f"`model` must have layers with names of their own. Received: {layer.name!r} twice."
            )
    return layers


def importing(file: str | Path, model: keras.Model) -> contextlib.AbstractContextManager[None]:
    """Turns whatever is wrong with a file's arrays into an `IntegrityError` that names it."""
    return foreign.reading(file, f"a file with the weights of {model.name!r}")


def add(arrays: dict[str, dict[str, np.ndarray]], layer: str, name: str, array: np.ndarray) -> None:
    """Adds one array to `arrays`.

    Raises:
        IntegrityError: it is there already.
    """
    weights = arrays.setdefault(layer, {})
    if name in weights:
        raise IntegrityError(f"two weights in the file are {layer}/{name} in Keras.")
    weights[name] = array


def assign(model: keras.Model, arrays: Arrays) -> None:
    """Sets every weight of `model`.

    Args:
        model: a built model.
        arrays: as `Arrays`; exactly the weights of the model.

    Raises:
        IntegrityError: weights are missing, left over, of another shape, or not finite in
            the model's precision. Then the model is as it was.
    """
    variables = _variables(model)
    given = {
        (layer, name): array for layer, weights in arrays.items() for name, array in weights.items()
    }
    missing, left_over = variables.keys() - given.keys(), given.keys() - variables.keys()
    if missing or left_over:
        raise IntegrityError(f"Missing: {_names(missing)}. Left over: {_names(left_over)}.")
    values = {key: _value(key, given[key], variable) for key, variable in variables.items()}
    for key, variable in variables.items():
        variable.assign(values.pop(key))


def _variables(model: keras.Model) -> dict[tuple[str, str], Any]:
    """Returns the weights of a model by layer and name."""
    variables: dict[tuple[str, str], Any] = {}
    for name, layer in layers_of(model).items():
        for variable in layer.weights:
            if variables.setdefault((name, variable.name), variable) is not variable:
                raise IntegrityError(
                    f"{name!r} has two weights named {variable.name!r}, which files cannot tell "
                    "apart."
                )
    return variables


def _value(key: tuple[str, str], array: np.ndarray, variable: Any) -> np.ndarray:
    """Returns an array as a variable takes it."""
    if array.shape != tuple(variable.shape):
        raise IntegrityError(
            f"{_names([key])} must have the shape {tuple(variable.shape)}. Received: {array.shape}."
        )
    wrong = array.size
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = array.astype(variable.dtype, copy=False)
        wrong -= int(np.isfinite(value).sum())
    if wrong:
        raise IntegrityError(
            f"{_names([key])} must hold finite floats. Received: {array.dtype} with {wrong} values "
            f"that are not finite in {variable.dtype}."
        )
    return value


def channels_last(layer: keras.layers.Layer, array: np.ndarray, channels_first: str) -> np.ndarray:
    """Returns a kernel of a channels-first framework in the layout of a Keras layer.

    Args:
        layer: a convolution, depthwise convolution or dense layer of a built model.
        array: `[out, in/groups, height, width]`, or `[out, in]` for a dense layer; the inputs of a
            dense layer above a `Flatten` are ordered by channel, row, column.
        channels_first: name of the framework, for errors.

    Raises:
        IntegrityError: the array has not the rank that the layer wants.
        ValueError: nothing says what lies below a dense layer.
    """
    dense = isinstance(layer, keras.layers.Dense)
    if array.ndim != (2 if dense else 4):
        raise IntegrityError(
            f"the kernel of {layer.name!r} must have {2 if dense else 4} axes in {channels_first}. "
            f"Received: an array of shape {array.shape}."
        )
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1)
    if not dense:
        return array.transpose(2, 3, 1, 0)
    maps = _flattened_maps(layer)
    if maps is None or array.shape[1] != math.prod(maps):
        return array.T
    height, width, channels = maps
    outputs = array.shape[0]
    return (
        array.reshape(outputs, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, outputs)
    )


def reverse_colors(model: keras.Model, arrays: dict[str, dict[str, np.ndarray]]) -> None:
    """Turns the first kernel, made for blue, green, red, into one for red, green, blue.

    A model that does not take images of three channels is left as it is.

    Raises:
        IntegrityError: the first layer with weights is neither a convolution nor a dense layer.
    """
    shape = _input_shape(model)
    first = next((layer for layer in layers_of(model).values() if layer.weights), None)
    if len(shape) != 4 or shape[-1] != 3 or first is None:
        return
    kernel = arrays.get(first.name, {}).get("kernel")
    if not isinstance(first, keras.layers.Conv2D | keras.layers.Dense):
        raise IntegrityError(
            f"colors in the order blue, green, red can be turned in a Conv2D or Dense layer, and "
            f"the first layer with weights, {first.name!r}, is a {type(first).__name__}."
        )
    if kernel is not None and kernel.ndim > 1 and kernel.shape[-2] % 3 == 0:
        colors = kernel.reshape(*kernel.shape[:-2], -1, 3, kernel.shape[-1])
        arrays[first.name]["kernel"] = colors[..., ::-1, :].reshape(kernel.shape)


def _input_shape(model: keras.Model) -> tuple:
    """Returns the shape of a model's one input, or nothing."""
    shape = getattr(model, "input_shape", None)
    return shape if isinstance(shape, tuple) else ()


def _flattened_maps(layer: keras.layers.Layer) -> tuple[int, ...] | None:
    """Returns height, width and channels of the maps that are laid out as a dense layer's input.

    Below the layer may be others without weights that keep the shape: dropout, activations.
    """
    below = _layer_below(layer)
    while not isinstance(below, keras.layers.InputLayer) and not getattr(below, "weights", ()):
        shape = getattr(below.input, "shape", ())
        if len(shape) == 4:
            return tuple(shape[1:])
        if shape != below.output.shape:
            return None
        below = _layer_below(below)
    return None


def _layer_below(layer: keras.layers.Layer) -> Any:
    try:
        return layer_below(layer)
    except (AttributeError, ValueError):  # Keras's words for it differ by the kind of model
        raise ValueError(
            f"{layer.name!r} must be used once, in a Functional or Sequential model: what lies "
            "below it says how its inputs are ordered."
        ) from None


def _names(keys: Any) -> str:
    names = sorted(one_line("/".join(key), 100) for key in keys)
    shown = ", ".join(names[:5]) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
