"""How rounding errors pass through activations."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from intriguing_tf.lipschitz.registry import key_of
from intriguing_tf.lipschitz.steps import NoBoundError, Slopes, Softmax, Step

# Roundings of a smooth activation, in units of what it reads and returns; far more than they are.
SMOOTH = 64


def activation_error(
    step: Step, straight: bool, size: Any, error: Any, result: Any, unit: float
) -> Any:
    """Returns the error behind an activation, from the one before it.

    Args:
        step: the activation.
        straight: whether it multiplies by one of a few factors.
        size, error, result, unit: as in `Rounded`.
    """
    if isinstance(step, Slopes):
        cost = 4 * result
        if not straight:
            cost = SMOOTH * max(1.0, step.bound) * (size + result + 1)
        return step.bound * error * (1 + 1e-12) + unit * cost
    if isinstance(step, Softmax):
        axes = tuple(range(1, len(error.shape)))
        cost = (math.prod(error.shape[1:]) + SMOOTH) * (4 + 4 * ops.max(size, axes, keepdims=True))
        moved = step.bound * ops.sqrt(ops.sum(error * error, axes, keepdims=True))
        return moved * (1 + 1e-9) + unit * cost + ops.zeros_like(error)
    raise NoBoundError("an activation without a bound of its rounding errors")


_STRAIGHT = {
    *(layers.LeakyReLU, layers.PReLU, layers.ReLU),
    *("Abs", "Absolute", "Clip", "Fabs", "LeakyRelu", "Relu", "Relu6"),
}
_STRAIGHT_FUNCTIONS = {
    keras.activations.hard_tanh,
    keras.activations.leaky_relu,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
}


def is_straight(operation: Any) -> bool:
    """Whether the activation of a layer or operation multiplies by one of a few factors."""
    function = getattr(operation, "activation", None)
    if isinstance(function, keras.layers.Layer):
        return type(function) in _STRAIGHT
    # By identity: a function of the user's may have no hash.
    return key_of(operation) in _STRAIGHT or any(function is each for each in _STRAIGHT_FUNCTIONS)
