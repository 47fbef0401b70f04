"""Differentiable upper bounds of the operator norms of layers, for penalties and constraints.

The bound is a Schatten norm of high order, by repeated squaring of a Gram matrix ("Gram iteration",
Delattre et al., ICML 2023): never below the spectral norm but for rounding, above it by half a per
cent at most for 100 equal singular values, and built of matrix products only. A convolution takes
it frequency by frequency on the torus that holds the zero-padded layer (docs/lipschitz.md). For
certificates there is `bound`, in float64 and with every rounding accounted for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.lipschitz.bounds import bound, rule_of
from intriguing_tf.lipschitz.convolution import reached_taps
from intriguing_tf.lipschitz.geometry import Geometry
from intriguing_tf.lipschitz.graph import Call, calls_of
from intriguing_tf.lipschitz.symbols import frequency_grid, polyphase

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
LAYERS = (keras.layers.Dense, *_CONVOLUTIONS, *_DEPTHWISE)
_SQUARINGS = 8
_TINY = 1e-30


def dense_bound(kernel: tf.Tensor) -> tf.Tensor:
    """Returns an upper bound of the spectral norm of a matrix, a differentiable scalar."""
    tall = kernel.shape[0] >= kernel.shape[1]
    return _root_of_largest(tf.matmul(kernel, kernel, transpose_a=tall, transpose_b=not tall))


def convolution_bound(kernel: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Returns an upper bound of the operator norm of a convolution, a differentiable scalar.

    Args:
        kernel: `[*size, inputs / groups, outputs]`, or a depthwise kernel.
        geometry: of the layer.

    Raises:
        ValueError: sizes that do not fit one another.
    """
    plan = _plan(tuple(kernel.shape), geometry)
    flat = tf.concat([tf.zeros([1], kernel.dtype), tf.reshape(kernel, [-1])], axis=0)
    taps = tf.gather(flat, plan.indices)
    by_tap = tf.reshape(taps, [len(plan.indices), -1])
    shape = [-1, *plan.indices.shape[1:]]
    real = tf.reshape(tf.matmul(tf.constant(plan.cosines, kernel.dtype), by_tap), shape)
    imaginary = tf.reshape(tf.matmul(tf.constant(plan.sines, kernel.dtype), by_tap), shape)
    if shape[-1] == 1:
        squares = tf.reduce_sum(real**2 + imaginary**2, axis=[-2, -1])
        return tf.sqrt(tf.maximum(tf.reduce_max(squares), _TINY))
    symbol = tf.complex(real, imaginary)
    return tf.reduce_max(_root_of_largest(tf.matmul(symbol, symbol, adjoint_a=True)))


def layer_bound(layer: keras.layers.Layer, input_shape: tuple) -> Callable[[], tf.Tensor]:
    """Returns the function that computes a bound of the norm of a layer's linear part.

    Args:
        layer: one of `LAYERS`, built.
        input_shape: of its input, the batch first.

    Returns:
        A function of no arguments that returns a scalar; its gradient reaches the kernel.

    Raises:
        ValueError: no such norm is known, or the layer's input has no fixed size.
    """
    if type(layer) not in LAYERS:
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) has no differentiable norm. Valid: "
            f"{', '.join(kind.__name__ for kind in LAYERS)}."
        )
    if isinstance(layer, keras.layers.Dense):
        return lambda: dense_bound(tf.convert_to_tensor(layer.kernel))
    spatial = input_shape[1:-1]
    if layer.data_format != "channels_last" or None in spatial:
        raise ValueError(
            f"The norm of layer {layer.name!r} needs channels last and a fixed input size. "
            f"Received: {layer.data_format}, input of shape {input_shape}."
        )
    geometry = Geometry.of(layer, spatial, depthwise=isinstance(layer, _DEPTHWISE))
    return lambda: convolution_bound(tf.convert_to_tensor(layer.kernel), geometry)


