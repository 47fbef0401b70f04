"""Arrays into the weights of a Keras model: all of them, in the right shape, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

# Layer name → weight name ("kernel", "bias", "gamma", ...) → array in Keras's layout.
Arrays = Mapping[str, Mapping[str, np.ndarray]]


def assign(model: keras.Model, arrays: Arrays) -> None:
    """Sets every weight of `model`.

    Args:
        model: a built model.
        arrays: as `Arrays`; exactly the weights of the model.

    Raises:
        ValueError: weights are missing, left over, of another shape, or not finite. Then the
            model is as it was.
    """
    variables = {
        (layer.name, variable.name): variable
        for layer in model.layers
        for variable in layer.weights
    }
    given = {
        (layer, name): array for layer, weights in arrays.items() for name, array in weights.items()
    }
    missing, left_over = variables.keys() - given.keys(), given.keys() - variables.keys()
    if missing or left_over:
        raise ValueError(
            f"the weights are not those of {model.name!r}. Missing: {_names(missing)}. "
            f"Left over: {_names(left_over)}."
        )
    for key, array in given.items():
        if array.shape != tuple(variables[key].shape):
            raise ValueError(
                f"{_names([key])} must have the shape {tuple(variables[key].shape)}. "
                f"Received: {array.shape}."
            )
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(
                f"{_names([key])} must hold finite floats. Received: {array.dtype} with "
                f"{_not_finite(array)} values that are not finite."
            )
    for key, array in given.items():
        variables[key].assign(array.astype(variables[key].dtype))


def check_model(model: Any) -> None:
    """Raises unless `model` is a built Keras model.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise TypeError(f"`model` must be a built keras.Model. Received: {type(model).__name__}.")


def channels_last(layer: keras.layers.Layer, array: np.ndarray, channels_first: str) -> np.ndarray:
    """Returns a kernel of a channels-first framework in the layout of a Keras layer.

    Args:
        layer: a convolution, depthwise convolution or dense layer of a built model.
        array: `[out, in/groups, height, width]`, or `[out, in]` for a dense layer; the inputs of a
            dense layer above a `Flatten` are ordered by channel, row, column.
        channels_first: name of the framework, for errors.

    Raises:
        ValueError: the array has not the rank that the layer wants.
    """
    dense = isinstance(layer, keras.layers.Dense)
    if array.ndim != (2 if dense else 4):
        raise ValueError(
            f"the kernel of {layer.name!r} must have {2 if dense else 4} axes in {channels_first}. "
            f"Received: an array of shape {array.shape}."
        )
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1)
    if not dense:
        return array.transpose(2, 3, 1, 0)
    maps = _flattened_maps(layer)
    if maps is None or array.shape[1] != np.prod(maps):
        return array.T
    height, width, channels = maps
    outputs = array.shape[0]
    return (
        array.reshape(outputs, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, outputs)
    )


def reverse_colors(model: keras.Model, arrays: dict[str, dict[str, np.ndarray]]) -> None:
    """Turns the first kernel, made for blue, green, red, into one for red, green, blue."""
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    if "kernel" in arrays.get(first.name, {}):
        arrays[first.name]["kernel"] = arrays[first.name]["kernel"][:, :, ::-1]


def _flattened_maps(layer: keras.layers.Layer) -> tuple[int, int, int] | None:
    """Returns height, width and channels of the maps that a Flatten below `layer` lays out."""
    below = _layer_below(layer)
    while isinstance(below, keras.layers.Dropout):
        below = _layer_below(below)
    if not isinstance(below, keras.layers.Flatten):
        return None
    shape = below.input.shape[1:]
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def _layer_below(layer: keras.layers.Layer) -> Any:
    return layer.input._keras_history.operation


def _names(keys: Any) -> str:
    names = sorted("/".join(key) for key in keys)
    shown = ", ".join(names[:5]) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _not_finite(array: np.ndarray) -> int:
    return int(array.size - np.isfinite(array).sum()) if array.dtype.kind == "f" else array.size
