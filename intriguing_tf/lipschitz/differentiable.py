"""Differentiable upper bounds of the operator norms of layers, for penalties and constraints.

The bound is a Schatten norm of high order, by repeated squaring of a Gram matrix ("Gram iteration",
Delattre et al., ICML 2023): never below the spectral norm but for rounding, above it by half a per
cent at most for 100 equal singular values, and built of matrix products only. Its gradient is the
last power of the Gram matrix, which is there already, times the kernel. A convolution takes
it frequency by frequency on the torus that holds the zero-padded layer
(docs/lipschitz-mathematics.md). For certificates there is `bound`, in float64 and with every
rounding accounted for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from intriguing_tf.lipschitz.bounds import bound
from intriguing_tf.lipschitz.convolution import reached_taps
from intriguing_tf.lipschitz.geometry import Geometry
from intriguing_tf.lipschitz.graph import Call, calls_of
from intriguing_tf.lipschitz.symbols import frequency_grid, polyphase
from intriguing_tf.lipschitz.walk import keeps_classes, logits_graph, rule_of

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
LAYERS = (keras.layers.Dense, *_CONVOLUTIONS, *_DEPTHWISE)
_SQUARINGS = 9
_FEW_SQUARINGS = 5
_TINY = 1e-30
_EXTREME = 1e6
_NOTHING = 1e-36  # below, processors may take numbers for 0


def dense_bound(kernel: tf.Tensor, squarings: int = _SQUARINGS) -> tf.Tensor:
    """Returns an upper bound of the spectral norm of a matrix, a differentiable scalar.

    Args:
        kernel: [m, n].
        squarings: s of its Gram matrix; the bound is the Schatten norm of order 2 (2ˢ + 1).
    """
    kernel, unit = _in_units(kernel)
    tall = kernel.shape[0] >= kernel.shape[1]
    gram = tf.matmul(kernel, kernel, transpose_a=tall, transpose_b=not tall)
    return unit * _root_of_largest(gram, squarings)


def convolution_bound(kernel: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Returns an upper bound of the operator norm of a convolution, a differentiable scalar.

    Args:
        kernel: `[*size, inputs / groups, outputs]`, or a depthwise kernel.
        geometry: of the layer.

    Raises:
        ValueError: sizes that do not fit one another.
    """
    plan = _plan(tuple(kernel.shape), geometry)
    kernel, unit = _in_units(kernel)
    flat = tf.concat([tf.zeros([1], kernel.dtype), tf.reshape(kernel, [-1])], axis=0)
    taps = tf.gather(flat, plan.indices)
    by_tap = tf.reshape(taps, [len(plan.indices), -1])
    shape = [-1, *plan.indices.shape[1:]]
    real = tf.reshape(tf.matmul(tf.constant(plan.cosines, kernel.dtype), by_tap), shape)
    imaginary = tf.reshape(tf.matmul(tf.constant(plan.sines, kernel.dtype), by_tap), shape)
    if shape[-1] == 1:
        squares = tf.reduce_sum(real**2 + imaginary**2, axis=[-2, -1])
        return unit * tf.sqrt(tf.maximum(tf.reduce_max(squares), _TINY))
    symbol = tf.complex(real, imaginary)
    return unit * tf.reduce_max(_root_of_largest(tf.matmul(symbol, symbol, adjoint_a=True)))


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


class SchattenNorm:
    """The norm of a Dense layer's kernel from above, by a Schatten norm of low order.

    Where many singular values lie near the largest, as training for certificates makes them, its
    gradient lowers all of them at once; that of the norm lowers one.

    Args:
        layer: a Dense layer, built.
        squarings: as of `dense_bound`.
    """

    def __init__(self, layer: keras.layers.Dense, squarings: int = _FEW_SQUARINGS):
        self.layer, self.squarings = layer, squarings

    def norm(self) -> tf.Tensor:
        """Returns a bound of the norm, a scalar whose gradient reaches the kernel."""
        return dense_bound(tf.convert_to_tensor(self.layer.kernel), self.squarings)


