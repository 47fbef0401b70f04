"""The rules of normalization and rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import CONSTANT, gamma, round_down, round_up
from intriguing_tf.lipschitz.rules.common import weights_of
from intriguing_tf.lipschitz.steps import Diagonal, LayerBound, Matrix, NoBoundError, Shape, Steps


@built_in(layers.BatchNormalization)
def batch_normalization(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    variance = weights_of(layer, "moving_variance")
    if np.any(variance + layer.epsilon <= 0):
        raise ValueError("a moving variance is not positive.")
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * weights_of(layer, "gamma")
    return _per_axis(scale, layer.axis, input_shapes[0], "largest |γ|/√(v + ε)")


@built_in(layers.Rescaling)
def rescaling(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    scale = as_weights(layer.scale, "scale")
    if scale.ndim > 1:
        scale = np.max(np.abs(scale))
    return Steps((Diagonal(scale * CONSTANT),))


@built_in(layers.Normalization)
def normalization(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    if layer.variance is None:
        raise ValueError("it has no variance yet. Call `adapt` or build the model.")
    variance = as_weights(keras.ops.convert_to_numpy(layer.variance), "variance")
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale = (deviation if layer.invert else 1 / deviation) * (1 + 4 * 2**-52)
    if scale.shape[-1:] in ((), (scale.size,)):
        return Steps((Diagonal(scale.reshape(-1)),), size=str(scale.size))
    largest = float(np.max(np.abs(scale)))
    return LayerBound(largest, attained=round_down(largest), how="largest 1/σ")


def _per_axis(scale: np.ndarray, axis: int, shape: Shape, how: str) -> Steps:
    scale = scale * CONSTANT
    if axis in (-1, len(shape) - 1):
        return Steps((Diagonal(scale),), size=str(len(scale)))
    largest = float(np.max(np.abs(scale)))
    return Steps((LayerBound(largest, attained=largest / CONSTANT**2, how=how),))


@built_in(layers.LayerNormalization)
def layer_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """At a constant input the Jacobian is diag(γ)(I − 11ᵀ/n)/√ε, and it is longer nowhere."""
    shape = input_shapes[0]
    sizes = [int(shape[axis] or 0) for axis in layer.axis]
    scale = weights_of(layer, "gamma").ravel() if layer.scale else np.ones(math.prod(sizes))
    if layer.rms_scaling:
        raise NoBoundError("with rms_scaling it divides what is not centred, without bound")
    upper, lower = _centered_norm(scale)
    return _divided(upper, lower, layer.epsilon, "Jacobian at a constant input", scale.size)


@built_in(layers.GroupNormalization)
def group_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    shape = input_shapes[0]
    axis = layer.axis % len(shape)
    channels = shape[axis]
    scale = weights_of(layer, "gamma").ravel() if layer.scale else np.ones(channels)
    pixels = math.prod(int(size or 2) for i, size in enumerate(shape) if i not in (0, axis))
    groups = channels if layer.groups == -1 else layer.groups
    if pixels > 1:
        # Two pixels of the channel with the largest γ, one up and one down, keep the mean.
        upper = lower = float(np.max(np.abs(scale)))
    else:
        norms = [_centered_norm(part) for part in scale.reshape(groups, -1)]
        upper, lower = max(norm[0] for norm in norms), max(norm[1] for norm in norms)
    return _divided(upper, lower, layer.epsilon, "Jacobian at a constant input", channels)


@built_in(layers.RMSNormalization)
def rms_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    scale = weights_of(layer, "scale").ravel()
    largest = float(np.max(np.abs(scale)))
    return _divided(largest, largest, layer.epsilon, "Jacobian at zero", scale.size)


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


def _divided(upper: float, lower: float, epsilon: float, how: str, size: int) -> LayerBound:
    root = math.sqrt(epsilon)
    if root == 0:
        raise NoBoundError("with ε = 0 it divides by zero at a constant input")
    bound = round_up(upper / root * CONSTANT)
    attained = min(lower / root / CONSTANT, bound)
    return LayerBound(bound, attained=attained, how=how, size=str(size))


unbounded("it divides by the norm of its input", layers.UnitNormalization)
