"""Random whole graphs: layers and operations with rules, nested, shared, with odd arguments."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

import intriguing_tf as itf
from intriguing_tf.keras_graph import called_flat, float64_copy
from intriguing_tf.lipschitz.contradictions import (
    ContradictionError,
    attained,
    gradients_may_exceed,
)
from intriguing_tf.lipschitz.graph import calls_of
from intriguing_tf.lipschitz.propagation import Ranges
from intriguing_tf.lipschitz.steps import NoBoundError
from intriguing_tf.lipschitz.walk import Bounds

ACTIVATIONS = [
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "tanh"),
    *("sigmoid", "softplus", "softsign", "hard_sigmoid", "hard_silu", "hard_tanh", "log_sigmoid"),
    *("soft_shrink", "tanh_shrink", "squareplus", "sparse_plus", "softmax", "log_softmax"),
]
LARGEST = 400  # numbers of one example of a tensor
POINTS = 6
# Behind ReLUs that only so large numbers pass the package's own comparison sees no slope.
FAR = 60.0
SHAPES = [(5,), (1,), (8,), (4, 3), (6, 2), (1, 4), (5, 5, 2), (4, 6, 1), (3, 3, 4), (3, 4, 2, 1)]


class Builder:
    """Grows a graph node by node.

    Args:
        rng: of all choices.
        dtype: of the layers.
        tame: whether constants are of ordinary sizes, so that classifiers have radii.
    """

    def __init__(self, rng: np.random.Generator, dtype: str, tame: bool = False):
        self.rng = rng
        self.dtype = dtype
        self.tame = tame
        self.shared: list[tuple[tuple, Any]] = []

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def constant(self, usual: Any, extreme: Any) -> Any:
        return self.pick(usual if self.tame else [*usual, *extreme])

    def model(
        self, shape: tuple[int, ...], least: int, most: int, nested: bool = True, far: bool = False
    ) -> Any:
        """A Functional model of one input, with so many nodes; `far`: behind ReLUs at `FAR`."""
        inputs = keras.Input(shape, dtype=self.dtype)
        tensors = [ops.relu(inputs - FAR) if far else inputs]
        wanted = int(self.rng.integers(least, most + 1))
        for _ in range(6 * wanted):
            if len(tensors) > wanted:
                break
            x = tensors[-1] if self.rng.random() < 0.75 else self.pick(tensors)
            try:
                y = self.node(x, tensors, nested)
            except (
                *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
                tf.errors.OpError,
            ):
                continue  # a combination that Keras does not build, or a function that it lacks
            for each in y if isinstance(y, (list, tuple)) else [y]:
                sizes = each.shape[1:]
                if None not in each.shape[1:] and 0 < math.prod(sizes) <= LARGEST:
                    tensors.append(each)
        outputs = tensors[-1]
        if self.rng.random() < 0.1 and len(tensors) > 3:
            outputs = [tensors[-1], self.pick(tensors[1:])]
        return keras.Model(inputs, outputs)

    def node(self, x: Any, tensors: list[Any], nested: bool) -> Any:
        kinds: list[Callable[..., Any]] = [
            self.layer, self.layer, self.layer, self.operation, self.operation, self.merge,
            self.cancel, self.again, self.gate,
        ]  # fmt: skip
        kind = self.pick(kinds + [self.nested] * nested)
        return kind(x, tensors)

    def layer(self, x: Any, tensors: list[Any]) -> Any:
        layer = self.pick(LAYERS.get(len(x.shape), []) + LAYERS[0])(self)
        y = layer(x)
        self.shared.append((tuple(x.shape), layer))
        return y

    def again(self, x: Any, tensors: list[Any]) -> Any:
        fits = [layer for shape, layer in self.shared if shape == tuple(x.shape)]
        return self.pick(fits)(x)

    def operation(self, x: Any, tensors: list[Any]) -> Any:
        return self.pick(OPERATIONS)(self, x)

    def merge(self, x: Any, tensors: list[Any]) -> Any:
        same = [y for y in tensors if tuple(y.shape) == tuple(x.shape)]
        y = self.pick(same)
        merges = [
            layers.Add(), layers.Subtract(), layers.Average(), layers.Maximum(), layers.Minimum(),
            layers.Concatenate(axis=self.pick([-1, 1])),
            lambda pair: ops.add(*pair), lambda pair: ops.subtract(*pair),
            lambda pair: ops.maximum(*pair), lambda pair: ops.minimum(*pair),
            lambda pair: ops.concatenate(pair, axis=-1), lambda pair: ops.stack(pair, axis=1),
            # With a domain only:
            layers.Multiply(), layers.Multiply(), lambda pair: ops.multiply(*pair),
            lambda pair: pair[0] / (1.5 + ops.tanh(pair[1])),
        ]  # fmt: skip
        return self.pick(merges)([x, y])

    def cancel(self, x: Any, tensors: list[Any]) -> Any:
        """x minus nearly x, by one of several ways."""
        near = 1 + self.pick([0.0, 1e-7, -1e-6, 1e-3])
        ways = [
            lambda: layers.Rescaling(-near, dtype=self.dtype)(x),
            lambda: x * -near,
            lambda: x / (-1 / near),
            lambda: -x,
        ]
        dense = layers.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name=_named("eye"))
        return layers.Add()([x, dense(self.pick(ways)())])

    def gate(self, x: Any, tensors: list[Any]) -> Any:
        """x times a gate made of it: per number, or per channel from the mean of its map."""
        axes = list(range(1, len(x.shape) - 1))
        mean = ops.mean(x, axis=axes, keepdims=True) if axes and self.rng.random() < 0.7 else x
        gate = layers.Dense(x.shape[-1], self.pick(ACTIVATIONS), dtype=self.dtype)(mean)
        return self.pick([lambda a, b: layers.Multiply()([a, b]), ops.multiply])(x, gate)

    def nested(self, x: Any, tensors: list[Any]) -> Any:
        if self.rng.random() < 0.5:
            inner = self.model(tuple(x.shape[1:]), 1, 3, nested=False)
            y = inner(x)
            return inner(y) if not isinstance(y, list) and y.shape == x.shape else y
        names = self.pick([("z", "a"), ("a", "z")])
        first, second = (keras.Input(x.shape[1:], dtype=self.dtype, name=name) for name in names)
        given: Any = self.pick([[first, second], {names[0]: first, names[1]: second}])
        scaled = layers.Rescaling(10.0, dtype=self.dtype)(first)
        inner = keras.Model(given, layers.Add()([scaled, second]))
        near = layers.Rescaling(0.01, dtype=self.dtype)(x)
        return inner(self.pick([{"a": x, "z": near}, {"z": x, "a": near}]))


_numbers = itertools.count()


def _named(what: str) -> str:
    return f"{what}_{next(_numbers)}"


def _size(b: Builder, most: int = 3) -> int:
    return int(b.rng.integers(1, most + 1))


def _conv(kind: Any, rank: int) -> Callable[[Builder], Any]:
    def make(b: Builder) -> Any:
        stride = _size(b, 2)
        arguments = {"strides": stride, "padding": b.pick(["valid", "same"]), "dtype": b.dtype}
        if stride == 1 and "Transpose" not in kind.__name__:
            arguments["dilation_rate"] = _size(b, 2)
        if "Depthwise" in kind.__name__:
            return kind(_size(b), depth_multiplier=_size(b, 2), **arguments)
        return kind(_size(b, 4), _size(b), activation=b.pick([None, *ACTIVATIONS]), **arguments)

    return make


def _pool(kind: Any) -> Callable[[Builder], Any]:
    return lambda b: kind(_size(b), _size(b), b.pick(["valid", "same"]), dtype=b.dtype)


def _plain(kind: Any, **arguments: Any) -> Callable[[Builder], Any]:
    def make(b: Builder) -> Any:
        chosen = {name: b.pick(values) for name, values in arguments.items()}
        return kind(dtype=b.dtype, **chosen)

    return make


def _equation(b: Builder) -> tuple[str, int]:
    """An equation, which sums over the kernel's indices or others, and its output's last size."""
    equations = ["...c,cd->...d", "abc,cd->ad", "abc,bd->ad", "abc,bcd->ad", "...bc,cd->...d"]
    return b.pick(equations), _size(b, 4)


LAYERS: dict[int, list[Callable[[Builder], Any]]] = {
    0: [  # for every rank
        lambda b: layers.Dense(_size(b, 6), b.pick([None, *ACTIVATIONS]), dtype=b.dtype),
        lambda b: layers.Activation(b.pick(ACTIVATIONS), dtype=b.dtype),
        _plain(layers.BatchNormalization, axis=[-1, 1], epsilon=[1e-3, 1e-7], scale=[True, False]),
        _plain(layers.LayerNormalization, axis=[-1, 1], epsilon=[1e-3, 1.0]),
        _plain(layers.RMSNormalization, epsilon=[1e-3, 1.0]),
        _plain(layers.GroupNormalization, groups=[1, 2, -1], epsilon=[1e-2]),
        lambda b: layers.Rescaling(
            b.constant([-2.0, 1 / 255], [1e15, 1e-30]),
            b.constant([0.0, -1.0], [1e15]),
            dtype=b.dtype,
        ),
        _plain(layers.Flatten, data_format=["channels_last", "channels_first"]),
        _plain(layers.LeakyReLU, negative_slope=[0.0, 0.3, 2.0]),
        _plain(layers.ELU, alpha=[0.5, 1.0, 4.0, -2.0]),
        _plain(layers.ReLU, max_value=[None, 6.0, 0.0], negative_slope=[0.0, 0.5, 2.0]),
        _plain(layers.PReLU),
        _plain(layers.Softmax, axis=[-1, 1]),
        _plain(layers.Dropout, rate=[0.5]),
        _plain(layers.Identity),
        lambda b: layers.Normalization(
            mean=0.5, variance=b.constant([4.0, 0.1], [1e-20]), dtype=b.dtype
        ),
        _plain(layers.GaussianDropout, rate=[0.5]),
        _plain(layers.AlphaDropout, rate=[0.5]),
        _plain(layers.GaussianNoise, stddev=[0.5]),
        _plain(layers.ActivityRegularization, l2=[1.0]),
        lambda b: layers.SpectralNormalization(
            layers.Dense(_size(b), dtype=b.dtype), dtype=b.dtype
        ),
    ],
    2: [_plain(layers.RepeatVector, n=[1, 3])],
    3: [
        _conv(layers.Conv1D, 1),
        _conv(layers.DepthwiseConv1D, 1),
        _conv(layers.SeparableConv1D, 1),
        _conv(layers.Conv1DTranspose, 1),
        _pool(layers.MaxPooling1D),
        _pool(layers.AveragePooling1D),
        _plain(layers.GlobalAveragePooling1D, keepdims=[True, False]),
        _plain(layers.GlobalMaxPooling1D),
        _plain(layers.UpSampling1D, size=[2, 3]),
        _plain(layers.ZeroPadding1D, padding=[1, (0, 2)]),
        _plain(layers.Cropping1D, cropping=[1, (0, 1)]),
        _plain(layers.Permute, dims=[(2, 1)]),
        lambda b: layers.EinsumDense(*_equation(b), dtype=b.dtype),
        lambda b: layers.TimeDistributed(layers.Dense(_size(b), dtype=b.dtype), dtype=b.dtype),
        _plain(layers.SpatialDropout1D, rate=[0.5]),
    ],
    4: [
        _conv(layers.Conv2D, 2),
        _conv(layers.Conv2D, 2),
        _conv(layers.DepthwiseConv2D, 2),
        _conv(layers.SeparableConv2D, 2),
        _conv(layers.Conv2DTranspose, 2),
        _pool(layers.MaxPooling2D),
        _pool(layers.AveragePooling2D),
        _plain(layers.GlobalAveragePooling2D, keepdims=[True, False]),
        _plain(layers.GlobalMaxPooling2D),
        _plain(
            layers.UpSampling2D, size=[2, (1, 3)], interpolation=["nearest", "bilinear", "bicubic"]
        ),
        _plain(layers.ZeroPadding2D, padding=[1, ((0, 2), (1, 0))]),
        _plain(layers.Cropping2D, cropping=[1, ((0, 1), (1, 0))]),
        _plain(layers.Permute, dims=[(2, 1, 3), (3, 1, 2)]),
        _plain(layers.CenterCrop, height=[2, 3], width=[2, 3]),
        _plain(itf.layers.LocallyConnected2D, filters=[1, 3], kernel_size=[1, 2]),
        _plain(itf.layers.LocalResponseNormalization, size=[3, 5], beta=[0.75, 2.0]),
        _plain(itf.layers.L2Pooling2D, pool_size=[2], strides=[1, 2]),
        lambda b: itf.layers.GroupSort(2, axis=b.pick([1, 2, 3]), dtype=b.dtype),
        _plain(itf.layers.CeilMaxPooling2D, pool_size=[2, 3], strides=[1, 2]),
        _plain(itf.layers.CeilAveragePooling2D, pool_size=[2, 3], strides=[1, 2]),
        _plain(itf.layers.LocalContrastNormalization, size=[3], floor=[0.1, 1.0]),
        _plain(itf.layers.GroupedConv2D, filters=[2], kernel_size=[2], groups=[1, 2]),
        _plain(
            layers.Resizing,
            height=[3, 6],
            width=[2, 5],
            interpolation=["nearest", "bilinear", "bicubic"],
        ),
        _plain(layers.SpatialDropout2D, rate=[0.5]),
        _plain(layers.RandomFlip),
        _plain(layers.RandomZoom, height_factor=[0.5]),
    ],
    5: [
        _conv(layers.Conv3D, 3),
        _conv(layers.Conv3DTranspose, 3),
        _pool(layers.MaxPooling3D),
        _pool(layers.AveragePooling3D),
        _plain(layers.GlobalAveragePooling3D, keepdims=[True, False]),
        _plain(layers.GlobalMaxPooling3D),
        _plain(layers.UpSampling3D, size=[2, (1, 2, 1)]),
        _plain(layers.ZeroPadding3D, padding=[1, (0, 1, 2)]),
        _plain(layers.Cropping3D, cropping=[((1, 0), (0, 1), (0, 0))]),
        _plain(layers.Permute, dims=[(4, 2, 1, 3)]),
    ],
}


def _matrix(b: Builder, x: Any) -> np.ndarray:
    return b.rng.normal(size=(x.shape[-1], _size(b, 5))).astype("float32")


def _depthwise(b: Builder, x: Any) -> Any:
    """Of more than two spatial axes Keras says the shape, and computes nothing."""
    if len(x.shape) > 4:
        return x
    return ops.depthwise_conv(x, _kernel(b, x, 1), 1, b.pick(["valid", "same"]))


def _kernel(b: Builder, x: Any, outputs: int) -> np.ndarray:
    return b.rng.normal(size=(*[2] * (len(x.shape) - 2), x.shape[-1], outputs)).astype(b.dtype)


OPERATIONS: list[Callable[[Builder, Any], Any]] = [
    lambda b, x: ops.elu(x, b.pick([0.2, 1.0, 5.0, -2.0, 0.0, math.nan])),
    lambda b, x: ops.celu(x, b.pick([0.2, 5.0, -1.0])),
    lambda b, x: ops.leaky_relu(x, b.pick([0.1, 3.0, -2.0])),
    lambda b, x: ops.gelu(x, b.pick([True, False])),
    lambda b, x: b.pick([ops.relu, ops.relu6, ops.selu, ops.silu, ops.softplus, ops.softsign])(x),
    lambda b, x: b.pick([ops.tanh, ops.sigmoid, ops.hard_silu, ops.hard_sigmoid, ops.abs])(x),
    lambda b, x: b.pick([ops.log_sigmoid, ops.sparse_plus, ops.sparse_sigmoid, ops.negative])(x),
    lambda b, x: ops.squareplus(x, b.pick([0, 4, -0.1])),
    lambda b, x: ops.soft_shrink(x, b.pick([0.0, 0.5, -0.5])),
    lambda b, x: ops.softmax(x, axis=b.pick([-1, 1])),
    lambda b, x: ops.log_softmax(x, axis=b.pick([-1, 1])),
    lambda b, x: ops.clip(x, b.pick([-1.0, -0.7]), b.pick([0.0, 1.0, 0.1, -2.0])),
    lambda b, x: ops.maximum(x, b.pick([0.0, 0.3])),
    lambda b, x: ops.minimum(b.pick([0.0, 0.3]), x),
    lambda b, x: b.pick([ops.mean, ops.sum, ops.max, ops.min])(x, axis=b.pick([1, -1])),
    lambda b, x: ops.mean(x, axis=-1, keepdims=True),
    lambda b, x: ops.matmul(x, _matrix(b, x)),
    lambda b, x: x @ _matrix(b, x),
    lambda b, x: x * b.constant([3.0, 1 / 3], [-1e-20, 1e10]),
    lambda b, x: x * np.float32(b.rng.normal(size=x.shape[-1])),
    lambda b, x: x / b.pick([3.0, -0.1]),
    lambda b, x: x + b.constant([3.0, 0.1], [1e12, 1e9 + 33]),
    lambda b, x: b.constant([1.0, 1 / 7], [1e9 + 33]) - x,
    lambda b, x: ops.flip(x, axis=b.pick([1, -1])),
    lambda b, x: ops.roll(x, b.pick([1, 2]), axis=b.pick([-1, 0])),
    lambda b, x: ops.rot90(x, b.pick([1, 2]), axes=(1, 2)),
    lambda b, x: b.pick([ops.hard_tanh, ops.tanh_shrink, ops.stop_gradient])(x),
    lambda b, x: ops.average(x, axis=b.pick([1, -1])),
    lambda b, x: ops.dot(x, _matrix(b, x)),
    lambda b, x: ops.ravel(x),
    lambda b, x: ops.pad(
        x, [(0, 0), *[(1, 1)] * (len(x.shape) - 1)], b.pick(["constant", "reflect", "symmetric"])
    ),
    lambda b, x: ops.expand_dims(x, b.pick([1, -1])),
    lambda b, x: ops.squeeze(x, b.pick([1, -1])),
    lambda b, x: ops.repeat(x, b.pick([2, 3]), axis=b.pick([1, -1])),
    lambda b, x: ops.tile(x, [1] * (len(x.shape) - 1) + [2]),
    lambda b, x: ops.take(x, [0, 0, x.shape[-1] - 1], axis=-1),
    lambda b, x: ops.split(x, 2, axis=-1),
    lambda b, x: ops.reshape(x, (-1, math.prod(x.shape[1:]))),
    lambda b, x: ops.transpose(x, (0, *b.rng.permutation(range(1, len(x.shape))).tolist())),
    lambda b, x: ops.swapaxes(x, 1, -1),
    lambda b, x: ops.moveaxis(x, 1, -1),
    lambda b, x: x[..., ::-1],
    lambda b, x: x[:, 1:],
    lambda b, x: x[..., :1],
    lambda b, x: ops.copy(x),
    lambda b, x: ops.cast(x, b.pick(["float32", "float64", "int32", "float16"])),
    lambda b, x: b.pick([ops.sin, ops.cos, ops.arctan, ops.arcsinh, ops.erf, ops.erfc])(x),
    lambda b, x: b.pick([ops.sinc, ops.deg2rad, ops.rad2deg, ops.nan_to_num, ops.fabs])(x),
    lambda b, x: b.pick([ops.hypot, ops.logaddexp2, ops.fmax, ops.fmin])(x, np.array(0.3)),
    lambda b, x: ops.logaddexp(0.3, x),
    lambda b, x: b.pick([ops.hypot, ops.logaddexp, ops.logaddexp2])(x, ops.flip(x, axis=1)),
    lambda b, x: b.pick([ops.sort, ops.cumsum, ops.diff])(x, axis=b.pick([1, -1])),
    lambda b, x: b.pick([ops.median, ops.ptp, ops.std, ops.logsumexp])(x, axis=b.pick([1, -1])),
    lambda b, x: b.pick([ops.nanmax, ops.nanmean, ops.nansum])(x, axis=b.pick([1, -1])),
    lambda b, x: ops.quantile(x, b.pick([0.0, 0.3, 1.0, -0.5, 1.5, 2.0]), axis=-1, keepdims=True),
    lambda b, x: ops.percentile(x, b.pick([0, 30, 100, -50, 150]), axis=-1, keepdims=True),
    lambda b, x: ops.diff(x, b.pick([0, 2]), axis=1),
    lambda b, x: ops.norm(x, b.pick([None, 1, np.inf, -np.inf, 3]), axis=b.pick([1, -1])),
    lambda b, x: b.pick([ops.trace, ops.diagonal])(x, b.pick([0, 1]), 1, 2),
    lambda b, x: b.pick([ops.tril, ops.triu])(x),
    lambda b, x: b.pick([ops.hstack, ops.dstack])([x, x]),
    lambda b, x: ops.unstack(x, axis=b.pick([1, -1])),
    lambda b, x: ops.max_pool(x, 2, b.pick([1, 2]), b.pick(["valid", "same"])),
    lambda b, x: ops.average_pool(x, 2, b.pick([1, 2]), b.pick(["valid", "same"])),
    lambda b, x: ops.conv(x, _kernel(b, x, 2), b.pick([1, 2]), b.pick(["valid", "same"])),
    lambda b, x: _depthwise(b, x),
    # With a domain only:
    lambda b, x: b.pick([ops.square, ops.exp, ops.exp2, ops.expm1])(x),
    lambda b, x: x ** b.pick([2, 3, 1.5]),
    lambda b, x: b.pick([ops.sqrt, ops.log, ops.reciprocal])(ops.softplus(x) + 0.1),
    lambda b, x: b.pick([ops.rsqrt, ops.log1p, ops.log2, ops.log10])(ops.softplus(x) + 0.1),
    lambda b, x: x * ops.relu6(x + 3.0) * (1.0 / 6.0),
    # Refused:
    lambda b, x: b.pick([ops.round, ops.sign])(x),
    lambda b, x: b.pick([ops.mean, ops.max])(x, axis=0),
]  # fmt: skip


def set_weights(model: Any, rng: np.random.Generator, tame: bool = False) -> None:
    """Random weights: normal, sparse, positive, or, unless `tame`, of an extreme size."""
    for weight in model.weights:
        fan = math.prod(weight.shape[:-1]) or 1
        values = rng.normal(size=weight.shape) / math.sqrt(fan)
        style = rng.integers(12)
        if style == 0 and not tame:
            values = values * 10.0 ** rng.uniform(-30, 15)
        elif style == 1:
            values = np.abs(values)
        elif style == 2:
            values = values * (rng.random(weight.shape) < 0.4)
        if "variance" in weight.path:
            values = np.abs(values) + rng.choice([0.3, 1e-6])
        if "eye" in weight.path and len(weight.shape) == 2:
            values = np.eye(*weight.shape)
        weight.assign(np.clip(values, -1e30, 1e30))


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of one graph.

    Args:
        outcome: "held", "refused", "violated", "not copied", or "does not run", as TensorFlow has
            no kernel for it; of a classifier also "no radius", where all are 0 or infinite, and
            "not fooled", where no adversarial example was found.
        ratio: what was attained over the bound.
        why: of a refusal or violation.
    """

    outcome: str
    ratio: float = 0.0
    why: str = ""


