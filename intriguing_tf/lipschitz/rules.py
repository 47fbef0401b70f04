"""The rules of Keras's own layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.lipschitz.activations import activation_steps, elu_slopes, relu_slopes
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import axes, transposed_axis
from intriguing_tf.lipschitz.norms import as_weights
from intriguing_tf.lipschitz.operators import Diagonal, Matrix
from intriguing_tf.lipschitz.registry import (
    LayerBound,
    NoBoundError,
    Regroup,
    Shape,
    Slopes,
    Softmax,
    Steps,
    apply_rule,
    register,
    register_unbounded,
)
from intriguing_tf.lipschitz.rounding import CONSTANT, gamma, round_down, round_up

IDENTITY = Steps(())

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def spatial_shape(layer: Any, shape: Shape) -> tuple[int, ...]:
    """Returns the spatial sizes of an input, which must be known and come before the channels.

    Raises:
        ValueError: an unknown size, or channels first.
    """
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        raise ValueError(
            'data_format "channels_first" is not supported. Build the model with "channels_last".'
        )
    sizes = shape[1:-1]
    if None in sizes:
        raise ValueError(
            "the bound depends on the size of the input, which is not known. Received: input shape "
            f"{shape}. Build the model with a fixed size, e.g. keras.Input((224, 224, 3))."
        )
    return tuple(int(size) for size in sizes)  # type: ignore[arg-type]


def weights_of(layer: Any, name: str) -> np.ndarray:
    """Returns a weight of a layer as float64, checked to be finite.

    Raises:
        ValueError: not finite, not built, or quantised.
    """
    if getattr(layer, "quantization_mode", None):
        raise ValueError(
            f"quantised layers are not linear. Received: mode {layer.quantization_mode!r}."
        )
    value = getattr(layer, name, None)
    if value is None:
        raise ValueError(f"it has no {name!r} yet. Build the model by calling it once.")
    return as_weights(keras.ops.convert_to_numpy(value), name)


def times(*sizes: Any) -> str:
    return " × ".join(str(size) for size in sizes)


def strides_of(layer: Any) -> str:
    strides = np.unique(layer.strides)
    return str(strides[0]) if len(strides) == 1 else times(*layer.strides)


@register(layers.Dense)
def dense(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    kernel = weights_of(layer, "kernel")
    shape = (*input_shapes[0][:-1], kernel.shape[1])
    return Steps(
        (Matrix(kernel.T), *activation_steps(layer.activation, shape)), size=times(*kernel.shape)
    )


@register(*_CONVOLUTIONS)
def convolution(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    kernel = weights_of(layer, "kernel")
    geometry = axes(
        spatial_shape(layer, input_shapes[0]),
        kernel.shape[:-2],
        layer.strides,
        layer.padding,
        layer.dilation_rate,
    )
    operator = Convolution(kernel, geometry, layer.groups)
    return _convolution_steps(layer, operator)


@register(*_DEPTHWISE)
def depthwise(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    kernel = weights_of(layer, "kernel")
    geometry = axes(
        spatial_shape(layer, input_shapes[0]),
        kernel.shape[:-2],
        layer.strides,
        layer.padding,
        layer.dilation_rate,
    )
    grouped = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return _convolution_steps(layer, Convolution(grouped, geometry, kernel.shape[-2]))


@register(*_SEPARABLE)
def separable(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    """The two kernels multiplied into one: the norm of both together, not of each."""
    first = weights_of(layer, "depthwise_kernel")
    second = weights_of(layer, "pointwise_kernel")
    *size, inputs, multiplier = first.shape
    second = second.reshape(inputs, multiplier, -1)
    kernel = np.einsum("...cm,cmd->...cd", first, second)
    largest = np.einsum("...cm,cmd->...cd", np.abs(first), np.abs(second))
    error = gamma(multiplier + 2) * np.sum(np.sqrt(np.sum(largest**2, axis=(-2, -1))))
    geometry = axes(
        spatial_shape(layer, input_shapes[0]),
        size,
        layer.strides,
        layer.padding,
        layer.dilation_rate,
    )
    operator = Convolution(kernel, geometry, error=round_up(float(error), kernel.size))
    return _convolution_steps(layer, operator)


@register(*_TRANSPOSED)
def transposed(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    kernel = weights_of(layer, "kernel")
    sizes = spatial_shape(layer, input_shapes[0])
    outputs = layer.compute_output_shape(input_shapes[0])[1:-1]
    geometry = tuple(
        transposed_axis(size, out, k, s, layer.padding, d)
        for size, out, k, s, d in zip(
            sizes, outputs, kernel.shape[:-2], layer.strides, layer.dilation_rate, strict=True
        )
    )
    return _convolution_steps(layer, Convolution(kernel, geometry, transposed=True))


def _convolution_steps(layer: Any, operator: Convolution) -> Steps:
    inputs, outputs = operator.inputs, operator.outputs
    if operator.transposed:
        inputs, outputs = outputs, inputs
    shape = (None,) * (len(operator.axes) + 1) + (outputs,)
    return Steps(
        (operator, *activation_steps(layer.activation, shape)),
        size=times(inputs, *operator.kernel.shape[:-2], outputs),
        stride=strides_of(layer),
    )


@register(layers.EinsumDense)
def einsum_dense(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    """A matrix for each value of the indices that input, kernel and output share."""
    kernel = weights_of(layer, "kernel")
    inputs, rest = layer.equation.replace(" ", "").replace("...", "").split(",")
    own, outputs = rest.split("->")
    if len(set(inputs)) < len(inputs) or len(set(own)) < len(own):
        raise NoBoundError(f"repeated indices in one operand. Received: {layer.equation!r}")
    shared = [i for i in own if i in inputs and i in outputs]
    contracted = [i for i in own if i in inputs and i not in outputs]
    free = [i for i in own if i not in inputs and i in outputs]
    summed = [i for i in own if i not in inputs and i not in outputs]
    kernel = kernel.sum(axis=tuple(own.index(i) for i in summed))
    kept = [i for i in own if i not in summed]
    kernel = kernel.transpose([kept.index(i) for i in (*shared, *contracted, *free)])
    sizes = [math.prod(layer.kernel.shape[own.index(i)] for i in g) for g in (contracted, free)]
    blocks = kernel.reshape(-1, *sizes)
    factor = 1.0
    for index in set(inputs) - set(own) - set(outputs):
        size = input_shapes[0][inputs.index(index) - len(inputs)]
        if size is None:
            raise ValueError(f"the size of index {index!r} is not known.")
        factor *= math.sqrt(size)
    norms = [Matrix(block).norm() for block in blocks]
    upper = round_up(factor * max(norm.upper for norm in norms))
    bound = LayerBound(
        upper,
        attained=None if len(norms) > 1 or factor > 1 else min(norms[0].lower or 0.0, upper),
        how=f"{len(blocks)} matrices {times(*sizes)}, Cholesky",
        size=times(*layer.kernel.shape),
    )
    # Without a batch the output's shape is only needed by log-softmax.
    shape = layer.compute_output_shape(input_shapes[0])
    return Steps((bound, *activation_steps(layer.activation, shape)), size=bound.size)


@register(layers.Embedding)
def embedding(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """Between integers, the steepest step is from one to the next."""
    if layer.mask_zero:
        raise NoBoundError("a mask (mask_zero=True) changes what the layers above compute")
    rows = weights_of(layer, "embeddings")
    steps = np.linalg.norm(np.diff(rows, axis=0), axis=1)
    value = float(np.max(steps, initial=0.0))
    return LayerBound(
        round_up(value, rows.shape[1]),
        attained=value,
        how="steepest step between neighbouring integers",
        size=times(*rows.shape),
    )


@register(layers.BatchNormalization)
def batch_normalization(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    variance = weights_of(layer, "moving_variance")
    if np.any(variance + layer.epsilon <= 0):
        raise ValueError("a moving variance is not positive.")
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * weights_of(layer, "gamma")
    return _per_axis(scale, layer.axis, input_shapes[0], "largest |γ|/√(v + ε)")


@register(layers.Rescaling)
def rescaling(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    scale = as_weights(layer.scale, "scale")
    if scale.ndim > 1:
        scale = np.max(np.abs(scale))
    return Steps((Diagonal(scale * CONSTANT),))


@register(layers.Normalization)
def normalization(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    if layer.variance is None:
        raise ValueError("it has no variance yet. Call `adapt` or build the model.")
    variance = as_weights(keras.ops.convert_to_numpy(layer.variance), "variance")
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale = (deviation if layer.invert else 1 / deviation) * (1 + 4 * 2**-52)
    if scale.shape[-1:] in ((), (scale.size,)):
        return Steps((Diagonal(scale.reshape(-1)),), size=str(scale.size))
    largest = float(np.max(np.abs(scale)))
    return LayerBound(largest, attained=round_down(largest), how="largest 1/σ")


def _per_axis(scale: np.ndarray, axis: int, shape: Shape, how: str) -> Steps:
    scale = scale * CONSTANT
    if axis in (-1, len(shape) - 1):
        return Steps((Diagonal(scale),), size=str(len(scale)))
    largest = float(np.max(np.abs(scale)))
    return Steps((LayerBound(largest, attained=largest / CONSTANT**2, how=how),))


@register(layers.LayerNormalization)
def layer_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """At a constant input the Jacobian is diag(γ)(I − 11ᵀ/n)/√ε, and it is longer nowhere."""
    shape = input_shapes[0]
    sizes = [int(shape[axis] or 0) for axis in layer.axis]
    scale = weights_of(layer, "gamma").ravel() if layer.scale else np.ones(math.prod(sizes))
    if layer.rms_scaling:
        raise NoBoundError("with rms_scaling it divides what is not centred, without bound")
    upper, lower = _centred_norm(scale)
    return _divided(upper, lower, layer.epsilon, "Jacobian at a constant input", scale.size)


@register(layers.GroupNormalization)
def group_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    shape = input_shapes[0]
    axis = layer.axis % len(shape)
    channels = shape[axis]
    scale = weights_of(layer, "gamma").ravel() if layer.scale else np.ones(channels)
    pixels = math.prod(int(size or 2) for i, size in enumerate(shape) if i not in (0, axis))
    groups = channels if layer.groups == -1 else layer.groups
    if pixels > 1:
        # Two pixels of the channel with the largest γ, one up and one down, keep the mean.
        upper = lower = float(np.max(np.abs(scale)))
    else:
        norms = [_centred_norm(part) for part in scale.reshape(groups, -1)]
        upper, lower = max(norm[0] for norm in norms), max(norm[1] for norm in norms)
    return _divided(upper, lower, layer.epsilon, "Jacobian at a constant input", channels)


@register(layers.RMSNormalization)
def rms_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    scale = weights_of(layer, "scale").ravel()
    largest = float(np.max(np.abs(scale)))
    return _divided(largest, largest, layer.epsilon, "Jacobian at zero", scale.size)


def _centred_norm(scale: np.ndarray) -> tuple[float, float]:
    """Bounds of ‖diag(γ)(I − 11ᵀ/n)‖."""
    if scale.size > 2048:
        # One unit up, all others down by the mean: the root of 1 − 1/n of the largest, or more.
        largest = float(np.max(np.abs(scale)))
        return largest, largest * (1 - 1 / scale.size)
    matrix = np.diag(scale) - np.outer(scale, np.full(scale.size, 1 / scale.size))
    error = 4 * gamma(4) * float(np.linalg.norm(scale))
    norm = Matrix(matrix, error).norm()
    return norm.upper, norm.lower or 0.0


def _divided(upper: float, lower: float, epsilon: float, how: str, size: int) -> LayerBound:
    root = math.sqrt(epsilon)
    if root == 0:
        raise NoBoundError("with ε = 0 it divides by zero at a constant input")
    bound = round_up(upper / root * CONSTANT)
    attained = min(lower / root / CONSTANT, bound)
    return LayerBound(bound, attained=attained, how=how, size=str(size))


@register(layers.Activation)
def activation(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps(activation_steps(layer.activation, input_shapes[0]))


@register(layers.ReLU)
def relu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps((relu_slopes(layer.negative_slope, layer.max_value, layer.threshold),))


@register(layers.LeakyReLU)
def leaky_relu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps((relu_slopes(layer.negative_slope),))


@register(layers.PReLU)
def prelu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    alpha = weights_of(layer, "alpha")
    return Steps((Slopes(min(1.0, float(alpha.min())), max(1.0, float(alpha.max()))),))


@register(layers.ELU)
def elu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps((elu_slopes(float(layer.alpha)),))


@register(layers.Softmax)
def softmax(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    if layer.axis in (-1, len(input_shapes[0]) - 1):
        return Steps((Softmax(0.5),))
    return LayerBound(0.5, attained=0.5, how="Jacobian diag(p) − ppᵀ")


@register(
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


@register(layers.Flatten, layers.Reshape, layers.Permute)
def regroup(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    before, after = input_shapes[0], layer.compute_output_shape(input_shapes[0])
    if tuple(before) == tuple(after) and not isinstance(layer, layers.Permute):
        return IDENTITY
    repeats = None
    sizes = before[1:-1]
    if isinstance(layer, layers.Flatten) and len(before) > 2 and None not in sizes:
        repeats = math.prod(int(size or 0) for size in sizes)
    return Steps((Regroup(repeats),))


@register(layers.TimeDistributed)
def time_distributed(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """One layer on each time step by itself: its own bound."""
    from intriguing_tf.lipschitz.graph import single_layer_bound

    batch, _, *rest = input_shapes[0]
    return single_layer_bound(layer.layer, [(batch, *rest)])


@register(layers.SpectralNormalization)
def spectral_normalization(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound | Steps:
    """The kernel that the wrapper has left behind, whatever it was meant to be.

    The wrapper divides by one step of a power iteration of the reshaped kernel: neither the norm
    of the convolution, nor an upper bound of anything.
    """
    return apply_rule(layer.layer, input_shapes)


register_unbounded(
    "it multiplies two things that both depend on the input, so its slope grows with the input",
    layers.AdditiveAttention,
    layers.Attention,
    layers.Dot,
    layers.GroupQueryAttention,
    layers.MultiHeadAttention,
    layers.Multiply,
)
register_unbounded("it divides by the norm of its input", layers.UnitNormalization)
register_unbounded(
    "its gates multiply states that depend on the input",
    layers.ConvLSTM1D,
    layers.ConvLSTM2D,
    layers.ConvLSTM3D,
    layers.GRU,
    layers.LSTM,
)
register_unbounded("it rounds to whole classes", layers.Discretization)
register_unbounded("what it hides depends on equality with one value", layers.Masking)
