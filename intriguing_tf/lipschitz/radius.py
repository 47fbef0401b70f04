"""Certified radii: how far an image may move, in l2, before a prediction can change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from intriguing_tf.classifier import Classifier, check_model
from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz.bounds import Bounds
from intriguing_tf.lipschitz.chains import pairwise_bounds
from intriguing_tf.lipschitz.folding import Entry, fold
from intriguing_tf.lipschitz.graph import CallGraph, calls_of
from intriguing_tf.lipschitz.rounding import product_up, round_down, round_up
from intriguing_tf.lipschitz.steps import SIGMOID, Matrix, Softmax

Array = np.ndarray

# Shares of the largest logit by which margins are cut for the rounding of the forward pass:
# far more than float64's, and float32's for models that cannot be copied to float64.
ALLOWANCE = {"float64": 1e-7, "float32": 1e-3}


def certified_radius(model: keras.Model, images: Any, batch_size: int = 256) -> Array:
    """Returns the l2 distance within which no change of an image changes its prediction.

    The least over the other classes j of margin_ij / L_ij, where i is the predicted class,
    margin_ij = z_i − z_j and L_ij bounds the Lipschitz constant of that difference of logits: the
    length of w_i − w_j times the bound of everything below the last layer, or the bound of the
    whole chain that ends there (docs/lipschitz.md). It speaks of the function that the weights
    define in exact arithmetic, whatever the true labels are. Logits are computed in float64 and
    margins are cut by 1e-7 of the largest logit; for models with layers that cannot be copied to
    float64, in float32 with 1e-3 of it.

    Args:
        model: a built Keras classifier that `bound` takes, ending in logits, softmax or sigmoid;
            one output unit means two classes.
        images: float [n, *input shape].
        batch_size: images per forward pass.

    Returns:
        float64 [n], in the units of the images. 0 where two classes tie.

    Raises:
        ValueError: as `bound`; images that are integers, not finite or of another shape.

    Example:

        images, labels = itf.datasets.mnist_sample()
        itf.lipschitz.certified_radius(itf.zoo.load("mnist/fc100-100-10"), images)
    """
    return Certifier(model).radius(images, batch_size)


class Certifier:
    """`certified_radius` for many calls: the bounds are computed once.

    Args:
        model: as in `certified_radius`.

    Attributes:
        bounds: float64 [classes, classes], the L_ij; zeros on the diagonal.

    Raises:
        ValueError: as `certified_radius`.

    Example:

        certifier = Certifier(model)
        certifier.radius(images)
    """

    def __init__(self, model: keras.Model):
        check_model(model, single=False)
        self.model = model
        self.bounds = margin_bounds(model)
        self._classifier, self._precision = _in_most_digits(model)

    def radius(self, images: Any, batch_size: int = 256) -> Array:
        """Returns the certified radius of each image, float64 [n]."""
        images = self._check(images)
        if not len(images):
            return np.zeros(0)
        logits = self._classifier.predict_logits(images, batch_size).astype(np.float64)
        if not np.all(np.isfinite(logits)):
            raise ValueError("The model's logits are not finite on these images.")
        rows = np.arange(len(logits))
        predicted = logits.argmax(axis=1)
        margins = logits[rows, predicted][:, None] - logits
        allowance = ALLOWANCE[self._precision] * np.abs(logits).max(axis=1, keepdims=True)
        margins = np.maximum(margins - allowance, 0)
        slopes = self.bounds[predicted]
        with np.errstate(divide="ignore", invalid="ignore"):
            radii = np.where(margins > 0, margins / slopes, 0.0)
        radii[rows, predicted] = np.inf
        return np.array([round_down(value) for value in radii.min(axis=1)])

    def _check(self, images: Any) -> Array:
        images = np.asarray(images)
        if images.dtype.kind != "f":
            raise ValueError(
                "`images` must be floats in the range that the model takes: "
                "images.astype('float32'), divided by 255 if that is [0, 1]. "
                f"Received: dtype {images.dtype}."
            )
        expected = self.model.inputs[0].shape[1:]
        fits = images.ndim == len(expected) + 1 and all(
            want in (None, got) for want, got in zip(expected, images.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"`images` must have shape [n, {', '.join(map(str, expected))}]. "
                f"Received: shape {images.shape}."
            )
        if not np.all(np.isfinite(images)):
            raise ValueError("`images` must be finite. Received: NaN or infinite pixels.")
        return images


def margin_bounds(model: keras.Model) -> Array:
    """Returns the L_ij, bounds of the Lipschitz constants of z_i − z_j: float64 [k, k].

    Raises:
        ValueError: as `certified_radius`.
    """
    graph = calls_of(model)
    classes = _classes_of(model, graph)
    bounds = Bounds(best=True, attained=False)
    branch = bounds.run(graph)[0]
    entries = fold(branch.entries)
    if entries and (entries[-1].step is SIGMOID or isinstance(entries[-1].step, Softmax)):
        entries.pop()

    def total(steps: Sequence[Entry]) -> float:
        """The bound of the classifier's input up to the end of these steps."""
        return bounds.close(dataclasses.replace(branch, entries=tuple(steps)))[1]

    head = entries[-1].step if entries else None
    if isinstance(head, Matrix):
        return _symmetric(_with_head(head, entries, total))
    whole = product_up([2**0.5, total(entries)])
    return _symmetric(np.full((max(classes, 2),) * 2, whole if classes > 1 else whole / 2**0.5))


def _classes_of(model: keras.Model, graph: CallGraph) -> int:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            "A classifier has one input and one output. Received: model "
            f"{model.name!r} with {len(graph.inputs)} inputs and {len(graph.outputs)} outputs."
        )
    shape = tuple(model.outputs[0].shape)
    if len(shape) != 2 or shape[1] is None:
        raise ValueError(f"A classifier's output has shape [n, classes]. Received: {shape}.")
    return shape[1]


def _with_head(
    head: Matrix, entries: Sequence[Entry], total: Callable[[Sequence[Entry]], float]
) -> Array:
    """The bounds where the logits are a matrix times what is below them.

    Args:
        head: the matrix, the step of the last entry; one row means the classes (0, z).
        entries: all steps.
        total: bounds what the first of them compute.
    """
    weights = head.weights
    if len(weights) == 1:
        weights = np.concatenate([np.zeros_like(weights), weights])
    lengths = np.array([np.linalg.norm(weights - row, axis=1) for row in weights])
    found = (lengths + 2**0.5 * head.error) * total(entries[:-1])
    chained = pairwise_bounds([entry.step for entry in entries], weights)
    if chained is not None:
        start, values = chained
        found = np.minimum(found, values * total(entries[:start]))
    return found


def _symmetric(bounds: Array) -> Array:
    """The same for both orders of two classes, rounded up, 0 for a class and itself."""
    bounds = np.maximum(bounds, bounds.T) * round_up(1.0, 2 * 4096)
    np.fill_diagonal(bounds, 0.0)
    return bounds


def _in_most_digits(model: keras.Model) -> tuple[Classifier, str]:
    """The classifier in float64, and that name; in float32 where it cannot be copied."""
    try:
        double = float64_copy(model)
    except ValueError:
        return Classifier(model), "float32"
    return Classifier(double), "float64"
