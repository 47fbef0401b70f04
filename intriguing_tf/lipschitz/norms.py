"""Operator norms of single layers from their kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from intriguing_tf.checks import check_unmasked
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Geometry, Ints, per_axis, transposed_axes
from intriguing_tf.lipschitz.steps import Matrix

Array = np.ndarray


def dense_norm(kernel: Any) -> float:
    """Returns a rigorous upper bound of the spectral norm of a matrix, tight to about 1e-8.

    Args:
        kernel: [inputs, outputs], real; the kernel of a `keras.layers.Dense`.

    Raises:
        ValueError: not a matrix, or not finite.

    Example:

        itf.lipschitz.dense_norm([[3.0, 0.0], [0.0, 4.0]])  # 4.0 and a little
    """
    weights = as_weights(kernel, "kernel")
    if weights.ndim != 2:
        raise ValueError(
            f"`kernel` must have shape [inputs, outputs]. Received: shape {weights.shape}."
        )
    return Matrix(weights.T).norm().upper


def conv_norm(
    kernel: Any,
    spatial_shape: Ints,
    strides: Ints = 1,
    padding: str = "valid",
    dilation_rate: Ints = 1,
    groups: int = 1,
) -> float:
    """Returns a rigorous upper bound of a convolution's operator norm, as Keras computes it.

    Zero padding, uneven "same" padding, strides and borders are those of `keras.layers.Conv1D`,
    `Conv2D` and `Conv3D` on TensorFlow. Where the layer has at most 4096 inputs or outputs it is
    the norm of the layer's own matrix, tight to about 1e-8; elsewhere it is the norm of a circular
    convolution on a larger torus (section 4.3 of arXiv 1312.6199 with zero padding and the factor
    corrected; docs/lipschitz-mathematics.md). Bias does not matter, an activation is not included.

    Args:
        kernel: [*kernel_size, inputs / groups, outputs], real, one to three spatial axes.
        spatial_shape: height and width of the input (length; or three sizes).
        strides, dilation_rate: one number, or one per axis.
        padding: "valid", "same", or "causal" (one axis).
        groups: as in Keras.

    Raises:
        ValueError: shapes that do not fit, an unknown padding, no window fits, not finite.

    Example:

        kernel = np.random.default_rng(0).normal(size=(3, 3, 64, 128))
        itf.lipschitz.conv_norm(kernel, (32, 32), padding="same")
    """
    weights = _kernel(kernel)
    rank = weights.ndim - 2
    if padding == "causal" and rank != 1:
        raise ValueError(f'padding "causal" needs one spatial axis. Received: {rank} axes.')
    if not isinstance(groups, int) or groups < 1 or weights.shape[-1] % groups:
        raise ValueError(
            "`groups` must be a positive integer that divides the outputs. Received: "
            f"groups={groups!r}, kernel of shape {weights.shape}."
        )
    shape = per_axis(spatial_shape, rank, "spatial_shape")
    geometry = Geometry(shape, strides, padding, dilation_rate, groups)
    return Convolution.of(weights, geometry).norm(attained=False).upper


def depthwise_norm(
    kernel: Any,
    spatial_shape: Ints,
    strides: Ints = 1,
    padding: str = "valid",
    dilation_rate: Ints = 1,
) -> float:
    """Returns a rigorous upper bound of the norm of a `keras.layers.DepthwiseConv1D` or `2D`.

    Args:
        kernel: [*kernel_size, inputs, depth_multiplier], real. The rest as in `conv_norm`.

    Raises:
        ValueError: as in `conv_norm`.

    Example:

        itf.lipschitz.depthwise_norm(np.full((3, 3, 8, 1), 1 / 9), (32, 32), padding="same")
    """
    weights = _kernel(kernel)
    grouped = weights.reshape(*weights.shape[:-2], 1, -1)
    groups = weights.shape[-2]
    return conv_norm(grouped, spatial_shape, strides, padding, dilation_rate, groups)


def conv_transpose_norm(
    kernel: Any,
    spatial_shape: Ints,
    output_shape: Ints,
    strides: Ints = 1,
    padding: str = "valid",
    dilation_rate: Ints = 1,
) -> float:
    """Returns a rigorous upper bound of the norm of a `keras.layers.Conv1DTranspose` (2D, 3D).

    The layer is the adjoint of a convolution from its output to its input.

    Args:
        kernel: [*kernel_size, outputs, inputs], real, as Keras keeps it.
        spatial_shape: height and width (length; three sizes) of the input.
        output_shape: the same of the output.
        strides, padding, dilation_rate: as in `conv_norm`.

    Raises:
        ValueError: as in `conv_norm`.

    Example:

        itf.lipschitz.conv_transpose_norm(np.ones((2, 2, 3, 8)), (7, 7), (14, 14), strides=2)
    """
    weights = _kernel(kernel)
    if padding not in ("valid", "same"):
        raise ValueError(f'`padding` must be "valid" or "same". Received: {padding!r}.')
    size = weights.shape[:-2]
    axes = transposed_axes(spatial_shape, output_shape, size, strides, padding, dilation_rate)
    return Convolution(weights, axes, transposed=True).norm(attained=False).upper


def as_weights(values: Any, name: str) -> Array:
    """Returns real, finite weights as float64.

    Raises:
        TypeError: not real numbers, or masked.
        ValueError: not finite, or empty.
    """
    check_unmasked(name, values)
    weights = np.asarray(values)
    if weights.dtype.kind in "biuf" or weights.dtype.name in ("bfloat16", "float8_e4m3fn"):
        weights = weights.astype(np.float64)
    else:
        raise TypeError(f"`{name}` must be real numbers. Received: dtype {weights.dtype}.")
    if not weights.size:
        raise ValueError(f"`{name}` must not be empty. Received: shape {weights.shape}.")
    if not np.all(np.isfinite(weights)):
        bad = int(np.sum(~np.isfinite(weights)))
        raise ValueError(f"`{name}` must be finite. Received: {bad} values that are NaN or inf.")
    return weights


def _kernel(kernel: Any) -> Array:
    weights = as_weights(kernel, "kernel")
    if not 3 <= weights.ndim <= 5:
        raise ValueError(
            "`kernel` must have shape [*kernel_size, inputs, outputs] with one to three spatial "
            f"axes. Received: shape {weights.shape}."
        )
    return weights
