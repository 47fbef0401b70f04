"""The rules of layers that merge several tensors, by sums or products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from intriguing_tf.keras_graph import unexported
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import constant_error, round_up
from intriguing_tf.lipschitz.rules.common import own_axis
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Shape, Weighted

BESIDE = LayerBound(1.0, attained=1.0, how="root of the sum of squares over the branches")


@built_in(layers.Add, layers.Subtract)
def add(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    check_same_shape(input_shapes)
    return LayerBound(1.0, attained=1.0, how="sum over the branches", combine="sum")


@built_in(layers.Maximum, layers.Minimum)
def maximum(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    check_same_shape(input_shapes)
    return BESIDE


@built_in(layers.Concatenate, reads="axis")
def concatenate(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    own_axis(layer.axis, input_shapes[0])
    return BESIDE


@built_in(layers.Average)
def average(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    check_same_shape(input_shapes)
    share = 1 / len(input_shapes)
    return LayerBound(round_up(share), attained=share, how="mean of the branches", combine="sum")


@built_in(*unexported("inception_resnet_v2", "CustomScaleLayer"), reads="scale")
def scaled_sum(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """The first branch, and a multiple of the second."""
    check_same_shape(input_shapes)
    if len(input_shapes) != 2:
        raise NoBoundError(f"it reads two branches. Received: {len(input_shapes)}")
    scale = float(as_weights(layer.scale, "scale"))
    share = round_up(abs(scale) + float(constant_error(scale)))
    how = f"branch + {share:.4g} × branch"
    return Weighted(max(1.0, share), how=how, weights=(1.0, share))


def check_same_shape(input_shapes: Sequence[Shape]) -> None:
    """Raises unless the tensors have one shape, known but for the batch.

    Two sizes that are unknown may differ when the model is called: one of them may be 1, and then
    is spread over the other.
    """
    shapes = {tuple(shape) for shape in input_shapes}
    if len(shapes) > 1 or any(None in shape[1:] for shape in shapes):
        raise NoBoundError(
            "branches that are broadcast, or may be, have no rule. Received: shapes "
            f"{list(input_shapes)}"
        )


unbounded(
    "it multiplies two things that both depend on the input, so its slope grows with the input",
    layers.AdditiveAttention,
    layers.Attention,
    layers.Dot,
    layers.GroupQueryAttention,
    layers.MultiHeadAttention,
    layers.Multiply,
)
unbounded(
    "its gates multiply states that depend on the input",
    layers.ConvLSTM1D,
    layers.ConvLSTM2D,
    layers.ConvLSTM3D,
    layers.GRU,
    layers.LSTM,
)
