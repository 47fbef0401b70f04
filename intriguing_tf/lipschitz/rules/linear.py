"""The rules of layers that multiply by a kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import layers

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Geometry, transposed_axes
from intriguing_tf.lipschitz.registry import built_in, unbounded
from intriguing_tf.lipschitz.rounding import gamma, round_down, round_up
from intriguing_tf.lipschitz.rules.activations import activation_steps
from intriguing_tf.lipschitz.rules.common import (
    channels_first,
    kernel_of,
    spatial_shape,
    strides_of,
    times,
    weights_of,
)
from intriguing_tf.lipschitz.steps import LayerBound, Matrix, NoBoundError, Regroup, Shape, Steps


@built_in(layers.Dense, reads="activation", weights="units use_bias lora_rank lora_alpha")
def dense(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    kernel, error = kernel_of(layer)
    shape = (*input_shapes[0][:-1], kernel.shape[1])
    activated = activation_steps(layer.activation, shape)
    return Steps((Matrix(kernel.T, error), *activated), size=times(*kernel.shape))


@built_in(
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    reads="strides padding data_format dilation_rate groups activation",
    weights="filters kernel_size use_bias lora_rank lora_alpha",
)
def convolution(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    geometry = Geometry.of(layer, spatial_shape(layer, input_shapes[0]))
    kernel, error = kernel_of(layer)
    return _convolution_steps(layer, Convolution.of(kernel, geometry, error))


@built_in(
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    reads="strides padding data_format dilation_rate activation",
    weights="kernel_size depth_multiplier use_bias",
)
def depthwise(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    geometry = Geometry.of(layer, spatial_shape(layer, input_shapes[0]), depthwise=True)
    return _convolution_steps(layer, Convolution.of(weights_of(layer, "kernel"), geometry))


@built_in(
    layers.SeparableConv1D,
    layers.SeparableConv2D,
    reads="strides padding data_format dilation_rate activation",
    weights="filters kernel_size depth_multiplier use_bias",
)
def separable(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    """The two kernels multiplied into one: the norm of both together, not of each."""
    first = weights_of(layer, "depthwise_kernel")
    second = weights_of(layer, "pointwise_kernel")
    inputs, multiplier = first.shape[-2:]
    second = second.reshape(inputs, multiplier, -1)
    kernel = np.einsum("...cm,cmd->...cd", first, second)
    largest = np.einsum("...cm,cmd->...cd", np.abs(first), np.abs(second))
    error = gamma(multiplier + 2) * np.sum(np.sqrt(np.sum(largest**2, axis=(-2, -1))))
    geometry = Geometry.of(layer, spatial_shape(layer, input_shapes[0]))
    error = round_up(float(error), kernel.size)
    return _convolution_steps(layer, Convolution.of(kernel, geometry, error))


@built_in(
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
    reads="strides padding output_padding data_format dilation_rate activation",
    weights="filters kernel_size use_bias",
)
def transposed(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    kernel = weights_of(layer, "kernel")
    axes = transposed_axes(
        spatial_shape(layer, input_shapes[0]),
        spatial_shape(layer, layer.compute_output_shape(input_shapes[0])),
        kernel.shape[:-2],
        layer.strides,
        layer.padding,
        layer.dilation_rate,
    )
    return _convolution_steps(layer, Convolution(kernel, axes, transposed=True))


def _convolution_steps(layer: Any, operator: Convolution) -> Steps:
    inputs, outputs = operator.inputs, operator.outputs
    if operator.transposed:
        inputs, outputs = outputs, inputs
    pixels = (None,) * len(operator.axes)
    if channels_first(layer):
        activated = activation_steps(layer.activation, (None, outputs, *pixels))
        steps = (Regroup(), operator, Regroup(), *activated)
    else:
        steps = (operator, *activation_steps(layer.activation, (None, *pixels, outputs)))
    return Steps(
        steps,
        size=times(inputs, *operator.kernel.shape[:-2], outputs),
        stride=strides_of(layer),
    )


@built_in(
    layers.EinsumDense,
    reads="equation activation",
    weights="output_shape bias_axes lora_rank lora_alpha",
)
def einsum_dense(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    """A matrix for each value of the indices that input, kernel and output share."""
    kernel, error = kernel_of(layer)
    inputs, own, outputs = einsum_indices(layer.equation)
    known = {
        **dict(zip(inputs, input_shapes[0][-len(inputs) :], strict=True)),
        **dict(zip(own, kernel.shape, strict=True)),
    }
    shape = layer.compute_output_shape(input_shapes[0])
    if tuple(shape[-len(outputs) :]) != tuple(known[index] for index in outputs):
        raise NoBoundError(f"`output_shape` does not fit its equation: Keras says {shape}")
    shared = [i for i in own if i in inputs and i in outputs]
    contracted = [i for i in own if i in inputs and i not in outputs]
    free = [i for i in own if i not in inputs and i in outputs]
    kernel = kernel.transpose([own.index(i) for i in (*shared, *contracted, *free)])
    sizes = [math.prod(layer.kernel.shape[own.index(i)] for i in g) for g in (contracted, free)]
    blocks = kernel.reshape(-1, *sizes)
    factor = 1.0
    for index in set(inputs) - set(own) - set(outputs):
        size = input_shapes[0][inputs.index(index) - len(inputs)]
        if size is None:
            raise ValueError(f"the size of index {index!r} is not known.")
        factor *= math.sqrt(size)
    norms = [Matrix(block).norm() for block in blocks]
    upper = round_up(factor * (max(norm.upper for norm in norms) + error))
    lower = max(round_down((norms[0].lower or 0.0) - error), 0.0)
    bound = LayerBound(
        upper,
        attained=None if len(norms) > 1 or factor > 1 else min(lower, upper),
        how=f"{len(blocks)} matrices {times(*sizes)}, Cholesky",
        size=times(*layer.kernel.shape),
    )
    return Steps((bound, *activation_steps(layer.activation, shape)), size=bound.size)


def einsum_indices(equation: str) -> tuple[str, str, str]:
    """The indices of input, kernel and output, without an ellipsis at the beginning.

    Raises:
        NoBoundError: repeated indices, an ellipsis elsewhere, or a batch that does not stay first.
    """
    inputs, rest = equation.replace(" ", "").split(",")
    own, outputs = rest.split("->")
    if inputs.startswith("...") and outputs.startswith("..."):
        inputs, outputs = inputs[3:], outputs[3:]
        batch = True
    else:
        batch = inputs[:1] == outputs[:1] and inputs[:1] not in own
    repeated = any(len(set(each)) < len(each) for each in (inputs, own, outputs))
    if not batch or repeated or "." in inputs + own + outputs:
        raise NoBoundError(
            "equations must keep the batch first, without repeated indices in one operand. "
            f"Received: {equation!r}"
        )
    return inputs, own, outputs


unbounded(
    "it is a table of vectors for integers; certify the part from its output on, "
    "keras_graph.above(model, layer)",
    layers.Embedding,
)