class PowerIteration:
    """The norm of a layer's linear part by power iterations, as Keras computes the layer.

    The vector is kept between calls, so that one iteration per step of training follows weights
    that change slowly. The norm comes from below: it certifies nothing.

    Args:
        layer: one of `LAYERS`, built.
        input_shape: of its input, the batch first.
        variable: as `keras.layers.Layer.add_weight`; it makes the vector's variable.

    Raises:
        ValueError: no linear part is known, or the layer's input has no fixed size.
    """

    def __init__(self, layer: keras.layers.Layer, input_shape: tuple, variable: Callable):
        if type(layer) not in LAYERS:
            raise ValueError(
                f"Layer {layer.name!r} ({type(layer).__name__}) has no norm that can be followed."
            )
        shape = input_shape[-1:] if isinstance(layer, keras.layers.Dense) else input_shape[1:]
        if None in shape:
            raise ValueError(
                f"The norm of layer {layer.name!r} needs an input of fixed size. Received: input "
                f"of shape {input_shape}."
            )
        self.layer = layer
        self._vector = variable(
            name=f"norm_of_{layer.name}",
            shape=(1, *shape),
            dtype=layer.variable_dtype,
            initializer=keras.initializers.RandomNormal(seed=0),
            trainable=False,
        )

    def iterate(self) -> None:
        """Multiplies the vector by AᵀA, and normalizes it."""
        vector = self._vector.value
        with tf.GradientTape() as tape:
            tape.watch(vector)
            image = self._linear(vector)
        following = tape.gradient(image, vector, output_gradients=_in_units(image)[0])
        following, _ = _in_units(following)
        size = tf.norm(following)
        self._vector.assign(tf.where(size > _TINY, following / size, vector))

    def norm(self) -> tf.Tensor:
        """Returns ‖A v‖ for the vector, a scalar whose gradient reaches the kernel."""
        vector = tf.math.l2_normalize(tf.convert_to_tensor(self._vector.value))
        image, unit = _in_units(self._linear(vector))
        return unit * tf.sqrt(tf.maximum(tf.reduce_sum(image**2), _TINY))

    def _linear(self, x: tf.Tensor) -> tf.Tensor:
        layer, kernel = self.layer, tf.convert_to_tensor(self.layer.kernel)
        if isinstance(layer, keras.layers.Dense):
            return tf.matmul(x, kernel)
        padding = layer.padding
        if padding == "causal":
            lost = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
            x, padding = tf.pad(x, [[0, 0], [lost, 0], [0, 0]]), "valid"
        convolve = ops.depthwise_conv if isinstance(layer, _DEPTHWISE) else ops.conv
        return convolve(
            x,
            kernel,
            strides=layer.strides,
            padding=padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )


def followed_norm(
    layer: keras.layers.Layer, input_shape: tuple, variable: Callable
) -> SchattenNorm | PowerIteration:
    """Returns what follows the norm of a layer in training: cheap, and with a useful gradient.

    Args:
        layer, input_shape, variable: as of `PowerIteration`.
    """
    if type(layer) is keras.layers.Dense:
        return SchattenNorm(layer)
    return PowerIteration(layer, input_shape, variable)


