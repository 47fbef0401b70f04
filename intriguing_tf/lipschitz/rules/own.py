"""The rules of this package's own layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from intriguing_tf import layers
from intriguing_tf.lipschitz.convolution import DENSE_SIZE, Convolution
from intriguing_tf.lipschitz.geometry import Axis, Geometry, axes
from intriguing_tf.lipschitz.registry import built_in
from intriguing_tf.lipschitz.rounding import CONSTANT, ROUNDED, constant_error, round_up
from intriguing_tf.lipschitz.rules.activations import activation_steps
from intriguing_tf.lipschitz.rules.common import (
    own_axis,
    spatial_shape,
    strides_of,
    times,
    weights_of,
)
from intriguing_tf.lipschitz.rules.linear import convolution
from intriguing_tf.lipschitz.rules.pooling import averaging_matrix, overlap_bound, separable_bound
from intriguing_tf.lipschitz.steps import LayerBound, Shape, Steps, matrix_norm

built_in(
    layers.GroupedConv2D,
    reads="strides padding data_format dilation_rate groups activation",
    weights="filters kernel_size use_bias lora_rank lora_alpha",
)(convolution)


@built_in(layers.LocalResponseNormalization, reads="size alpha beta k")
def local_response_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """At zero the Jacobian is k^(−β) I; docs/lipschitz-mathematics.md says how much longer."""
    beta = layer.beta
    # k and β are rounded to float32.
    low = layer.k - float(constant_error(layer.k))
    off = float(constant_error(beta))
    least = max(low ** -(beta - off), low ** -(beta + off))
    whole = layer.size // 2 >= (input_shapes[0][-1] or math.inf) - 1
    if layer.alpha == 0 or (layer.size == 1 and beta <= 1) or (whole and beta <= 1):
        factor, how = 1.0, "Jacobian at zero"
    else:
        factor = 1 + 2 * math.sqrt(2) * (beta / (beta + 1)) ** (beta + 1)
        how = "k^(−β)(1 + 2√2 (β/(β+1))^(β+1))"
    bound = round_up(factor * least * CONSTANT)
    attained = min(layer.k**-beta / (1 + 4 * (beta + 1) * ROUNDED), bound)
    return LayerBound(bound, attained=attained, how=how, size=str(layer.size))


@built_in(layers.LocalContrastNormalization, reads="size stddev floor")
def local_contrast_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """‖I − G‖ for the subtraction, (1 + 1/√G(0))/floor for the division."""
    sizes = spatial_shape(layer, input_shapes[0])
    window = layer.window
    subtraction = -window
    subtraction[layer.size // 2, layer.size // 2] += 1
    # The mean over channels is filtered; what is orthogonal to it passes as it is.
    filter_ = Convolution.of(subtraction[:, :, None, None], Geometry(sizes, padding="same"))
    filtered = filter_.norm(attained=False).upper
    center = float(window[layer.size // 2, layer.size // 2])
    # A weight below the truth by float32 rounding makes the root larger, not smaller.
    division = (1 + 1 / math.sqrt(center * (1 - 1e-6))) / layer.floor
    return LayerBound(
        round_up(max(1.0, filtered) * (1 + 1e-6) * division),
        how="‖I − G‖ (1 + 1/√G(0))/floor",
        size=times(layer.size, layer.size),
    )


@built_in(layers.CeilMaxPooling2D, reads="pool_size strides padding")
def ceil_max_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    windows = _ceil_axes(layer, spatial_shape(layer, input_shapes[0]))
    return overlap_bound(windows, layer.pool_size, strides_of(layer))


@built_in(layers.CeilAveragePooling2D, reads="pool_size strides padding")
def ceil_average_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    matrices = []
    for i, axis in enumerate(_ceil_axes(layer, spatial_shape(layer, input_shapes[0]))):
        starts = [o * axis.stride - axis.left for o in range(axis.outputs)]
        ends = [min(start + axis.kernel, axis.size + layer.padding[i]) for start in starts]
        counts = [end - start for start, end in zip(starts, ends, strict=True)]
        matrices.append(averaging_matrix(axis, counts))
    found = separable_bound(matrices, "product of its matrices per axis")
    return LayerBound(
        found.bound * CONSTANT,
        attained=found.bound / CONSTANT**2,
        how=found.how,
        size=times(*layer.pool_size),
        stride=strides_of(layer),
    )


@built_in(layers.GroupSort, reads="group_size axis")
def group_sort(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """A permutation wherever it is differentiable. No `Slopes`: a swap has the eigenvalue −1."""
    own_axis(layer.axis, input_shapes[0])
    return LayerBound(1.0, attained=1.0, how="permutes features", size=str(layer.group_size))


def _ceil_axes(layer: Any, sizes: Sequence[int]) -> list[Axis]:
    return [
        Axis(size, layer.output_length(size, i), pool, stride, 1, layer.overhang(size, i)[0])
        for i, (size, pool, stride) in enumerate(
            zip(sizes, layer.pool_size, layer.strides, strict=True)
        )
    ]


@built_in(layers.L2Pooling2D, reads="pool_size strides", weights="epsilon")
def l2_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """√(ε + Σx²) has a gradient of length at most 1 in its window, like a maximum."""
    sizes = spatial_shape(layer, input_shapes[0])
    windows = axes(sizes, layer.pool_size, layer.strides, "valid", 1)
    # Attained in the limit of large values.
    return overlap_bound(windows, layer.pool_size, strides_of(layer))


@built_in(
    layers.LocallyConnected2D,
    reads="kernel_size strides activation",
    weights="filters use_bias",
)
def locally_connected(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    """The layer's own matrix where it is small; else √(overlap) times its longest position."""
    kernel = weights_of(layer, "kernel")
    sizes = spatial_shape(layer, input_shapes[0])
    rows, columns, fields, filters = kernel.shape
    channels = fields // math.prod(layer.kernel_size)
    size = times(rows, columns, channels, *layer.kernel_size, filters)
    windows = axes(sizes, layer.kernel_size, layer.strides, "valid", 1)
    inputs, outputs = math.prod(sizes) * channels, rows * columns * filters
    if min(inputs, outputs) <= DENSE_SIZE and inputs * outputs <= 2**26:
        upper, lower = matrix_norm(_untied_matrix(layer, kernel, sizes, channels))
        how = f"matrix {times(outputs, inputs)}, Cholesky"
    else:
        longest = [matrix_norm(part) for part in kernel.reshape(-1, *kernel.shape[2:])]
        shared = overlap_bound(windows, layer.kernel_size, "")
        lower = max(low for _, low in longest)
        upper = round_up(shared.bound * max(up for up, _ in longest))
        how = f"√overlap × longest of {rows * columns} matrices"
    bound = LayerBound(upper, min(lower, upper), how)
    shape = (None, rows, columns, filters)
    steps = (bound, *activation_steps(layer.activation, shape))
    return Steps(steps, size=size, stride=strides_of(layer))


def _untied_matrix(
    layer: Any, kernel: np.ndarray, sizes: Sequence[int], channels: int
) -> np.ndarray:
    """The matrix [outputs, inputs]; patches are ordered as the layer orders them."""
    rows, columns, _, filters = kernel.shape
    matrix = np.zeros((rows, columns, filters, *sizes, channels))
    taps = kernel.reshape(rows, columns, *layer.kernel_size, channels, filters)
    for i in range(rows):
        for j in range(columns):
            top, left = i * layer.strides[0], j * layer.strides[1]
            window = matrix[i, j, :, top : top + taps.shape[2], left : left + taps.shape[3]]
            window[...] = np.moveaxis(taps[i, j], -1, 0)
    return matrix.reshape(rows * columns * filters, -1)
