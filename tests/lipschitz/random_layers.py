"""Random layers and small networks, and how steep they are: for tests and the benchmark."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from keras import layers

import intriguing_tf as itf

SMOOTH = [None, "tanh", "sigmoid", "softplus", "elu", "gelu", "silu", "selu", "mish", "softsign"]
ACTIVATIONS = [*SMOOTH, "relu", "leaky_relu", "hard_sigmoid", "hard_silu", "hard_tanh", "relu6"]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A built float64 layer and the shape of one input."""

    layer: Any
    shape: tuple[int, ...]
    linear: bool


@st.composite
def linear_layers(draw: Any) -> Drawn:
    """Any layer that Keras computes as a linear map plus a constant."""
    kind = draw(st.sampled_from(sorted(_LINEAR)))
    layer, shape = _LINEAR[kind](draw)
    return _built(draw, layer, shape, True)


@st.composite
def convolutions(draw: Any) -> Drawn:
    """Convolutions of every kind, without an activation."""
    kind = draw(st.sampled_from([_convolution, _convolution, _depthwise, _separable, _transposed]))
    layer, shape = kind(draw)
    return _built(draw, layer, shape, True)


@st.composite
def other_layers(draw: Any) -> Drawn:
    """Layers with an activation of their own, pooling by maxima, normalization by statistics."""
    kind = draw(st.sampled_from(sorted(_OTHER)))
    layer, shape = _OTHER[kind](draw)
    return _built(draw, layer, shape, False)


