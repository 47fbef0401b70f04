"""The rules of wrappers around a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from intriguing_tf.lipschitz.registry import Inner, apply_rule, built_in, unbounded
from intriguing_tf.lipschitz.steps import LayerBound, Shape, Steps


@built_in(layers.TimeDistributed, reads="layer")
def time_distributed(layer: Any, input_shapes: Sequence[Shape]) -> Inner:
    """One layer on each time step by itself: its own bound."""
    batch, _, *rest = input_shapes[0]
    return Inner(layer.layer, [(batch, *rest)])


@built_in(layers.SpectralNormalization, reads="layer", training="power_iterations")
def spectral_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound | Steps | Inner:
    """The kernel that the wrapper has left behind, whatever it was meant to be.

    The wrapper divides by one step of a power iteration of the reshaped kernel: neither the norm
    of the convolution, nor an upper bound of anything.
    """
    return apply_rule(layer.layer, input_shapes)


unbounded(
    "what a SavedModel computes is not known to Keras; bound the model that it was exported from, "
    "such as its .keras file",
    layers.TFSMLayer,
)
