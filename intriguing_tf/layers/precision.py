"""Half precision overflows in squares: layers with squares compute in single precision inside."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def widened(inputs: Any) -> Any:
    """Returns inputs of less than float32 in float32, and others as they are."""
    return ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))


def narrowed(outputs: Any, layer: keras.layers.Layer, inputs: Any) -> Any:
    """Returns outputs in the dtype that a layer has of its inputs."""
    return ops.cast(outputs, keras.backend.result_type(inputs.dtype, layer.compute_dtype))
