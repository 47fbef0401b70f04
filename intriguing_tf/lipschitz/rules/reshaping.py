"""The rules of layers that keep, drop, repeat or interpolate numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.keras_graph import unexported
from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import round_down, round_up
from intriguing_tf.lipschitz.rules.common import channels_first, spatial_shape
from intriguing_tf.lipschitz.rules.observed import EXACT, moved
from intriguing_tf.lipschitz.rules.pooling import separable_bound
from intriguing_tf.lipschitz.steps import IDENTITY, LayerBound, NoBoundError, Regroup, Shape, Steps

LARGEST = EXACT // 4 - 1


@built_in(
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.RandomBrightness,
    layers.RandomContrast,
    layers.RandomFlip,
    layers.RandomRotation,
    layers.RandomTranslation,
    layers.RandomZoom,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    *unexported("convnext", "StochasticDepth"),
    training="drop_path_rate l1 l2 rate noise_shape stddev factor value_range mode fill_mode"
    " interpolation fill_value height_factor width_factor data_format",
)
def identity(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    """What is random in training, and does nothing afterwards."""
    return IDENTITY


@built_in(layers.Flatten, reads="data_format")
@built_in(layers.Reshape, reads="target_shape")
@built_in(layers.Permute, reads="dims")
def regroup(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    shape = input_shapes[0]
    if None in shape[1:] or math.prod(shape[1:]) > LARGEST:  # type: ignore[arg-type]
        return Steps((Regroup(),))  # these layers keep examples apart, whatever their size
    return moved(layer, shape)


@built_in(layers.CenterCrop, reads="height width data_format")
def center_crop(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    height, width = spatial_shape(layer, input_shapes[0])
    if height < layer.height or width < layer.width:
        raise NoBoundError(
            f"it resizes an image that is smaller than its crop. Received: {height} × {width} for "
            f"{layer.height} × {layer.width}. Use keras.layers.Resizing."
        )
    return moved(layer, input_shapes[0])


@built_in(
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
    reads="cropping padding data_format",
)
def padding(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return LayerBound(1.0, attained=1.0, how="keeps pixels or drops them")


@built_in(layers.RepeatVector, reads="n")
def repeat_vector(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return _repeated(layer.n)


@built_in(layers.UpSampling1D, layers.UpSampling3D, reads="size data_format")
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


_LINES = 64  # that are interpolated at once


@built_in(layers.UpSampling2D, reads="size data_format interpolation")
def up_sampling_2d(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if layer.interpolation == "nearest":
        return _repeated(math.prod(layer.size))
    return _resampled(layer, input_shapes[0])


@built_in(
    layers.Resizing,
    reads="height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio antialias"
    " data_format",
    weights="fill_mode fill_value",
)
def resizing(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        raise NoBoundError("resizing that crops or pads to an aspect ratio has no rule")
    if layer.antialias:
        raise NoBoundError("resizing with antialias has no rule")
    return _resampled(layer, input_shapes[0])


def _resampled(layer: Any, shape: Shape) -> LayerBound:
    matrices = interpolation_matrices(layer, shape)
    bound = separable_bound(matrices, f"{layer.interpolation}, product of its matrices per axis")
    # The entries are float32; so many of them per row and column lie off by one rounding each.
    allowance = 1 + 1e-5
    return LayerBound(bound.bound * allowance, attained=bound.bound / allowance, how=bound.how)


def interpolation_matrices(layer: Any, shape: Shape) -> list[np.ndarray]:
    """Returns the matrix [after, before] of each axis: interpolation works axis by axis.

    They are read off images that are one pixel wide along the other axis, and 1 at one place.
    """
    if channels_first(layer):
        raise NoBoundError('interpolation with data_format="channels_first" has no rule')
    sizes = spatial_shape(layer, shape)
    matrices = []
    for axis, size in enumerate(sizes):
        lines = np.expand_dims(np.eye(size, dtype=np.float32), [2 - axis, 3])
        columns = []
        for start in range(0, size, _LINES):
            images = keras.ops.convert_to_numpy(layer(lines[start : start + _LINES]))[..., 0]
            columns.append(images[:, :, 0] if axis == 0 else images[:, 0, :])
        matrices.append(np.concatenate(columns).T.astype(np.float64))
    return matrices


unbounded("it rounds to whole classes", layers.Discretization)
unbounded("what it hides depends on equality with one value", layers.Masking)
