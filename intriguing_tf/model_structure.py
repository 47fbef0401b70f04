"""What makes a Keras model the function that it is, but for the values of its weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.keras_graph import layers_in

# What Keras keeps on models and layers for training and calls, which changes no prediction.
_KEPT = frozenset(
    {
        "_called", "_compile_config", "_compile_loss", "_compile_metrics", "_jit_compile",
        "_compiled_trainable_state", "_eval_epoch_iterator", "_initial_epoch", "_loss_tracker",
        "_run_eagerly", "_trainable", "compiled", "history", "is_awq_calibrated",
        "is_gptq_calibrated", "loss", "optimizer", "predict_function", "steps_per_execution",
        "stop_evaluating", "stop_predicting", "stop_training", "test_function", "train_function",
    }
)  # fmt: skip
_SIMPLE = (bool, bytes, float, int, str)  # compared by their values


class Structure:
    """A model's layers, variables and whatever is set on its layers, as they are now.

    Attributes are looked at, not configurations, which take ten times as long and which layers of
    one's own need not have. Objects are compared by identity; what changes within an array or an
    object that is set on a layer is not seen.

    Args:
        model: a built model.
    """

    def __init__(self, model: keras.Model):
        layers = [model, *layers_in(model)]
        # The objects themselves are kept, so that no other takes the identity of one.
        self._parts: list[Any] = [*layers, *model.weights]
        for layer in layers:
            for name, value in vars(layer).items():
                if name not in _KEPT:
                    self._parts.append(value)
                    if name[0] != "_" and isinstance(value, (dict, list, tuple)):
                        self._parts += keras.tree.flatten(value)

    def equals(self, other: Structure) -> bool:
        """Whether both are of the same model, and it computes the same, given the same weights."""
        return len(self._parts) == len(other._parts) and all(
            first is second or _are_equal(first, second)
            for first, second in zip(self._parts, other._parts, strict=True)
        )


def _are_equal(first: Any, second: Any) -> bool:
    if isinstance(first, _SIMPLE):
        return type(first) is type(second) and bool(first == second)
    # What a layer keeps of its last call while that is traced.
    return tf.is_symbolic_tensor(first) and tf.is_symbolic_tensor(second)
