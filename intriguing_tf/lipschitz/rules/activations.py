"""Slopes of Keras's activations, and the rules of the layers that apply one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import activations, layers

from intriguing_tf.lipschitz import curves
from intriguing_tf.lipschitz.registry import Inner, apply_rule, built_in
from intriguing_tf.lipschitz.rounding import CONSTANT, round_up
from intriguing_tf.lipschitz.rules.common import own_axis, weights_of
from intriguing_tf.lipschitz.steps import (
    SIGMOID,
    LayerBound,
    NoBoundError,
    Shape,
    Slopes,
    Softmax,
    Step,
    Steps,
)

# Largest slopes of smooth activations, always rounded up; docs/lipschitz-mathematics.md says
# how they were computed, and the tests compute them again.
GELU = 1.12890415
GELU_TANH = 1.12899307
SILU = 1.09983933
MISH = 1.08851
SELU = 1.7580994
# How far the same activations fall, as slopes; rounded down.
GELU_LEAST = -0.12890415
SILU_LEAST = -0.09983933
MISH_LEAST = -0.11253

# Constants that are rounded up by less than this share are attained but for it.
LESS = 1 - 2e-5

INF = math.inf
SLOPES: dict[Callable, Slopes] = {
    activations.elu: Slopes(0.0, 1.0, curves.ELU, (-1.0, INF)),
    activations.celu: Slopes(0.0, 1.0),
    activations.gelu: Slopes(GELU_LEAST, GELU, curves.GELU, (-0.17, INF), LESS * GELU),
    activations.hard_sigmoid: Slopes(0.0, 1 / 6 + 1e-16, curves.HARD_SIGMOID, (0.0, 1.0), LESS / 6),
    activations.hard_silu: Slopes(-0.5, 1.5, curves.HARD_SILU, (-0.3751, INF)),
    activations.hard_tanh: Slopes(0.0, 1.0, curves.HARD_TANH, (-1.0, 1.0)),
    activations.leaky_relu: Slopes(0.2, 1.0),
    activations.log_sigmoid: Slopes(0.0, 1.0, None, (-INF, 0.0)),
    activations.mish: Slopes(MISH_LEAST, MISH, None, (-0.309, INF), LESS * MISH),
    activations.relu: Slopes(0.0, 1.0, curves.RELU, (0.0, INF)),
    activations.relu6: Slopes(0.0, 1.0, curves.RELU6, (0.0, 6.0)),
    activations.selu: Slopes(0.0, SELU, None, (-1.7581, INF), LESS * SELU),
    activations.sigmoid: SIGMOID,
    activations.silu: Slopes(SILU_LEAST, SILU, curves.SILU, (-0.2785, INF), LESS * SILU),
    activations.soft_shrink: Slopes(0.0, 1.0),
    activations.softplus: Slopes(0.0, 1.0, curves.SOFTPLUS, (0.0, INF)),
    activations.softsign: Slopes(0.0, 1.0, curves.SOFTSIGN, (-1.0, 1.0)),
    activations.sparse_plus: Slopes(0.0, 1.0, None, (0.0, INF)),
    activations.sparse_sigmoid: Slopes(0.0, 0.5, None, (0.0, 1.0)),
    activations.squareplus: Slopes(0.0, 1.0, None, (0.0, INF)),
    activations.tanh: Slopes(0.0, 1.0, curves.TANH, (-1.0, 1.0)),
    activations.tanh_shrink: Slopes(0.0, 1.0),
}
_UNBOUNDED = {
    activations.exponential: "the exponential grows without bound",
    activations.glu: "it multiplies two parts of its input",
    activations.hard_shrink: "it jumps at its threshold",
    # Its threshold adds up all partial sums instead of taking the last one (Keras 3.15).
    activations.sparsemax: "as Keras computes it, it is no projection and jumps",
    activations.threshold: "it may jump at its threshold",
}


def activation_steps(activation: Any, shape: Shape) -> tuple[Step, ...]:
    """Returns the steps of a layer's `activation`.

    Args:
        activation: a function of `keras.activations`, a layer, or `None`.
        shape: of what it acts on, the batch first.

    Raises:
        NoBoundError: it is not Lipschitz, or not known.
    """
    if activation is None or activation is activations.linear:
        return ()
    if isinstance(activation, keras.layers.Layer):
        if not activation.built:
            raise NoBoundError(
                f"its activation, the layer {activation.name!r}, has no weights yet. Put that "
                "behind it in the graph instead of in `activation=`."
            )
        result = apply_rule(activation, [shape])
        if isinstance(result, Inner):
            raise NoBoundError(f"a wrapper is no activation. Received: {activation.name!r}.")
        return result.steps
    if activation is activations.softmax:
        return (softmax_step(-1, shape),)
    if activation is activations.log_softmax:
        return (log_softmax_step(-1, shape),)
    name = getattr(activation, "__name__", repr(activation))
    # By identity: an object of the user's may be equal to anything, or have no hash.
    for known, slopes in SLOPES.items():
        if activation is known:
            return (slopes,)
    for known, why in _UNBOUNDED.items():
        if activation is known:
            raise NoBoundError(f"activation {name!r} is not Lipschitz: {why}.")
    raise NoBoundError(
        f"activation {name!r} is not one of keras.activations, so its slopes are not known. Put it "
        "into a layer of its own and register a rule for that."
    )


def softmax_step(axis: int, shape: Shape) -> Softmax:
    axis = own_axis(axis, shape)
    return Softmax(softmax_bound([shape[axis]]), _is_whole(axis, shape))


def softmax_bound(sizes: Sequence[int | None]) -> float:
    """Of a softmax over axes of these sizes; one number alone is always 1.

    Its Jacobian is diag(p) − ppᵀ, longest where two classes share all: 1/2.
    """
    return 0.0 if all(size == 1 for size in sizes) else 0.5


def softmax_over(sizes: Sequence[int | None]) -> LayerBound:
    """The rule of a softmax over several axes of these sizes."""
    bound = softmax_bound(sizes)
    return LayerBound(bound, attained=bound, how="Jacobian diag(p) − ppᵀ")


def log_softmax_step(axis: int, shape: Shape) -> Softmax:
    """Its Jacobian is I − 1pᵀ, longest where p is a corner of the simplex: √n, but 0 for n = 1."""
    axis = own_axis(axis, shape)
    classes = shape[axis]
    if classes is None:
        raise NoBoundError(f"log-softmax over an axis of unknown size. Received: shape {shape}.")
    bound = 0.0 if classes == 1 else round_up(math.sqrt(classes))
    return Softmax(bound, _is_whole(axis, shape))


def _is_whole(axis: int, shape: Shape) -> bool:
    """Whether this axis holds all numbers of an example."""
    return all(size == 1 for i, size in enumerate(shape) if i not in (0, axis))


def relu_slopes(
    negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Slopes:
    """Returns the slopes of a generalized ReLU.

    Raises:
        NoBoundError: it jumps, which it does at every threshold but 0; or a number is NaN, or the
            slope infinite.
    """
    if not math.isfinite(negative_slope) or (max_value is not None and not max_value >= 0):
        raise NoBoundError(f"its slope is {negative_slope}, its largest value {max_value}")
    if threshold != 0:
        raise NoBoundError(f"a ReLU with threshold {threshold} jumps there")
    if negative_slope == 0 and max_value is None:
        return SLOPES[activations.relu]
    if negative_slope == 0 and max_value == 6:
        return SLOPES[activations.relu6]
    slopes = [float(negative_slope)]
    slopes += [1.0] * (max_value != 0) + [0.0] * (max_value is not None)
    return _with_constants_rounded(min(slopes), max(slopes))


def elu_slopes(alpha: float) -> Slopes:
    if alpha == 1:
        return SLOPES[activations.elu]
    if not math.isfinite(alpha):
        raise NoBoundError(f"its alpha is {alpha}")
    return _with_constants_rounded(min(0.0, alpha), max(1.0, alpha))


def _with_constants_rounded(low: float, high: float) -> Slopes:
    largest = max(-low, high)
    if low < 0:
        low *= CONSTANT
    attained = largest if largest == 1 else largest / CONSTANT
    return Slopes(low, high if high == 1 else high * CONSTANT, attained=attained)


@built_in(layers.Activation, reads="activation")
def activation(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps(activation_steps(layer.activation, input_shapes[0]))


@built_in(layers.ReLU, reads="max_value negative_slope threshold")
def relu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps((relu_slopes(layer.negative_slope, layer.max_value, layer.threshold),))


@built_in(layers.LeakyReLU, reads="negative_slope")
def leaky_relu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps((relu_slopes(layer.negative_slope),))


@built_in(layers.PReLU, weights="shared_axes")
def prelu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    alpha = weights_of(layer, "alpha")
    return Steps((Slopes(min(1.0, float(alpha.min())), max(1.0, float(alpha.max()))),))


@built_in(layers.ELU, reads="alpha")
def elu(layer: Any, input_shapes: Sequence[Shape]) -> Steps:
    return Steps((elu_slopes(float(layer.alpha)),))


@built_in(layers.Softmax, reads="axis")
def softmax(layer: Any, input_shapes: Sequence[Shape]) -> Steps | LayerBound:
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if len(axes) == 1:
        return Steps((softmax_step(axes[0], input_shapes[0]),))
    sizes = [input_shapes[0][own_axis(axis, input_shapes[0])] for axis in axes]
    return softmax_over(sizes)