def in_one_dtype(scalars: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns scalars in the widest of their dtypes: layers may compute in several."""
    widest = max((each.dtype for each in scalars), key=lambda dtype: dtype.size)
    return [tf.cast(each, widest) for each in scalars]


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
    return _constant_of_chain(model, calls_of(model).calls)


@dataclasses.dataclass(frozen=True)
class ChainToLogits:
    """A classifier as a chain of layers below its logits.

    Args:
        head: the Dense layer that gives the logits.
        below: the layers with kernels below it, with the shape of their inputs.
        constant: the product of the bounds of the others below it.
    """

    head: keras.layers.Dense
    below: dict[keras.layers.Layer, tuple]
    constant: float


def chain_to_logits(model: keras.Model) -> ChainToLogits:
    """Returns a classifier as a chain of layers.

    Raises:
        ValueError: it is none, it does not end in a Dense layer of logits, or a layer has no bound
            or none that can be followed in training; the layers are named.
    """
    calls = list(logits_graph(calls_of(model)).calls)
    while calls and keeps_classes(calls[-1]):
        calls.pop()  # what squashes the logits, and regroups them
    head = calls[-1].operation if calls else None
    if type(head) is not keras.layers.Dense or len(rule_of(calls[-1]).steps) != 1:
        name = "no layer" if head is None else f"{head.name!r} ({type(head).__name__})"
        raise ValueError(
            "The logits must be the outputs of a Dense layer without activation (or one that "
            f"squashes them). Received: model {model.name!r} with {name} there."
        )
    constant = _constant_of_chain(model, calls)
    below = {call.operation: call.input_shapes[0] for call in calls[:-1]}
    kernels = {layer: shape for layer, shape in below.items() if type(layer) in LAYERS}
    return ChainToLogits(head, kernels, constant)


def _constant_of_chain(model: keras.Model, calls: Sequence[Call]) -> float:
    """The product of the bounds of all that has no kernel."""
    operations = [call.operation for call in calls]
    branching = [
        call for call in calls if len(call.inputs) != 1 or operations.count(call.operation) != 1
    ]
    others = [call for call in calls if type(call.operation) not in LAYERS]
    changing = [call for call in others if _changes(call.operation)]
    if branching:
        raise ValueError(
            f"The whole model must be a chain of layers. Received: model {model.name!r} with "
            f"{_named(branching)}, which have several inputs or are called several times."
        )
    if changing:
        raise ValueError(
            f"The bound of {_named(changing)} of model {model.name!r} changes in training and has "
            f"no gradient here. Valid: {', '.join(kind.__name__ for kind in LAYERS)}, and layers "
            "that training does not change."
        )
    # The first step of a layer with a kernel is the kernel's, which is followed.
    steps = [step for call in others for step in rule_of(call).steps]
    followed = [call for call in calls if type(call.operation) in LAYERS]
    steps += [step for call in followed for step in rule_of(call).steps[1:]]
    return math.prod(step.norm(attained=False).upper for step in steps)


def _named(calls: Sequence[Call]) -> str:
    layers = {call.operation: None for call in calls}
    return ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in layers)


def _changes(layer: Any) -> bool:
    """Whether training changes what a layer computes."""
    moving = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    return bool(moving or getattr(layer, "trainable_weights", None))


def _in_units(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a kernel in a unit in which its fourth powers are no zeros and finite, and the unit.

    It is 1 unless the numbers are extreme.
    """
    peak = tf.stop_gradient(tf.reduce_max(tf.abs(numbers)))
    extreme = (peak > _EXTREME) | ((peak < 1 / _EXTREME) & (peak > _NOTHING))
    unit = tf.where(extreme, peak, tf.ones_like(peak))
    return numbers / unit, unit


def _root_of_largest(gram: tf.Tensor, squarings: int = _SQUARINGS) -> tf.Tensor:
    """Bounds the square roots of the largest eigenvalues of Gram matrices `[..., n, n]`.

    With S = G^(2ˢ) that is (tr S G)^(1 / 2(2ˢ + 1)); its derivative by G is S / (2 tr S G) of it.
    """

    @tf.custom_gradient
    def root(gram: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        power, logarithm = _normalized(gram)
        for _ in range(squarings):
            power, size = _normalized(tf.matmul(power, power))
            logarithm = 2 * logarithm + size
        trace = tf.math.real(tf.reduce_sum(tf.math.conj(power) * gram, [-2, -1]))
        logarithm += tf.math.log(tf.maximum(trace, _TINY))
        value = tf.exp(logarithm / (2 * (2**squarings + 1)))

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            slope = tf.math.divide_no_nan(upstream * value, 2 * trace)  # none at zero
            return tf.cast(slope, gram.dtype)[..., None, None] * power

        return value, gradient

    return root(gram)


def _normalized(matrices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Divides matrices by their Frobenius norms, and returns the norms' logarithms."""
    size = _frobenius(matrices)
    return matrices / tf.cast(size, matrices.dtype)[..., None, None], tf.math.log(size)


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
