"""Compares a model with its copy in float64, on which numbers are followed.

A copy has what the configurations and weights of layers say. It is another function where a layer
keeps something else, or where a setting was changed after the layer was built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from intriguing_tf.lipschitz.evaluation import UNDERFLOW32, EvaluatedCall, run_call
from intriguing_tf.lipschitz.graph import Call
from intriguing_tf.lipschitz.rounding import FLOAT32

Array = np.ndarray

# Copy and model may differ by so many times what rounding explains: TensorFlow's float32
# convolutions sum in other orders, and its functions are a few units off.
TOLERANCE = 16
# What the activations themselves may be off in float32, as a share of the largest output.
FUNCTIONS = 1e-5
# Squares of larger numbers, summed up, may overflow in float32.
LARGEST = 1e15


def check_copied(what: str, own: Any, copied: Any, errors: Any) -> None:
    """Raises where a model gives other numbers than its copy, by more than rounding.

    Args:
        what: of the model, such as "model 'a'".
        own: its numbers [n, …]; examples that are not finite are left out.
        copied: those of the copy.
        errors: bounds of what rounding to float32 does to them.

    Raises:
        ValueError: it names the largest difference.
    """
    if not len(own):
        return
    own, copied, errors = (
        np.reshape(np.asarray(each, np.float64), (len(own), -1)) for each in (own, copied, errors)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = TOLERANCE * errors.max(axis=1, initial=0.0)
        allowed += FUNCTIONS * np.abs(copied).max(axis=1, initial=0.0)
        excess = np.abs(own - copied).max(axis=1, initial=0.0)
    wrong = np.isfinite(own).all(axis=1) & (excess > allowed)
    if np.any(wrong):
        first = int(np.argmax(wrong))
        raise ValueError(
            f"A copy of {what} in float64 computes something else: outputs differ by "
            f"{excess[first]:.3g}, of which rounding explains {allowed[first]:.3g}. A layer keeps "
            "something that is neither in its configuration (`get_config`) nor in its weights, or "
            "was changed after it was built: give it to the layer's constructor."
        )


def run_compared(own: Call, copied: EvaluatedCall, tensors: Sequence[Any]) -> list[Any]:
    """Returns what a model's call gives, once it is compared with the call of the copy.

    Args:
        own: the model's call.
        copied: the copy's.
        tensors: what enters it, [n, …] each, in the model's precision; it is rounded to float32,
            as a layer may do. Examples with numbers above `LARGEST` are not compared.

    Raises:
        ValueError: they differ, as `check_copied` says.
        NoBoundError: nothing is known of the call's rounding errors.
    """
    what = f"layer {own.name!r}"
    if copied.call.inputs != own.inputs or type(copied.call.operation) is not type(own.operation):
        raise ValueError(f"A copy of {what} in float64 stands at another place of the model.")
    tensors = [tf.cast(tf.cast(x, tf.float32), x.dtype) for x in tensors]
    outputs = run_call(own.operation, own.node, tensors)
    precise = [tf.cast(x, tf.float64) for x in tensors]
    results = run_call(copied.call.operation, copied.call.node, precise)
    sizes = [tf.abs(x) for x in precise]
    nothing = [tf.zeros_like(x) for x in precise]
    errors = copied.errors(sizes, nothing, [tf.abs(x) for x in results], FLOAT32)
    small = np.logical_and.reduce([_largest(x) < LARGEST for x in [*precise, *results]])
    for triple in zip(outputs, results, errors, strict=True):
        mine, other, error = (np.asarray(x)[small] for x in triple)
        check_copied(what, mine, other, error + UNDERFLOW32)
    return outputs


def _largest(values: Any) -> Array:
    """The largest absolute value of each example, [n]."""
    return np.max(np.abs(values), axis=tuple(range(1, len(values.shape))), initial=0.0)
