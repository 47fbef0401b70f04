"""The rules of pooling, padding, resampling and merging layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.lipschitz.geometry import Axis, axes
from intriguing_tf.lipschitz.operators import matrix_norm
from intriguing_tf.lipschitz.registry import LayerBound, NoBoundError, Shape, register
from intriguing_tf.lipschitz.rounding import product_up, round_down, round_up
from intriguing_tf.lipschitz.rules import spatial_shape, strides_of, times

Array = np.ndarray


def most_windows(axis: Axis) -> int:
    """How many windows share the most wanted pixel of one axis."""
    counts = np.zeros(axis.size, int)
    for tap in range(axis.kernel):
        for output in axis.outputs_of(tap):
            counts[axis.stride * output - axis.left + axis.dilation * tap] += 1
    return int(counts.max())


def overlap_bound(geometry: Sequence[Axis], pool_size: Sequence[int], strides: str) -> LayerBound:
    """Pooling whose every output is 1-Lipschitz in its window (maximum, l2 norm).

    A pixel that s windows share enters ‖y‖² at most s times, so √s bounds the layer; where that
    pixel alone is raised, far above the others, each of the windows follows it.
    """
    shared = math.prod(most_windows(axis) for axis in geometry)
    exact = math.isqrt(shared) ** 2 == shared
    root = math.sqrt(shared)
    return LayerBound(
        root if exact else round_up(root),
        attained=root if exact else round_down(root),
        how=f"at most {shared} windows share a pixel",
        size=times(*pool_size),
        stride=strides,
    )


@register(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def max_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    geometry = axes(
        spatial_shape(layer, input_shapes[0]), layer.pool_size, layer.strides, layer.padding, 1
    )
    return overlap_bound(geometry, layer.pool_size, strides_of(layer))


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


@register(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def average_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    geometry = axes(
        spatial_shape(layer, input_shapes[0]), layer.pool_size, layer.strides, layer.padding, 1
    )
    return separable_bound(
        [averaging_matrix(axis) for axis in geometry],
        "product of its matrices per axis",
        size=times(*layer.pool_size),
        stride=strides_of(layer),
    )


@register(
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D
)
def global_average_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    sizes = spatial_shape(layer, input_shapes[0])
    value = 1 / math.sqrt(math.prod(sizes))
    return LayerBound(
        round_up(value), attained=round_down(value), how="1/√pixels", size=times(*sizes)
    )


@register(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D)
def global_max_pooling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return LayerBound(1.0, attained=1.0, how="windows do not overlap")


@register(
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
)
def padding(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return LayerBound(1.0, attained=1.0, how="keeps pixels or drops them")


@register(layers.RepeatVector)
def repeat_vector(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return _repeated(layer.n)


@register(layers.UpSampling1D, layers.UpSampling3D)
def up_sampling(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return _repeated(math.prod(np.atleast_1d(layer.size).tolist()))


def _repeated(times: int) -> LayerBound:
    root = math.sqrt(times)
    exact = math.isqrt(times) ** 2 == times
    return LayerBound(
        root if exact else round_up(root),
        attained=root if exact else round_down(root),
        how=f"every number {times} times",
    )


@register(layers.UpSampling2D)
def up_sampling_2d(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if layer.interpolation == "nearest":
        return _repeated(math.prod(layer.size))
    return _resampled(layer, input_shapes[0])


@register(layers.Resizing)
def resizing(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        raise NoBoundError("resizing that crops or pads to an aspect ratio has no rule")
    if layer.antialias:
        raise NoBoundError("resizing with antialias has no rule")
    return _resampled(layer, input_shapes[0])


def _resampled(layer: Any, shape: Shape) -> LayerBound:
    """Interpolation works axis by axis: its matrices are read off images that are 1 in a line."""
    sizes = spatial_shape(layer, shape)
    matrices = []
    for axis, size in enumerate(sizes):
        lines = np.zeros((size, *sizes, 1), np.float32)
        for i in range(size):
            np.moveaxis(lines[i], axis, 0)[i] = 1
        images = keras.ops.convert_to_numpy(layer(lines))[..., 0]
        matrices.append((images[:, :, 0] if axis == 0 else images[:, 0, :]).T.astype(np.float64))
    bound = separable_bound(matrices, f"{layer.interpolation}, product of its matrices per axis")
    # The entries are float32; so many of them per row and column lie off by one rounding each.
    allowance = 1 + 1e-5
    return LayerBound(bound.bound * allowance, attained=bound.bound / allowance, how=bound.how)


@register(layers.Add, layers.Subtract)
def add(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    _check_same_shape(input_shapes)
    return LayerBound(1.0, attained=1.0, how="sum over the branches", combine="sum")


@register(layers.Concatenate, layers.Maximum, layers.Minimum)
def concatenate(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if not isinstance(layer, layers.Concatenate):
        _check_same_shape(input_shapes)
    return LayerBound(1.0, attained=1.0, how="root of the sum of squares over the branches")


@register(layers.Average)
def average(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    _check_same_shape(input_shapes)
    share = 1 / len(input_shapes)
    return LayerBound(round_up(share), attained=share, how="mean of the branches", combine="sum")


def _check_same_shape(input_shapes: Sequence[Shape]) -> None:
    if len({tuple(shape) for shape in input_shapes}) > 1:
        raise NoBoundError(
            f"branches that are broadcast have no rule. Received: shapes {list(input_shapes)}"
        )