def try_graph(seed: int) -> Trial:
    """Builds the graph of this seed, bounds it, and tries to beat the bound."""
    rng = np.random.default_rng(seed)
    builder = Builder(rng, str(rng.choice(["float32", "float64"])))
    shape = builder.pick(SHAPES)
    domain = _domain(rng, shape) if rng.random() < 0.75 else None
    far = domain is None and rng.random() < 0.5
    model = builder.model(shape, 3, 15, far=far)
    set_weights(model, rng)
    try:
        report = itf.lipschitz.bound(model, attained=False, verbose=False, domain=domain)
    except ContradictionError as error:
        return Trial("violated", math.inf, str(error))
    except ValueError as error:
        return Trial("refused", why=str(error))
    try:
        copy = float64_copy(model)
    except ValueError as error:
        return Trial("not copied", why=str(error))
    if why := why_not_run(copy):
        return Trial("does not run", why=why)
    found = _attained(copy, rng, domain, FAR * far) / gradients_may_exceed(model)
    if found > report.total * (1 + 1e-6) + 1e-12 * _with_all_branches(model, domain):
        return Trial("violated", found / max(report.total, 1e-300), f"{found} > {report.total}")
    return Trial("held", found / max(report.total, 1e-300))


def why_not_run(model: Any) -> str:
    """Why TensorFlow does not compute a model that Keras builds; empty where it does.

    As `predict` would: some operations are of several dtypes, which only tracing refuses.
    """
    zeros = [tf.zeros([1, *x.shape[1:]], x.dtype) for x in model.inputs]
    try:
        tf.function(called_flat)(model, zeros)
    except Exception as error:  # each operation has its own, as 3-D pooling in float64
        return str(error)
    return ""


