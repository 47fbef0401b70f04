"""The rules of `keras.ops` functions on windows: convolutions with constant kernels, pooling."""

from __future__ import annotations

import numpy as np

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Axis, Geometry, axes, per_axis
from intriguing_tf.lipschitz.rounding import constant_error, round_up
from intriguing_tf.lipschitz.rules.calls import OperationCall, operation
from intriguing_tf.lipschitz.rules.common import spatial_shape, times
from intriguing_tf.lipschitz.rules.pooling import averaging_matrix, overlap_bound, separable_bound
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Steps


@operation("Conv", "DepthwiseConv")
def convolution(call: OperationCall) -> Steps:
    sizes, kernel = _sizes(call), call.constant()
    depthwise = type(call.operation).__name__ == "DepthwiseConv"
    rank = len(sizes)
    geometry = Geometry(
        sizes,
        per_axis(call.setting("strides"), rank, "strides"),
        call.setting("padding"),
        per_axis(call.setting("dilation_rate"), rank, "dilation_rate"),
        depthwise=depthwise,
    )
    off = np.sqrt(np.sum(constant_error(kernel) ** 2, axis=(-2, -1)))
    error = round_up(float(np.sum(off)), kernel.size)
    return Steps((Convolution.of(kernel, geometry, error),), size=times(*kernel.shape))


@operation("MaxPool")
def max_pool(call: OperationCall) -> LayerBound:
    windows = _windows(call)
    return overlap_bound(windows, [axis.kernel for axis in windows], "")


@operation("AveragePool")
def average_pool(call: OperationCall) -> LayerBound:
    matrices = [averaging_matrix(axis) for axis in _windows(call)]
    return separable_bound(matrices, "product of its matrices per axis")


def _windows(call: OperationCall) -> tuple[Axis, ...]:
    sizes, size = _sizes(call), call.setting("pool_size")
    strides = call.setting("strides")
    pool = per_axis(size, len(sizes), "pool_size")
    return axes(sizes, pool, size if strides is None else strides, call.setting("padding"), 1)


def _sizes(call: OperationCall) -> tuple[int, ...]:
    """The spatial sizes of its input.

    Raises:
        NoBoundError: channels first, or no pixels.
    """
    if len(call.shapes[0]) < 3:
        raise NoBoundError(f"its input must have pixels. Received: shape {call.shapes[0]}")
    if call.setting("data_format") not in (None, "channels_last"):
        raise NoBoundError("its rule is for channels last; the layers take both")
    return spatial_shape(None, call.shapes[0])
