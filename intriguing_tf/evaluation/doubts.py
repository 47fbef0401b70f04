"""What makes an evaluation doubtful: a model or data that are not what the numbers suppose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from intriguing_tf.digits import percent
from intriguing_tf.keras_graph import graph_of, is_keras_operation, private

_PASSING = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Identity, keras.layers.Reshape)
_ENOUGH = 10  # images from which a share says something
_SOME = 4  # images from whose outputs it is seen what the outputs are
_ROUNDING = 1e-3
_FILLED = 0.2  # of the bounds that data should fill


def doubts(
    model: keras.Model,
    classes: int,
    labels: np.ndarray | None,
    predictions: np.ndarray,
    extent: tuple[float, float],
    bounds: tuple[float, float],
    outputs: np.ndarray | None = None,
    probabilities: bool = False,
) -> Iterator[str]:
    """Yields what a reader of the numbers should look into first, a sentence or two each.

    Args:
        model: that was evaluated.
        classes: of its predictions.
        labels, predictions: int64 [n]; labels may be unknown.
        extent: least and largest value of the data.
        bounds: within which they may be changed.
        outputs: of the model on some of the data, float [m, units].
        probabilities: whether it was said that they are.
    """
    units, activation = units_of(model), last_activation(model)
    shares = probabilities or activation == "sigmoid" or (not activation and _are_shares(outputs))
    if units == 1 and not shares:
        yield (
            "The model has one output without a sigmoid. It is treated as the logit of the second "
            "of two classes; if it is a regression, these numbers mean nothing."
        )
    several = units is not None and units > 1
    if several and (activation == "sigmoid" or (not activation and _are_apart(outputs))):
        yield (
            f"The model has {units} sigmoid outputs. The largest counts as the class; if each "
            "output is a label of its own (multi-label), these numbers mean nothing."
        )
    width = bounds[1] - bounds[0]
    if math.isfinite(width) and extent[1] - extent[0] < _FILLED * width:
        yield (
            f"The data lie between {extent[0]:.4g} and {extent[1]:.4g} and fill little of the "
            f"bounds {bounds[0]:g} to {bounds[1]:g}. Distortions are in units of the bounds: are "
            "they those of the data?"
        )
    if labels is None or len(labels) < _ENOUGH:
        return
    accuracy = float((labels == predictions).mean())
    if accuracy < min(0.5, 1.5 / classes):
        yield (
            f"The labels match the predictions on {percent(accuracy)} of the images, not more than "
            "by chance. Are the classes in the order of the outputs, and do the images have the "
            "scale that the model was trained on?"
        )


def _are_shares(outputs: np.ndarray | None) -> bool:
    """Whether outputs, enough of them, lie between 0 and 1."""
    if outputs is None or len(outputs) < _SOME:
        return False
    return bool((outputs >= 0).all() and (outputs <= 1).all())


def _are_apart(outputs: np.ndarray | None) -> bool:
    """Whether outputs are shares, each by itself: not 1 together."""
    if outputs is None or not _are_shares(outputs):
        return False
    return bool((abs(outputs.sum(axis=1) - 1) > _ROUNDING).all())


def units_of(model: keras.Model) -> int | None:
    """Returns how many outputs a model has, or `None` where it does not say (subclassed models)."""
    outputs = getattr(model, "outputs", None)
    return outputs[0].shape[-1] if outputs else None


def last_activation(model: keras.Model) -> str:
    """Returns the name of the activation that a model ends in, such as "softmax" or "linear".

    It is "" where that is not seen: in a model without a graph of layers, at a function that is no
    activation of Keras's, where several layers are put together.
    """
    try:
        last = graph_of(model).outputs[0]
    except ValueError:
        return ""
    while True:
        operation, node, _ = private(last, "_keras_history")
        if isinstance(operation, keras.Model):
            return last_activation(operation)
        if not _passes(operation):
            break
        last = private(operation, "_inbound_nodes")[node].input_tensors[0]
    if isinstance(operation, keras.layers.Softmax) or is_keras_operation(operation):
        name = type(operation).__name__.lower()
    else:
        name = getattr(getattr(operation, "activation", None), "__name__", "")
    return name if hasattr(keras.activations, name) else ""


def _passes(operation: Any) -> bool:
    """Whether an operation hands on what it is given, as one that only changes the precision."""
    plain = isinstance(operation, keras.layers.Activation)
    return isinstance(operation, _PASSING) or (
        plain and operation.activation is keras.activations.linear
    )
