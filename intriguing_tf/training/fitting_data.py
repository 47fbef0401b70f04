"""Checks of what `fit` and `minimize` train on."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.adversary.targets import class_array
from intriguing_tf.checks import as_array, check_kind, check_unmasked
from intriguing_tf.training.parts import check_plain, width


def check_data(
    model: Any, inputs: Any, targets: Any, loss: Any, as_classes: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns inputs and targets as tensors, or raises unless the model can be trained on them.

    Args:
        model: that is to be trained.
        inputs, targets: arrays `[n, ...]`.
        loss: a function of targets and outputs.
        as_classes: whether it reads targets as the model's classes.

    Raises:
        TypeError, ValueError: as said.
    """
    check_kind("model", model, keras.Model, "a keras.Model")
    check_plain(model)
    if not model.built or not model.trainable_variables:
        raise ValueError(
            f"The model must be built and have trainable weights. Received: {model.name!r}"
        )
    if not callable(loss):
        raise TypeError(f"`loss` must be a function loss(targets, outputs). Received: {loss!r}.")
    inputs, targets = _tensor("inputs", inputs), _tensor("targets", targets)
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise ValueError(
            "inputs and targets must have the same length, at least 1. "
            f"Received: {len(inputs)} and {len(targets)}"
        )
    if as_classes:
        classes = _classes(model, inputs)
        targets = tf.constant(class_array("targets", targets, len(targets), classes))
    return inputs, targets


def _tensor(name: str, values: Any) -> tf.Tensor:
    """Returns an array of numbers as a tensor, or raises."""
    check_unmasked(name, values)
    try:
        tensor = tf.convert_to_tensor(values)
        what = f"{tensor.dtype.name} of shape {tensor.shape}"
        fits = (tensor.dtype.is_floating or tensor.dtype.is_integer) and tensor.shape.rank > 0
    except (TypeError, ValueError):
        as_array(name, values)  # tells objects by their dtype
        fits, what = False, type(values).__name__
    if not fits:
        raise TypeError(f"`{name}` must be an array of numbers, [n, ...]. Received: {what}.")
    return tensor


def _classes(model, inputs: tf.Tensor) -> int:
    """Returns how many classes a model tells apart, or raises."""
    outputs = getattr(model, "outputs", None)
    if not outputs:  # subclassed models tell them for their inputs
        example = keras.KerasTensor((None, *inputs.shape[1:]), inputs.dtype.name)
        outputs = keras.tree.flatten(model.compute_output_spec(example))
    if len(outputs) != 1 or len(outputs[0].shape) > 2:
        raise ValueError(
            "The cross-entropy is that of one row of class scores for each input; give a `loss` "
            f"for other outputs. Received: outputs of shape {[o.shape for o in outputs]}."
        )
    return max(width(outputs[0].shape), 2)
