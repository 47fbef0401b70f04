"""The rules of layers that keep, drop, repeat or interpolate numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import round_down, round_up
from intriguing_tf.lipschitz.rules.common import spatial_shape
from intriguing_tf.lipschitz.rules.pooling import separable_bound
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Regroup, Shape, Steps

IDENTITY = Steps(())


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
)
def identity(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    """What is random in training, and does nothing afterwards."""
    return IDENTITY


@built_in(layers.Flatten, layers.Reshape, layers.Permute)
def regroup(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    before, after = input_shapes[0], layer.compute_output_shape(input_shapes[0])
    if tuple(before) == tuple(after) and not isinstance(layer, layers.Permute):
        return IDENTITY
    repeats = None
    sizes = before[1:-1]
    if isinstance(layer, layers.Flatten) and len(before) > 2 and None not in sizes:
        repeats = math.prod(int(size or 0) for size in sizes)
    return Steps((Regroup(repeats),))


@built_in(
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
)
def padding(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return LayerBound(1.0, attained=1.0, how="keeps pixels or drops them")


@built_in(layers.RepeatVector)
def repeat_vector(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    return _repeated(layer.n)


@built_in(layers.UpSampling1D, layers.UpSampling3D)
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


@built_in(layers.UpSampling2D)
def up_sampling_2d(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if layer.interpolation == "nearest":
        return _repeated(math.prod(layer.size))
    return _resampled(layer, input_shapes[0])


@built_in(layers.Resizing)
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


unbounded("it rounds to whole classes", layers.Discretization)
unbounded("what it hides depends on equality with one value", layers.Masking)
