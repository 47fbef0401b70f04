"""The rules of pooling layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import layers

from intriguing_tf.lipschitz.geometry import Axis, axes
from intriguing_tf.lipschitz.registry import built_in
from intriguing_tf.lipschitz.rounding import product_up, round_down, round_up
from intriguing_tf.lipschitz.rules.common import spatial_shape, strides_of, times
from intriguing_tf.lipschitz.steps import LayerBound, Shape, matrix_norm

Array = np.ndarray


def window_axes(layer: Any, shape: Shape) -> tuple[Axis, ...]:
    """Returns where the windows of a pooling layer lie on an input of this shape."""
    sizes = spatial_shape(layer, shape)
    return axes(sizes, layer.pool_size, layer.strides, layer.padding, 1)


def most_windows(axis: Axis) -> int:
    """How many windows share the most wanted pixel of one axis."""
    counts = np.zeros(axis.size, int)
    for tap in range(axis.kernel):
        for output in axis.outputs_of(tap):
            counts[axis.stride * output - axis.left + axis.dilation * tap] += 1
    return int(counts.max())


def overlap_bound(windows: Sequence[Axis], pool_size: Sequence[int], strides: str) -> LayerBound:
    """Pooling whose every output is 1-Lipschitz in its window (maximum, l2 norm).

    A pixel that s windows share enters ‖y‖² at most s times, so √s bounds the layer; where that
    pixel alone is raised, far above the others, each of the windows follows it.
    """
    shared = math.prod(most_windows(axis) for axis in windows)
    exact = math.isqrt(shared) ** 2 == shared
    root = math.sqrt(shared)
    most = f"at most {shared} windows share a pixel"
    return LayerBound(
        root if exact else round_up(root),
        attained=root if exact else round_down(root),
        how=most if shared > 1 else "no two windows share a pixel",
        size=times(*pool_size),
        stride=strides,
    )


@built_in(
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    reads="pool_size strides padding data_format",
)
def max_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    windows = window_axes(layer, input_shapes[0])
    return overlap_bound(windows, layer.pool_size, strides_of(layer))


def averaging_matrix(axis: Axis, counts: Sequence[int] | None = None) -> Array:
    """The matrix [outputs, size] of average pooling on one axis.

    Args:
        axis: the windows.
        counts: what each window's sum is divided by; `None` is the number of its pixels that lie
            on the image, as in TensorFlow.
    """
    matrix = np.zeros((axis.outputs, axis.size))
    for tap in range(axis.kernel):
        for output in axis.outputs_of(tap):
            matrix[output, axis.stride * output - axis.left + axis.dilation * tap] = 1
    return matrix / np.reshape(matrix.sum(axis=1) if counts is None else counts, (-1, 1))


def separable_bound(
    matrices: Sequence[Array], how: str, size: str = "", stride: str = ""
) -> LayerBound:
    """A linear layer that works channel by channel and axis by axis."""
    norms = [matrix_norm(matrix) for matrix in matrices]
    # Entries of the matrices carry a rounding each; the norm moves by no more than that share.
    upper = round_up(product_up([norm[0] for norm in norms]), 16)
    lower = round_down(math.prod(norm[1] for norm in norms), 16)
    return LayerBound(upper, attained=min(lower, upper), how=how, size=size, stride=stride)


@built_in(
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    reads="pool_size strides padding data_format",
)
def average_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return separable_bound(
        [averaging_matrix(axis) for axis in window_axes(layer, input_shapes[0])],
        "product of its matrices per axis",
        size=times(*layer.pool_size),
        stride=strides_of(layer),
    )


@built_in(
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    reads="data_format keepdims",
)
def global_average_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    sizes = spatial_shape(layer, input_shapes[0])
    value = 1 / math.sqrt(math.prod(sizes))
    return LayerBound(
        round_up(value), attained=round_down(value), how="1/√pixels", size=times(*sizes)
    )


@built_in(
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    reads="data_format keepdims",
)
def global_max_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return LayerBound(1.0, attained=1.0, how="windows do not overlap")
