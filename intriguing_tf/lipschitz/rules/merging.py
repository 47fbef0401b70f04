"""The rules of layers that merge several tensors, by sums or products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import round_up
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Shape


@built_in(layers.Add, layers.Subtract)
def add(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    _check_same_shape(input_shapes)
    return LayerBound(1.0, attained=1.0, how="sum over the branches", combine="sum")


@built_in(layers.Concatenate, layers.Maximum, layers.Minimum)
def concatenate(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    if not isinstance(layer, layers.Concatenate):
        _check_same_shape(input_shapes)
    return LayerBound(1.0, attained=1.0, how="root of the sum of squares over the branches")


@built_in(layers.Average)
def average(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    _check_same_shape(input_shapes)
    share = 1 / len(input_shapes)
    return LayerBound(round_up(share), attained=share, how="mean of the branches", combine="sum")


def _check_same_shape(input_shapes: Sequence[Shape]) -> None:
    if len({tuple(shape) for shape in input_shapes}) > 1:
        raise NoBoundError(
            f"branches that are broadcast have no rule. Received: shapes {list(input_shapes)}"
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