def layers_of(model: keras.Model) -> dict[keras.layers.Layer, tuple]:
    """Returns the layers that a model calls, those of models in it too, and their input's shape."""
    return {
        call.operation: call.input_shapes[0]
        for call in calls_of(model).calls
        if isinstance(call.operation, keras.layers.Layer)
    }


def constant_bound(model: keras.Model) -> float:
    """Returns the product of the bounds of all that has no kernel: activations, pooling.

    Times the `layer_bound`s of the others it bounds a model that is a chain of layers.

    Raises:
        ValueError: the model has no bound, is no chain of layers, or has a layer whose bound
            changes in training and has no gradient.
    """
    bound(model, method="product")  # raises where there is none
    calls = calls_of(model).calls
    layers = [call.operation for call in calls]
    product = 1.0
    for call in calls:
        if len(call.inputs) != 1 or layers.count(call.operation) != 1:
            raise ValueError(
                f"`total` is for models that are a chain of layers. Received: layer "
                f"{call.operation.name!r} of model {model.name!r}, which has several inputs or is "
                "called several times."
            )
        product *= _constant_bound_of(call)
    return product


def _constant_bound_of(call: Call) -> float:
    layer = call.operation
    steps = rule_of(call).steps
    if type(layer) in LAYERS:
        steps = steps[1:]  # the first is the kernel's, which `layer_bound` follows
    elif _changes(layer):
        raise ValueError(
            f"`total` cannot follow layer {layer.name!r} ({type(layer).__name__}), whose bound "
            "changes in training and has no gradient here. Give `target`."
        )
    return math.prod(step.norm(attained=False).upper for step in steps)


def _changes(layer: Any) -> bool:
    """Whether training changes what a layer computes."""
    moving = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    return bool(moving or getattr(layer, "trainable_weights", None))


def _root_of_largest(gram: tf.Tensor) -> tf.Tensor:
    """Bounds the square roots of the largest eigenvalues of Gram matrices `[..., n, n]`."""
    logarithm = tf.zeros(gram.shape[:-2], gram.dtype.real_dtype)
    for _ in range(_SQUARINGS):
        size = tf.stop_gradient(_frobenius(gram))  # cancels, so its gradient is not needed
        scaled = gram / tf.cast(size, gram.dtype)[..., None, None]
        gram = tf.matmul(scaled, scaled)
        logarithm = 2 * (logarithm + tf.math.log(size))
    logarithm += tf.math.log(_frobenius(gram))
    return tf.exp(logarithm / 2 ** (_SQUARINGS + 1))


def _frobenius(matrices: tf.Tensor) -> tf.Tensor:
    squares = tf.math.real(matrices * tf.math.conj(matrices))
    return tf.sqrt(tf.maximum(tf.reduce_sum(squares, axis=[-2, -1]), _TINY))


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """Where the taps of the symbol are in the kernel, and the waves that they are summed with."""

    indices: np.ndarray  # int [T, groups, m, n], n ≤ m, one more than the place; 0: no tap there
    cosines: np.ndarray  # [frequencies, T]
    sines: np.ndarray


@functools.lru_cache(maxsize=128)
def _plan(kernel_shape: tuple[int, ...], geometry: Geometry) -> _Plan:
    numbers = 1.0 + np.arange(math.prod(kernel_shape)).reshape(kernel_shape)
    numbers, groups = geometry.grouped(numbers)
    if numbers.shape[-1] % groups:
        raise ValueError(
            f"`groups` must divide the outputs. Received: groups={groups}, kernel of shape "
            f"{kernel_shape}."
        )
    places = geometry.axes(kernel_shape)
    numbers = numbers * reached_taps(places)
    split = [
        polyphase(part, [a.stride for a in places], [a.dilation for a in places])
        for part in np.split(numbers, groups, axis=-1)
    ]
    taps = np.stack([each.taps for each in split], axis=1).astype(np.int32)
    if taps.shape[2] < taps.shape[3]:
        taps = taps.swapaxes(2, 3)
    torus = [a.torus // a.stride for a in places]
    angles = frequency_grid(torus, [0] * len(torus)) @ split[0].places.T
    return _Plan(taps, np.cos(angles), np.sin(angles))
