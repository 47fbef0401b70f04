"""What users hand to the adversary, checked and as arrays."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.bounds import fills_little, fit_into
from intriguing_tf.checks import as_array, real_numbers
from intriguing_tf.classifier import Classifier, takes
from intriguing_tf.streams import Stream

_ROWS = 256  # that are read at a time
_REPEATED = 8  # images that are evaluated twice
_REPEATS = 0.05  # of the largest logit, that rounding may change


def unpack(images: Any, labels: Any, classifier: Classifier) -> tuple[Any, Any]:
    """Returns images and labels; those of a `tf.data.Dataset` as arrays.

    Raises:
        ValueError: as `Stream`; an empty dataset, or one with labels where labels are given too.
    """
    if not isinstance(images, tf.data.Dataset):
        return images, labels
    stream = Stream(images, classifier.input_shape, _ROWS)
    if stream.labelled and labels is not None:
        raise ValueError("Give labels once. Received: `labels`, and a dataset that has its own.")
    parts = [[each for each in rows if each is not None] for rows in stream]
    if not parts:
        raise ValueError("At least one image is needed. Received: an empty dataset.")
    images, *own = (np.concatenate(column) for column in zip(*parts, strict=True))
    return images, own[0] if own else labels


def check_images(
    images: Any, classifier: Classifier, bounds: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Returns the images as an array in the model's dtype, within the bounds.

    Warns if they fill so little of the bounds that they must have another scale.

    Raises:
        TypeError: images that are no floats.
        ValueError: no images, a wrong shape, values that are not finite or out of bounds.
    """
    array = as_array("images", images, "an array [n, ...] or a tf.data.Dataset")
    if not np.issubdtype(array.dtype, np.floating):
        hint = _how_to_scale(bounds) if array.dtype == np.uint8 else ""
        raise TypeError(f"Images must be floating numbers. Received: dtype {array.dtype}.{hint}")
    expected = classifier.input_shape
    if array.ndim < 2 or not takes(expected, array.shape[1:]):
        wanted = "..." if expected is None else ", ".join(map(str, expected))
        raise ValueError(f"Images must have shape (n, {wanted}). Received: shape {array.shape}.")
    if not len(array):
        raise ValueError("At least one image is needed. Received: none.")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise ValueError(f"Images must be finite. Received: NaN or infinity in image {bad[0]}.")
    array = fit_into(array.astype(classifier.dtype.as_numpy_dtype), bounds)
    if fills_little(array, bounds):
        warnings.warn(
            f"The images' values, {array.min():g} to {array.max():g}, fill less than 1 % of the "
            f"bounds [{bounds[0].min():g}, {bounds[1].max():g}]. If those are not the range of the "
            "pixels, distortions come out too small, and the model may see other images than it "
            "was trained on.",
            stacklevel=3,
        )
    return array


def _how_to_scale(bounds: tuple[np.ndarray, np.ndarray]) -> str:
    """Returns a sentence on how pixels from 0 to 255 come into the bounds, if they do."""
    lower, upper = bounds
    if not np.isfinite(lower).all() or not np.isfinite(upper).all():
        return ""
    if lower.min() < lower.max() or upper.min() < upper.max():
        return " Scale them to the bounds."
    low, width = float(lower.min()), float(upper.min() - lower.min())
    scaled = "images.astype('float32')"
    if width != 255:
        scaled += f" * {width:.7g} / 255" if width != 1 else " / 255"
    if low:
        scaled += f" {'-' if low < 0 else '+'} {abs(low):.7g}"
    return f" Scale them to the bounds: {scaled}."


def check_logits(logits: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Raises if the model's outputs cannot be logits of two or more classes."""
    if logits.shape[1] < 2:
        raise ValueError(f"The model must tell two classes or more. Received: {logits.shape[1]}.")
    finite = np.isfinite(logits).all(axis=1)
    rows = logits[finite]
    if classifier.outputs == "auto" and not classifier.squashes and _are_probabilities(rows):
        raise ValueError(
            "The model's outputs look like probabilities, and no softmax was found in its graph "
            'whose input would be the logits. Let the model return logits, or give outputs="proba'
            'bilities" (--outputs=probabilities) to attack their logarithms.'
        )
    if classifier.outputs == "probabilities" and not _are_probabilities(np.exp(rows)):
        raise ValueError(
            'With outputs="probabilities" the model\'s outputs must be at least 0 with the sum 1 '
            f"for each image. Received: sums from {np.exp(rows).sum(axis=1).min():g} to "
            f"{np.exp(rows).sum(axis=1).max():g}."
        )
    return logits


def check_repeats(classifier: Classifier, images: np.ndarray, logits: np.ndarray) -> None:
    """Raises if the model gives some images clearly other logits than it gave them before.

    They are the last ones, backwards: other images stand before and behind each.

    Args:
        images: [n, ...]. logits: [n, classes], what it gave them.
    """
    some = images[::-1][: min(_REPEATED, (len(images) + 1) // 2)]
    before, again = logits[::-1][: len(some)], classifier.predict_logits(some)
    finite = np.isfinite(before) & np.isfinite(again)
    before, again = np.where(finite, before, 0), np.where(finite, again, 0)
    change, largest = np.abs(again - before).max(initial=0), np.abs(before).max(initial=0)
    if change > _REPEATS * largest:
        raise ValueError(
            "The model must give an image the same logits each time, whatever else is in its "
            f"batch. Received: model {classifier.model.name!r}, whose logits of up to "
            f"{largest:.3g} change by {change:.3g}. Leave out layers that are random or that mix "
            "the images of a batch (dropout, noise or batch normalization with training=True)."
        )


def _are_probabilities(rows: np.ndarray) -> bool:
    sums = rows.sum(axis=1, dtype=np.float64)
    return bool(len(rows)) and bool((rows >= 0).all()) and np.allclose(sums, 1, atol=1e-3)


def check_weights_of(model: keras.Model) -> None:
    """Raises if a model's weights are not finite, so that nothing it returns is."""
    broken = [each.path for each in model.weights if not np.isfinite(each.numpy()).all()]
    if broken:
        raise ValueError(
            f"The weights of model {model.name!r} must be finite. Received: NaN or infinity in "
            f"{', '.join(broken[:3])}."
        )


def check_weights(c: Any, n: int) -> np.ndarray:
    """Returns the weight c of |r|^2 for each image."""
    weights = real_numbers("c", c)
    if weights.shape not in {(), (n,)} or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"`c` must be positive: one number, or {n} of them. Received: {c!r}.")
    return np.broadcast_to(weights, n).copy()