def _built(draw: Any, layer: Any, shape: tuple[int, ...], linear: bool) -> Drawn:
    layer.build((None, *shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    signs = draw(st.sampled_from(["normal", "positive", "sparse"]))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    for weight in layer.weights:
        values = rng.normal(size=weight.shape)
        if signs == "positive":
            values = np.abs(values)
        if signs == "sparse":
            values = values * (rng.random(weight.shape) < 0.4)
        if "variance" in weight.path:
            values = np.abs(values) + 0.01
        weight.assign(scale * values)
    return Drawn(layer, shape, linear)


def jacobian(function: Any, point: np.ndarray) -> np.ndarray:
    """The Jacobian [outputs, inputs] of a function of one example, at that example."""
    outputs = int(np.prod(function(tf.constant(point[None])).shape))
    copies = tf.constant(np.repeat(point[None], outputs, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(copies)
        # Example i keeps its output i only.
        kept = tf.linalg.trace(tf.reshape(function(copies), [outputs, outputs]))
    return tape.gradient(kept, copies).numpy().reshape(outputs, -1)


def matrix_of(layer: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix [outputs, inputs] of a layer that is linear plus a constant."""
    size = math.prod(shape)
    far = 2.0**40  # so that the constant, which is subtracted, leaves no rounding
    images = np.concatenate([np.zeros((1, size)), far * np.eye(size)]).reshape(-1, *shape)
    outputs = np.asarray(layer(tf.constant(images))).reshape(size + 1, -1)
    return (outputs[1:] - outputs[0]).T / far


def _sizes(draw: Any, rank: int, least: int, most: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(least, most)) for _ in range(rank))


def _image(draw: Any, rank: int, channels: int, least: int = 1) -> tuple[int, ...]:
    return (*_sizes(draw, rank, least, {1: 14, 2: 7, 3: 4}[rank]), channels)


def _window(draw: Any, shape: tuple[int, ...], padding: str, dilation: int = 1) -> tuple[int, ...]:
    """A kernel size; with "valid" one that fits, otherwise perhaps larger than the map."""
    most = [6 if padding != "valid" else (size - 1) // dilation + 1 for size in shape[:-1]]
    return tuple(draw(st.integers(1, min(6, each))) for each in most)


def _convolution(draw: Any, activation: Any = None) -> tuple[Any, tuple[int, ...]]:
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    groups = draw(st.sampled_from([1, 1, 2, 3])) if rank < 3 else 1
    shape = _image(draw, rank, groups * draw(st.integers(1, 3)))
    padding = draw(st.sampled_from(["valid", "same", "causal"] if rank == 1 else ["valid", "same"]))
    stride = draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 3)) if stride == 1 and rank < 3 else 1
    kind = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}[rank]
    return (
        kind(
            groups * draw(st.integers(1, 3)),
            _window(draw, shape, padding, dilation),
            strides=stride,
            padding=padding,
            dilation_rate=dilation,
            groups=groups,
            activation=activation,
            dtype="float64",
        ),
        shape,
    )


def _depthwise(draw: Any) -> tuple[Any, tuple[int, ...]]:
    rank = draw(st.sampled_from([1, 2]))
    shape = _image(draw, rank, draw(st.integers(1, 4)))
    padding = draw(st.sampled_from(["valid", "same"]))
    kind = layers.DepthwiseConv1D if rank == 1 else layers.DepthwiseConv2D
    window = _window(draw, shape, padding)
    stride = draw(st.integers(1, 3))
    multiplier = draw(st.integers(1, 3))
    return kind(window, stride, padding, depth_multiplier=multiplier, dtype="float64"), shape


def _separable(draw: Any) -> tuple[Any, tuple[int, ...]]:
    rank = draw(st.sampled_from([1, 2]))
    shape = _image(draw, rank, draw(st.integers(1, 3)))
    padding = draw(st.sampled_from(["valid", "same"]))
    kind = layers.SeparableConv1D if rank == 1 else layers.SeparableConv2D
    return (
        kind(
            draw(st.integers(1, 4)),
            _window(draw, shape, padding),
            strides=draw(st.integers(1, 2)),
            padding=padding,
            depth_multiplier=draw(st.integers(1, 2)),
            dtype="float64",
        ),
        shape,
    )


def _transposed(draw: Any) -> tuple[Any, tuple[int, ...]]:
    rank = draw(st.sampled_from([1, 2, 2]))
    shape = _image(draw, rank, draw(st.integers(1, 3)))
    stride = draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["valid", "same"]))
    # With a stride above the kernel's size some TensorFlow shapes are refused.
    kernel = _sizes(draw, rank, 1, 4)
    output_padding = draw(st.sampled_from([None, stride - 1])) if stride > 1 else None
    kind = {1: layers.Conv1DTranspose, 2: layers.Conv2DTranspose}[rank]
    return (
        kind(
            draw(st.integers(1, 3)),
            kernel,
            strides=stride,
            padding=padding,
            output_padding=output_padding if min(kernel) >= stride else None,
            dtype="float64",
        ),
        shape,
    )


def _dense(draw: Any, activation: Any = None) -> tuple[Any, tuple[int, ...]]:
    shape = _sizes(draw, draw(st.integers(1, 3)), 1, 6)
    return layers.Dense(draw(st.integers(1, 8)), activation=activation, dtype="float64"), shape


def _einsum(draw: Any) -> tuple[Any, tuple[int, ...]]:
    equation, output, rank = draw(
        st.sampled_from(
            [("ab,bc->ac", (4,), 1), ("abc,cd->abd", (3, 4), 2), ("abc,bcd->abd", (3, 4), 2),
             ("abc,cde->abde", (3, 2, 3), 2), ("abc,bcd->ad", (5,), 2)]
        )
    )  # fmt: skip
    return layers.EinsumDense(equation, output, bias_axes=equation[-1], dtype="float64"), (
        _sizes(draw, rank, 3, 3)
    )


def _pooling(draw: Any, kinds: dict[int, Any]) -> tuple[Any, tuple[int, ...]]:
    rank = draw(st.sampled_from([1, 2, 2]))  # in 3-D TensorFlow has no pooling in float64
    shape = _image(draw, rank, draw(st.integers(1, 2)))
    padding = draw(st.sampled_from(["valid", "same"]))
    window = _window(draw, shape, padding)
    return kinds[rank](window, draw(st.integers(1, 3)), padding, dtype="float64"), shape


def _average(draw: Any) -> tuple[Any, tuple[int, ...]]:
    return _pooling(draw, {1: layers.AveragePooling1D, 2: layers.AveragePooling2D})


def _maximum(draw: Any) -> tuple[Any, tuple[int, ...]]:
    return _pooling(draw, {1: layers.MaxPooling1D, 2: layers.MaxPooling2D, 3: layers.MaxPooling3D})


def _ceil(draw: Any, kind: Any) -> tuple[Any, tuple[int, ...]]:
    pool = draw(st.integers(1, 4))
    shape = _image(draw, 2, draw(st.integers(1, 2)), least=pool)
    padding = draw(st.integers(0, pool - 1))
    stride = draw(st.integers(1, min(3, pool)))
    return kind(pool, stride, padding, dtype="float64"), shape


def _normalization(draw: Any) -> tuple[Any, tuple[int, ...]]:
    shape = _image(draw, 2, draw(st.integers(1, 6)))
    axis = draw(st.sampled_from([-1, 1]))
    kind = draw(st.sampled_from(["batch", "rescaling", "normalization"]))
    if kind == "batch":
        return layers.BatchNormalization(axis=axis, dtype="float64"), shape
    if kind == "rescaling":
        return layers.Rescaling(draw(st.sampled_from([-2.0, 1 / 255])), dtype="float64"), shape
    variance = np.arange(1, shape[-1] + 1) / 3
    return layers.Normalization(mean=variance, variance=variance, dtype="float64"), shape


def _resampling(draw: Any) -> tuple[Any, tuple[int, ...]]:
    shape = _image(draw, 2, draw(st.integers(1, 2)))
    size = _sizes(draw, 2, 1, 3)
    kind = draw(st.sampled_from(["nearest", "bilinear", "bicubic"]))
    return layers.UpSampling2D(size, interpolation=kind, dtype="float64"), shape


def _reshaping(draw: Any) -> tuple[Any, tuple[int, ...]]:
    shape = _image(draw, 2, draw(st.integers(1, 3)), least=3)
    choices = [
        layers.Flatten(dtype="float64"),
        layers.Permute((3, 1, 2), dtype="float64"),
        layers.Reshape((-1, shape[0]), dtype="float64"),
        layers.ZeroPadding2D((1, 2), dtype="float64"),
        layers.Cropping2D(((1, 0), (0, 1)), dtype="float64"),
        layers.GlobalAveragePooling2D(dtype="float64"),
    ]
    return draw(st.sampled_from(choices)), shape


def _untied(draw: Any) -> tuple[Any, tuple[int, ...]]:
    shape = _image(draw, 2, draw(st.integers(1, 2)), least=2)
    field = _window(draw, shape, "valid")
    stride = draw(st.integers(1, 2))
    return (
        itf.layers.LocallyConnected2D(draw(st.integers(1, 3)), field, stride, dtype="float64"),
        shape,
    )


def _statistics(draw: Any) -> tuple[Any, tuple[int, ...]]:
    channels = draw(st.sampled_from([2, 4, 6]))
    shape = draw(st.sampled_from([(channels,), (2, 3, channels)]))
    kind = draw(st.sampled_from(["layer", "group", "rms", "response", "contrast"]))
    epsilon = draw(st.sampled_from([1e-3, 1.0]))
    if kind == "layer":
        return layers.LayerNormalization(epsilon=epsilon, dtype="float64"), shape
    if kind == "group":
        return layers.GroupNormalization(2, epsilon=epsilon, dtype="float64"), shape
    if kind == "rms":
        return layers.RMSNormalization(epsilon=epsilon, dtype="float64"), shape
    if kind == "response":
        return (
            itf.layers.LocalResponseNormalization(
                draw(st.sampled_from([1, 3, 5, 13])),
                alpha=draw(st.sampled_from([0.1, 5.0])),
                beta=draw(st.sampled_from([0.5, 0.75, 1.0, 2.0])),
                k=draw(st.sampled_from([0.5, 1.0, 2.0])),
                dtype="float64",
            ),
            (2, 3, channels),
        )
    return itf.layers.LocalContrastNormalization(3, floor=epsilon, dtype="float64"), (
        (4, 3, channels)
    )


def _l2_pooling(draw: Any) -> tuple[Any, tuple[int, ...]]:
    shape = _image(draw, 2, draw(st.integers(1, 2)), least=2)
    window = _window(draw, shape, "valid")
    return itf.layers.L2Pooling2D(window, draw(st.integers(1, 2)), dtype="float64"), shape


def _sorted(draw: Any) -> tuple[Any, tuple[int, ...]]:
    size = draw(st.integers(2, 3))
    channels = size * draw(st.integers(1, 2))
    return itf.layers.GroupSort(size, dtype="float64"), _image(draw, 2, channels)


def _activation(draw: Any) -> tuple[Any, tuple[int, ...]]:
    name = draw(st.sampled_from([*ACTIVATIONS[1:], "softmax", "log_softmax"]))
    return layers.Activation(name, dtype="float64"), (draw(st.integers(1, 6)),)


_LINEAR = {
    "average pooling": _average,
    "ceil average": lambda draw: _ceil(draw, itf.layers.CeilAveragePooling2D),
    "convolution": _convolution,
    "convolution again": _convolution,
    "convolution once more": _convolution,
    "dense": _dense,
    "depthwise": _depthwise,
    "einsum": _einsum,
    "normalization": _normalization,
    "resampling": _resampling,
    "reshaping": _reshaping,
    "separable": _separable,
    "transposed": _transposed,
    "untied": _untied,
}
_OTHER = {
    "activation": _activation,
    "ceil maximum": lambda draw: _ceil(draw, itf.layers.CeilMaxPooling2D),
    "convolution": lambda draw: _convolution(draw, draw(st.sampled_from(ACTIVATIONS))),
    "dense": lambda draw: _dense(draw, draw(st.sampled_from(ACTIVATIONS))),
    "l2 pooling": _l2_pooling,
    "maximum": _maximum,
    "sorted": _sorted,
    "statistics": _statistics,
}


@st.composite
def networks(draw: Any) -> keras.Model:
    """Small networks: chains, convolutions, pooling, residual and concatenated branches."""
    keras.utils.set_random_seed(draw(st.integers(0, 2**31)))
    x = inputs = keras.Input(draw(st.sampled_from([(6, 6, 2), (5, 7, 1)])), dtype="float64")
    for _ in range(draw(st.integers(0, 3))):
        x = _BLOCKS[draw(st.sampled_from(sorted(_BLOCKS)))](draw, x)
    x = layers.Flatten()(x)
    for _ in range(draw(st.integers(0, 2))):
        activation = draw(st.sampled_from(["relu", "sigmoid", "tanh", "gelu", "leaky_relu"]))
        x = layers.Dense(draw(st.integers(2, 8)), activation, dtype="float64")(x)
    ending = draw(st.sampled_from([None, None, "softmax"]))
    model = keras.Model(inputs, layers.Dense(3, ending, dtype="float64")(x))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for weight in model.weights:
        values = rng.normal(size=weight.shape) / math.sqrt(max(1, math.prod(weight.shape[:-1])))
        if "variance" in weight.path:
            values = np.abs(values) + 0.3
        weight.assign(values * 1.5)
    return model


def _conv_block(draw: Any, x: Any) -> Any:
    padding = draw(st.sampled_from(["same", "valid"])) if min(x.shape[1:3]) > 3 else "same"
    strides = draw(st.sampled_from([1, 1, 2]))
    activation = draw(st.sampled_from(["relu", "relu", "tanh", "silu", None]))
    x = layers.Conv2D(3, 3, strides, padding, activation=activation, dtype="float64")(x)
    return layers.BatchNormalization(dtype="float64")(x) if draw(st.booleans()) else x


def _pool_block(draw: Any, x: Any) -> Any:
    kind = draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))
    return kind(2, draw(st.integers(1, 2)), "same")(x)


def _residual_block(draw: Any, x: Any) -> Any:
    y = layers.Conv2D(x.shape[-1], 3, padding="same", dtype="float64")(x)
    if draw(st.booleans()):
        y = layers.ReLU()(y)
    if draw(st.booleans()):
        y = layers.Conv2D(x.shape[-1], 1, dtype="float64")(y)
    merge = draw(st.sampled_from([layers.Add, layers.Maximum, layers.Average, layers.Concatenate]))
    return merge()([x, y])


def _norm_block(draw: Any, x: Any) -> Any:
    return layers.BatchNormalization(dtype="float64")(x)


_BLOCKS = {
    "convolution": _conv_block,
    "convolution again": _conv_block,
    "norm": _norm_block,
    "pool": _pool_block,
    "residual": _residual_block,
}


def steepest(model: keras.Model, seed: int, starts: int = 24, steps: int = 60) -> float:
    """The largest ‖f(x) − f(y)‖/‖x − y‖ that Adam finds over pairs of inputs."""
    rng = np.random.default_rng(seed)
    shape = (starts, *model.input_shape[1:])
    scale = 10 ** rng.uniform(-1.5, 1, size=(starts, 1, 1, 1))
    here = tf.Variable(scale * rng.normal(size=shape))
    step = tf.Variable(0.1 * scale * rng.normal(size=shape))
    adam = keras.optimizers.Adam(0.05)

    def ratios() -> tf.Tensor:
        change = model(here + step, training=False) - model(here, training=False)
        squares = tf.reduce_sum(change**2, 1) / tf.reduce_sum(step**2, [1, 2, 3])
        return tf.sqrt(squares + 1e-300)

    @tf.function(autograph=False)
    def climb() -> tf.Tensor:
        with tf.GradientTape() as tape:
            values = ratios()
            loss = -tf.reduce_sum(tf.math.log(values))
        adam.apply_gradients(zip(tape.gradient(loss, [here, step]), [here, step], strict=True))
        return values

    adam.build([here, step])
    best = 0.0
    for _ in range(steps):
        best = max(best, float(tf.reduce_max(climb())))
    return best
