"""Differentiable upper bounds of the operator norms of kernels, for penalties and constraints.

The bound is a Schatten norm of high order, by repeated squaring of a Gram matrix ("Gram iteration",
Delattre et al., ICML 2023): never below the spectral norm but for rounding, above it by half a per
cent at most for 100 equal singular values, and built of matrix products only. A convolution takes
it frequency by frequency on the torus that holds the zero-padded layer (docs/lipschitz.md). For
certificates there is `intriguing_tf.lipschitz`, in float64 and with every rounding accounted for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from intriguing_tf.lipschitz.geometry import Axis, Ints, axes
from intriguing_tf.lipschitz.symbols import frequency_grid, polyphase

_SQUARINGS = 8
_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What the norm of a convolution depends on besides its kernel; values as in Keras.

    Args:
        spatial_shape: height and width of the input (length; three sizes).
        strides, dilation_rate: one number, or one per axis.
        padding: "valid", "same" or "causal".
        groups: as in Keras; 1 for depthwise layers.
        depthwise: whether the kernel is that of a depthwise layer, `[*size, inputs, multiplier]`.
    """

    spatial_shape: tuple[int, ...]
    strides: Ints = 1
    padding: str = "valid"
    dilation_rate: Ints = 1
    groups: int = 1
    depthwise: bool = False


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
    *size, inputs, outputs = kernel_shape
    groups = geometry.groups
    numbers = 1.0 + np.arange(math.prod(kernel_shape)).reshape(kernel_shape)
    if geometry.depthwise:
        groups = inputs
        numbers = numbers.reshape(*size, 1, inputs * outputs)
    if numbers.shape[-1] % groups:
        raise ValueError(
            f"`groups` must divide the outputs. Received: groups={groups}, kernel of shape "
            f"{kernel_shape}."
        )
    places = axes(
        geometry.spatial_shape, size, geometry.strides, geometry.padding, geometry.dilation_rate
    )
    numbers = numbers * _reaches(places)
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


def _reaches(places: tuple[Axis, ...]) -> Any:
    """1 for the taps that ever lie on the image, 0 for those that see only padding."""
    lives = [np.array([bool(a.outputs_of(tap)) for tap in range(a.kernel)], float) for a in places]
    return functools.reduce(np.multiply.outer, lives)[..., None, None]