def _domain(rng: np.random.Generator, shape: Any) -> Any:
    """A box: the same for all numbers, per channel, or per number."""
    center, radius = rng.normal(), 10.0 ** rng.uniform(-3, 1)
    sizes = [(), shape[-1:], shape][int(rng.integers(3))]
    low = center - radius * rng.random(sizes)
    return low, low + radius * rng.random(sizes)


def _with_all_branches(model: Any, domain: Any) -> float:
    """What branches that cancel would add up to: float64 keeps so many digits of that.

    Zero where such a branch has no bound: there is one without it.
    """
    ranges = None if domain is None else Ranges(model, domain)
    bounds = Bounds(best=False, attained=False, ranges=ranges)
    try:
        return math.hypot(*(bounds.close(branch)[0] for branch in bounds.run(calls_of(model))))
    except NoBoundError:
        return 0.0


def _attained(model: Any, rng: np.random.Generator, domain: Any, center: float) -> float:
    """The longest Jacobian at random points around `center`, and around the best of them."""
    shape = model.inputs[0].shape[1:]
    sizes = 10.0 ** rng.uniform(-3, 2, size=(POINTS, *[1] * len(shape)))
    points = center + sizes * rng.normal(size=(POINTS, *shape))
    best = 0.0
    for _ in range(2):
        if domain is not None:
            points = _inside(rng, points, domain)
        lengths = attained(model, [tf.constant(points)], math.inf)
        best = max(best, float(lengths.max()))
        here = points[lengths.argmax()]
        points = here + sizes / sizes.max() * np.sqrt(np.mean(here**2)) * rng.normal(
            size=(POINTS, *shape)
        )
    return best


def _inside(rng: np.random.Generator, points: Any, domain: Any) -> Any:
    """The points where they lie in the domain; half of the others in its corners."""
    share = rng.random(points.shape)
    share[::2] = np.round(share[::2])
    others = (1 - share) * domain[0] + share * domain[1]
    return np.where((points >= domain[0]) & (points <= domain[1]), points, others)
