"""How rounding errors pass through a layer: the error of each output from those of the inputs.

For y = f(x) computed in floating point from x̂ with |x̂ − x| ≤ e, each rule bounds |ŷ − f(x)| for
every number of the output: what f makes of e, plus what computing f costs. Products and sums of n
terms cost γ_n |W||x| (Higham 2002, section 3.1). A layer without a rule has no certificate.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from intriguing_tf import layers as own
from intriguing_tf.keras_graph import call_arguments, unexported
from intriguing_tf.lipschitz.registry import is_registered, key_of
from intriguing_tf.lipschitz.rounding import FLOAT32
from intriguing_tf.lipschitz.rules.linear import einsum_indices
from intriguing_tf.lipschitz.rules.reshaping import interpolation_matrices
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Steps


@dataclasses.dataclass(frozen=True)
class Rounded:
    """The tensors that enter a call, in float64, and what is known of their errors.

    Args:
        run: runs the call, without its activation, on such tensors.
        operation: the layer or operation, a copy in float64.
        node: Keras's record of the call.
        sizes: for each input, a bound of every number, computed or exact.
        errors: for each input, a bound of every number's error.
        result: a bound of every number of the output.
        unit: the unit roundoff of the arithmetic.
        largest: numbers within the call that are larger may overflow; of what is, nothing is known.
        weights: of a `Weighted` rule.
    """

    run: Callable[..., Any]
    operation: Any
    node: Any
    sizes: Sequence[Any]
    errors: Sequence[Any]
    result: Any
    unit: float
    largest: float
    weights: Sequence[float] = ()

    def gamma(self, terms: float) -> float:
        return terms * self.unit / (1 - min(terms * self.unit, 0.5))


Rule = Callable[[Rounded], Any]
_RULES: dict[Any, Rule] = {}


def rounds(*kinds: Any) -> Callable[[Rule], Rule]:
    """Files the error rule of layer classes, and of operations by name."""

    def decorate(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return decorate


def error_rule(operation: Any, result: LayerBound | Steps) -> Rule:
    """Returns the error rule of a layer or operation, or the one that its Lipschitz rule states.

    Raises:
        NoBoundError: there is none.
    """
    kind, key = type(operation), key_of(operation)
    if isinstance(result, LayerBound) and result.rounding is not None:
        return functools.partial(_stated, result, result.rounding)
    if key not in _RULES or is_registered(kind):
        raise NoBoundError(
            f"{operation.name!r} ({kind.__name__}) has a Lipschitz bound, but no bound of its "
            "rounding errors, so that no radius can be certified. `bound` takes it."
        )
    return _RULES[key]


def _stated(rule: LayerBound, rounding: float, given: Rounded) -> Any:
    """The whole output moves by the bound times the whole error, and rounds as stated.

    It may square what it reads, as norms and variances do.
    """
    rank = len(given.result.shape)

    def length(tensors: Sequence[Any]) -> Any:
        flat = [ops.reshape(each, (each.shape[0], -1)) for each in tensors]
        if rule.combine == "sum":
            found = sum(ops.norm(each, axis=1) for each in flat)
        else:
            found = ops.norm(ops.concatenate(flat, 1), axis=1)
        return ops.reshape(found, (-1, *[1] * (rank - 1)))

    moved, size = rule.bound * length(given.errors), length(given.sizes)
    cost = rounding * given.unit * (rule.bound * size + given.result)
    return ops.where(size**2 < given.largest, (moved + cost) * (1 + 1e-9), math.inf)


@rounds(
    layers.ActivityRegularization, layers.AlphaDropout, layers.CenterCrop, layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D, layers.Concatenate, layers.Dropout, layers.Flatten, layers.GaussianDropout,
    layers.GaussianNoise, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D, layers.Identity, layers.Maximum, layers.MaxPooling1D,
    layers.MaxPooling2D, layers.Permute, layers.RandomBrightness,
    layers.RandomContrast, layers.RandomFlip, layers.RandomRotation, layers.RandomTranslation,
    layers.RandomZoom, layers.RepeatVector, layers.Reshape,
    layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D, layers.UpSampling1D,
    layers.UpSampling3D, layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D,
    own.CeilMaxPooling2D, *unexported("convnext", "StochasticDepth"),
    "Amax", "Append", "ArraySplit", "Concatenate", "Copy", "DepthToSpace", "Diagonal", "Dsplit",
    "Dstack", "ExpandDims", "ExtractSequences", "Flip", "Fliplr", "GetItem", "Hsplit", "Hstack",
    "Max", "Moveaxis", "Pad", "Ravel", "Repeat", "Reshape", "Roll", "Rot90", "SpaceToDepth",
    "Split", "Squeeze", "Stack", "StopGradient", "Swapaxes", "Take", "Tile", "Transpose", "Tril",
    "Triu", "Unfold", "Unstack",
)  # fmt: skip
def moved(given: Rounded) -> Any:
    """Numbers are moved, or the largest taken: so are their errors. What is filled in has none."""
    zero = given.run(*(ops.zeros_like(error) for error in given.errors))
    return _minus(given.run(*given.errors), zero)


@rounds(own.GroupSort)
def ordered(given: Rounded) -> Any:
    """No place in the order moves by more than the largest error of its group."""
    (error,) = given.errors
    groups, axis = given.operation.groups(error)
    largest = ops.max(groups, axis, keepdims=True) + ops.zeros_like(groups)
    return ops.reshape(largest, ops.shape(error))


@rounds(layers.Minimum, "Min", "Amin")
def least(given: Rounded) -> Any:
    return -given.run(*(-error for error in given.errors))


@rounds("Fmax", "Fmin", "Maximum", "Minimum")
def compared(given: Rounded) -> Any:
    return given.errors[0] if len(given.errors) == 1 else ops.maximum(*given.errors)


@rounds(
    layers.Add, layers.Average, layers.AveragePooling1D, layers.AveragePooling2D,
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D, own.CeilAveragePooling2D, "Average", "Mean", "Sum",
)  # fmt: skip
def averaged(given: Rounded) -> Any:
    """Sums with positive weights."""
    terms = math.prod(given.sizes[0].shape[1:]) + len(given.sizes) + 8
    cost = given.gamma(min(terms, _window(given.operation)) + 8)
    return _plus(
        given.run(*(e + cost * s for e, s in zip(given.errors, given.sizes, strict=True))), cost
    )


def _window(operation: Any) -> float:
    """Numbers that are summed up by a pooling layer; more than enough elsewhere."""
    return math.prod(operation.pool_size) if hasattr(operation, "pool_size") else math.inf


@rounds(layers.UpSampling2D, layers.Resizing)
def resampled(given: Rounded) -> Any:
    """TensorFlow interpolates in float32, whatever it is given."""
    kind = given.operation.interpolation
    if kind == "nearest":
        return moved(given)
    if kind not in ("bilinear", "bicubic"):
        raise NoBoundError("only nearest, bilinear and bicubic interpolation have an error bound")
    ((error,), (size,)) = given.errors, given.sizes
    if kind == "bilinear":
        return _plus(given.run(error + 1e-5 * size), 1e-5)
    # Some of its weights are negative.
    rows, columns = (abs(each) for each in interpolation_matrices(given.operation, size.shape))
    return _plus(ops.einsum("ai,bj,nijc->nabc", rows, columns, error + 1e-5 * size), 1e-5)


@rounds(
    layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense, layers.DepthwiseConv1D,
    layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D,
    layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose, layers.EinsumDense,
    own.GroupedConv2D, own.LocallyConnected2D,
)  # fmt: skip
def multiplied(given: Rounded) -> Any:
    """e ← |W|e + γ(|W||x| + |b|), with the layer itself on absolute weights for |W|."""
    layer = given.operation
    ((error,), (size,)) = given.errors, given.sizes
    einsum = isinstance(layer, layers.EinsumDense)
    cost = given.gamma(8 + (_contracted(layer, size.shape) if einsum else _fan_in(layer)))
    if getattr(layer, "lora_enabled", False):  # the kernel itself is added up in float32
        cost = cost + (layer.lora_rank + 8) * FLOAT32
    result = given.run(error + cost * size, absolute=True)
    bias = getattr(layer, "bias", None)
    if bias is not None:
        result = result + cost * ops.abs(ops.convert_to_tensor(bias))
    return _plus(result, cost)


def _fan_in(layer: Any) -> float:
    """Products that one number of the output adds up, or more: kernels end in two axes of channels,
    of which one number reads one axis at most."""
    kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    return sum(math.prod(shape) / min(shape[-2:]) for shape in kernels)


def _contracted(layer: layers.EinsumDense, shape: Sequence[int]) -> float:
    """The same: a sum goes over every index that the output lacks, in the kernel or not."""
    inputs, own, outputs = einsum_indices(layer.equation)
    sizes = dict(zip(own, layer.kernel.shape, strict=True))
    sizes.update(zip(inputs, shape[-len(inputs) :], strict=True))
    products = math.prod(size for index, size in sizes.items() if index not in outputs)
    return products + (layer.lora_rank or 0)


@rounds("Matmul", "Dot")
def matrix(given: Rounded) -> Any:
    weights = ops.abs(ops.cast(_constant(given.node), "float64"))
    cost = given.gamma(weights.shape[0] + 8)
    return _plus(ops.matmul(given.errors[0] + cost * given.sizes[0], weights), cost)


@rounds(layers.BatchNormalization)
def normalized(given: Rounded) -> Any:
    layer = given.operation
    axis = layer.axis % len(given.sizes[0].shape)

    def along(values: Any) -> Any:
        shape = [1] * len(given.sizes[0].shape)
        shape[axis] = -1
        return ops.reshape(ops.abs(ops.convert_to_tensor(values)), shape)

    scale = 1 / ops.sqrt(along(layer.moving_variance) + layer.epsilon)
    scale = scale * along(layer.gamma) if layer.scale else scale
    offset = along(layer.beta) if layer.center else 0.0
    cost = 16 * given.unit
    size = given.sizes[0] + along(layer.moving_mean)
    return _plus(scale * (given.errors[0] + cost * size) + cost * offset, cost)


@rounds(layers.Rescaling)
def rescaled(given: Rounded) -> Any:
    scale, offset = (
        ops.abs(ops.cast(each, "float64"))
        for each in (given.operation.scale, given.operation.offset)
    )
    cost = 8 * given.unit
    return _plus(scale * (given.errors[0] + cost * given.sizes[0]) + cost * offset, cost)


@rounds(layers.Normalization)
def standardized(given: Rounded) -> Any:
    layer = given.operation
    mean = ops.abs(ops.cast(layer.mean, "float64"))
    scale = ops.maximum(ops.sqrt(ops.cast(layer.variance, "float64")), keras.config.epsilon())
    cost = 16 * given.unit
    if layer.invert:
        return _plus(scale * (given.errors[0] + cost * given.sizes[0]) + cost * mean, cost)
    return _plus((given.errors[0] + cost * (given.sizes[0] + mean)) / scale, cost)


@rounds(layers.Subtract, "Add", "Subtract")
def added(given: Rounded) -> Any:
    result = 4 * given.unit * given.result
    for error in given.errors:
        result = result + error
    return _plus(result, 0.0)


@rounds(*unexported("convnext", "LayerScale"))
def scaled_by_weights(given: Rounded) -> Any:
    factor = ops.abs(ops.convert_to_tensor(given.operation.gamma))
    return factor * given.errors[0] * (1 + 1e-12) + 8 * given.unit * given.result


@rounds(layers.Multiply)
def factors(given: Rounded) -> Any:
    """|âb̂ − ab| ≤ |b̂||â − a| + |a||b̂ − b|, factor by factor."""
    size, error = given.sizes[0], given.errors[0]
    for other, more in zip(given.sizes[1:], given.errors[1:], strict=True):
        least = 1 / given.largest  # what underflows may become large again
        error = other * error + size * more + 2 * given.unit * size * other + least
        size = size * other
        error = ops.where(size < given.largest, error, math.inf)
    return _plus(error, given.gamma(4 * len(given.sizes)))


@rounds("Multiply")
def times(given: Rounded) -> Any:
    if len(given.errors) > 1:
        return factors(given)
    factor = ops.abs(ops.cast(_constant(given.node), "float64"))
    return factor * given.errors[0] + 8 * given.unit * given.result


@rounds("Divide", "TrueDivide")
def divided(given: Rounded) -> Any:
    if len(given.errors) > 1:
        return _quotient(given)
    divisor = ops.abs(ops.cast(_constant(given.node), "float64"))
    return given.errors[0] / divisor * (1 + 1e-12) + 8 * given.unit * given.result


def _quotient(given: Rounded) -> Any:
    """|â/b̂ − a/b| ≤ (|â − a| + |â/b̂||b̂ − b|)/|b|, where a weight is at least 1/|b|."""
    (above, below), (size, _) = given.errors, given.sizes
    share = given.weights[0]
    most = share * size
    error = share * (above + most * below) / (1 - share * below) + 4 * given.unit * most
    return _plus(ops.where(share * below < 0.5, error, math.inf), 8 * given.unit)


@rounds("Deg2rad", "Rad2deg")
def turned(given: Rounded) -> Any:
    factor = math.pi / 180 if type(given.operation).__name__ == "Deg2rad" else 180 / math.pi
    return factor * given.errors[0] * (1 + 1e-12) + 8 * given.unit * given.result


@rounds("NanToNum", "Negative")
def negated(given: Rounded) -> Any:
    return given.errors[0]


@rounds("Cast")
def cast(given: Rounded) -> Any:
    return given.errors[0] + 2.0**-23 * given.sizes[0]


@rounds(
    layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU, layers.Softmax,
    "Abs", "Absolute", "Arcsinh", "Arctan", "Celu", "Clip", "Cos", "Elu", "Erf", "Erfc", "Exp",
    "Expm1", "Fabs", "Gelu", "HardSigmoid", "HardSilu", "HardTanh", "Hypot", "LeakyRelu",
    "Log", "Log10", "Log1p", "Log2", "LogSigmoid", "LogSoftmax", "Logaddexp", "Logaddexp2", "Power",
    "Reciprocal", "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Silu", "Sin", "Sinc", "SoftShrink",
    "Softmax", "Softplus", "Softsign", "SparsePlus", "SparseSigmoid", "Sqrt", "Square",
    "Squareplus", "Tanh", "TanhShrink",
)  # fmt: skip
def activation(given: Rounded) -> Any:
    """These are activations and nothing else, whose steps `activation_error` follows."""
    return given.errors[0]


def _constant(node: Any) -> Any:
    positional, keywords = call_arguments(node)
    operands = [*positional, *keywords.values()]
    return next(each for each in operands if not isinstance(each, keras.KerasTensor))


def _plus(value: Any, cost: float) -> Any:
    """Allows for the rounding of the error bound itself, which has only positive terms."""
    return value * (1 + 4 * cost + 1e-12)


def _minus(values: Any, others: Any) -> Any:
    if isinstance(values, (list, tuple)):
        return [a - b for a, b in zip(values, others, strict=True)]
    return values - others


def has_error_rule(kind: Any) -> bool:
    """Whether radii can be certified through this layer class, or operation of this name."""
    return kind in _RULES or kind in _STATED or kind in _SEEN_THROUGH


# Their Lipschitz rules state what they lose.
_STATED = {
    *(layers.GroupNormalization, layers.LayerNormalization, layers.RMSNormalization),
    *("Cumsum", "Diff", "Logsumexp", "Median", "Norm", "Percentile", "Ptp", "Quantile", "Sort"),
    *("Nancumsum", "Nanmedian", "Nanpercentile", "Nanquantile", "Trace"),
}
# After training it is the layer within it.
_SEEN_THROUGH = {layers.SpectralNormalization}
