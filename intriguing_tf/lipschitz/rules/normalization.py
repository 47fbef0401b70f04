"""The rules of normalization and rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.keras_graph import unexported
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import (
    ROUNDED,
    UNIT_ROUNDOFF,
    constant_error,
    gamma,
    round_down,
    round_up,
)
from intriguing_tf.lipschitz.rules.common import own_axis, weights_of
from intriguing_tf.lipschitz.steps import Diagonal, LayerBound, Matrix, NoBoundError, Shape, Steps


@built_in(
    layers.BatchNormalization,
    reads="axis epsilon scale",
    weights="center",
    training="momentum renorm renorm_clipping renorm_momentum synchronized",
)
def batch_normalization(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    variance = weights_of(layer, "moving_variance")
    # ε is rounded to float32, the weights are not.
    moved = constant_error(layer.epsilon)
    if not np.all((variance + layer.epsilon > moved) & (variance + layer.epsilon < math.inf)):
        raise ValueError("a moving variance is not positive, or its epsilon no finite number.")
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * weights_of(layer, "gamma")
    axis = own_axis(layer.axis, input_shapes[0])
    share = moved / (variance + layer.epsilon - moved) + 8 * UNIT_ROUNDOFF
    return per_channel(scale, share * np.abs(scale), axis == len(input_shapes[0]) - 1)


@built_in(layers.Rescaling, reads="scale offset")
def rescaling(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    scale, offset = as_weights(layer.scale, "scale"), as_weights(layer.offset, "offset")
    check_not_broadcast(input_shapes[0], scale.shape, offset.shape)
    return per_channel(scale, constant_error(scale))


@built_in(*unexported("convnext", "LayerScale"), weights="init_values projection_dim")
def layer_scale(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    scale = weights_of(layer, "gamma")
    check_not_broadcast(input_shapes[0], scale.shape)
    return per_channel(scale, 0.0)


@built_in(layers.Normalization, reads="axis invert", weights="mean variance")
def normalization(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    if layer.variance is None:
        raise ValueError("it has no variance yet. Call `adapt` or build the model.")
    variance = as_weights(keras.ops.convert_to_numpy(layer.variance), "variance")
    if np.any(variance < 0):
        raise ValueError("a variance is negative.")
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale = deviation if layer.invert else 1 / deviation
    mean = as_weights(keras.ops.convert_to_numpy(layer.mean), "mean")
    check_not_broadcast(input_shapes[0], scale.shape, mean.shape)
    # The least deviation is a constant that Keras rounds to float32.
    least = deviation <= keras.config.epsilon()
    return per_channel(scale, np.where(least, ROUNDED, 4 * UNIT_ROUNDOFF) * scale)


def per_channel(scale: np.ndarray, error: np.ndarray | float, last: bool = True) -> Steps:
    """Factors that lie along the last axis, or elsewhere, each up to its error."""
    step = Diagonal(scale.reshape(-1), np.broadcast_to(error, scale.shape).reshape(-1))
    if last and scale.shape[-1:] in ((), (scale.size,)):
        return Steps((step,), size=str(scale.size))
    norm = step.norm()
    return Steps((LayerBound(norm.upper, norm.lower, norm.how),))


def check_not_broadcast(shape: Shape, *constants: tuple[int, ...]) -> None:
    """Raises unless constants of these shapes leave a tensor's shape as it is."""
    for constant in constants:
        sizes = (None, *shape[1:])[len(shape) - len(constant) :]
        if len(constant) > len(shape) or any(
            size not in (1, own) for size, own in zip(constant, sizes, strict=True)
        ):
            raise NoBoundError(f"a constant of shape {constant} is broadcast with {tuple(shape)}")
    if constants and keras.config.image_data_format() == "channels_first":
        raise NoBoundError('it depends on the image data format, which is "channels_first"')


