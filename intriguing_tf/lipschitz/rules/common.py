"""What the rules read from a layer and its input."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from intriguing_tf.keras_graph import private
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.rounding import FLOAT32, LEAST, lengths, round_up
from intriguing_tf.lipschitz.steps import NoBoundError, Shape

BATCH = "it works along the batch, so that examples depend on one another"


def spatial_shape(layer: Any, shape: Shape) -> tuple[int, ...]:
    """Returns the spatial sizes of an input, which must be known.

    Raises:
        ValueError: an unknown size.
    """
    sizes = shape[2:] if channels_first(layer) else shape[1:-1]
    if None in sizes:
        raise ValueError(
            "the bound depends on the size of the input, which is not known. Received: input shape "
            f"{shape}. Build the model with a fixed size, e.g. keras.Input((224, 224, 3))."
        )
    return tuple(int(size) for size in sizes)  # type: ignore[arg-type]


def channels_first(layer: Any) -> bool:
    """Whether the channels of a layer's inputs and outputs come before their pixels."""
    return getattr(layer, "data_format", "channels_last") == "channels_first"


def own_axis(axis: int, shape: Shape) -> int:
    """Returns an axis of one example as a number from 1 on.

    Raises:
        NoBoundError: it is the batch.
    """
    axis = int(axis) % len(shape)
    if axis == 0:
        raise NoBoundError(BATCH)
    return axis


def weights_of(layer: Any, name: str) -> np.ndarray:
    """Returns a weight of a layer as float64, checked to be finite.

    Raises:
        ValueError: not finite, not built, or quantized.
    """
    if getattr(layer, "quantization_mode", None):
        raise ValueError(
            f"quantized layers are not linear. Received: mode {layer.quantization_mode!r}."
        )
    value = getattr(layer, name, None)
    if value is None:
        raise ValueError(f"it has no {name!r} yet. Build the model by calling it once.")
    return _as_weights(value, name)


def kernel_of(layer: Any) -> tuple[np.ndarray, float]:
    """Returns a layer's kernel as float64, and a bound of the operator norm of its error.

    Keras adds LoRA's product to the kernel in float32, whatever the layer's precision is.

    Raises:
        ValueError: as `weights_of`.
    """
    if getattr(layer, "quantization_mode", None) or not getattr(layer, "lora_enabled", False):
        return weights_of(layer, "kernel"), 0.0
    weights = private(layer, "_kernel"), layer.lora_kernel_a, layer.lora_kernel_b
    kernel, first, second = (_as_weights(each, "kernel") for each in weights)
    scale = layer.lora_alpha / layer.lora_rank
    product = abs(scale) * (np.abs(first) @ np.abs(second))
    added = FLOAT32 * ((len(second) + 8) * product + 2 * np.abs(kernel)) + LEAST
    errors = np.where(product > 0, added, 0.0).reshape(math.prod(kernel.shape[:-2]), -1)
    error = round_up(float(np.sum(lengths(errors))), kernel.size)
    return kernel + scale * (first @ second), error


def _as_weights(value: Any, name: str) -> np.ndarray:
    return as_weights(keras.ops.convert_to_numpy(value), name)


def times(*sizes: Any) -> str:
    return " × ".join(str(size) for size in sizes)


def strides_of(layer: Any) -> str:
    strides = np.unique(layer.strides)
    return str(strides[0]) if len(strides) == 1 else times(*layer.strides)