@built_in(
    layers.LayerNormalization, reads="axis epsilon scale", weights="center", refused="rms_scaling"
)
def layer_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """At a constant input the Jacobian is diag(γ)(I − 11ᵀ/n)/√ε, and it is longer nowhere."""
    shape = input_shapes[0]
    axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
    sizes = [int(shape[own_axis(axis, shape)] or 0) for axis in axes]
    if 0 in sizes:
        raise NoBoundError("the size of an axis that it normalizes is not known")
    scale = weights_of(layer, "gamma").ravel() if layer.scale else np.ones(math.prod(sizes))
    upper, lower = _centered_norm(scale)
    how = "Jacobian at a constant input"
    return _divided(upper, lower, layer.epsilon, how, scale.size, _summed(math.prod(sizes)))


@built_in(layers.GroupNormalization, reads="groups axis epsilon scale", weights="center")
def group_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    shape = input_shapes[0]
    axis = own_axis(layer.axis, shape)
    channels = int(shape[axis] or 0)
    scale = weights_of(layer, "gamma").ravel() if layer.scale else np.ones(channels)
    pixels = math.prod(int(size or 2) for i, size in enumerate(shape) if i not in (0, axis))
    groups = channels if layer.groups == -1 else layer.groups
    if pixels > 1:
        # Two pixels of the channel with the largest γ, one up and one down, keep the mean.
        upper = lower = float(np.max(np.abs(scale)))
    else:
        norms = [_centered_norm(part) for part in scale.reshape(groups, -1)]
        upper, lower = max(norm[0] for norm in norms), max(norm[1] for norm in norms)
    how = "Jacobian at a constant input"
    summed = _summed(pixels * channels // groups) if None not in shape[1:] else None
    return _divided(upper, lower, layer.epsilon, how, channels, summed)


@built_in(layers.RMSNormalization, reads="axis epsilon")
def rms_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    for axis in [layer.axis] if isinstance(layer.axis, int) else layer.axis:
        own_axis(axis, input_shapes[0])
    scale = weights_of(layer, "scale").ravel()
    largest = float(np.max(np.abs(scale)))
    return _divided(largest, largest, layer.epsilon, "Jacobian at zero", scale.size, scale.size)


def _summed(count: int) -> int | None:
    """Numbers of a group; a single one is its own mean: what is left of it is rounding alone."""
    return None if count == 1 else count


def _centered_norm(scale: np.ndarray) -> tuple[float, float]:
    """Bounds of ‖diag(γ)(I − 11ᵀ/n)‖."""
    if scale.size > 2048:
        # One unit up, all others down by the mean: the root of 1 − 1/n of the largest, or more.
        largest = float(np.max(np.abs(scale)))
        return largest, largest * (1 - 1 / scale.size)
    matrix = np.diag(scale) - np.outer(scale, np.full(scale.size, 1 / scale.size))
    error = 4 * gamma(4) * float(np.linalg.norm(scale))
    norm = Matrix(matrix, error).norm()
    return norm.upper, norm.lower or 0.0


def _divided(
    upper: float, lower: float, epsilon: float, how: str, size: int, summed: int | None
) -> LayerBound:
    """The bound where the root is least, √ε.

    Args:
        upper, lower: bounds of what is divided.
        epsilon: ε.
        how: how it was found.
        size: for the report.
        summed: how many numbers the statistics are taken of: mean and variance err by γ_n, and
            that moves the output by no more than so many units of bound · ‖input‖; `None` if
            that is not known.
    """
    moved = float(constant_error(epsilon))  # a layer in float32 rounds it, a tiny one to 0
    if not moved < epsilon < math.inf:
        raise NoBoundError(
            "unless ε is positive and finite it divides by zero at a constant input. Received: "
            f"epsilon={epsilon!r}"
        )
    bound = round_up(upper / math.sqrt(epsilon - moved), 8)
    attained = min(round_down(lower / math.sqrt(epsilon + moved), 8), bound)
    rounding = None if summed is None else 8.0 * summed + 64.0
    return LayerBound(bound, attained=attained, how=how, size=str(size), rounding=rounding)


unbounded("it divides by the norm of its input", layers.UnitNormalization)
