"""Adversarial examples as pixels of 8 bits, the values that files of images hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from intriguing_tf.adversary.bounds import make_box, range_of
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.rounding import to_lattice
from intriguing_tf.adversary.settings import SearchConstants
from intriguing_tf.adversary.solver import make_batch
from intriguing_tf.classifier import Classifier

BATCH = 64  # of predictions
_LEVELS = 256
_TOGETHER = 2**23  # values of the images that are brought to the lattice at once

Result = Any  # an `AdversarialResult`, whose module imports those that import this one
Bounds = tuple[np.ndarray, np.ndarray]


def bounds_of(result: Result) -> Bounds:
    """Returns what the least and the largest pixel stand for, as arrays that broadcast to images.

    Raises:
        ValueError: bounds that are infinite, or not known.
    """
    if result.bounds is None or not all(np.isfinite(bound).all() for bound in result.bounds):
        known = result.settings.get("bounds")
        raise ValueError(
            "Pixels of 8 bits need finite bounds, between which their levels lie, and know them "
            f"for each pixel. Received: a result with bounds {known}."
        )
    lower, upper = (np.asarray(bound, np.float64) for bound in result.bounds)
    return lower, upper


def in_8_bits(found: Result, classifier: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Returns examples as pixels of 8 bits, and which of them still are adversarial.

    Where rounding undoes an example, pixels near it that succeed are searched, as with `levels`.
    """
    pixels = _pixels(found.images, bounds_of(found))
    survives = _is_adversarial(found, pixels, classifier)
    lost = np.flatnonzero(~survives)
    if lost.size:
        problem = Problem(classifier, found.originals.shape[1:])
        step = max(1, _TOGETHER // problem.size)
        for rows in np.split(lost, range(step, len(lost), step)):
            some = found[rows]
            tried = _pixels(_on_lattice(problem, some), bounds_of(some))
            survives[rows] = _is_adversarial(some, tried, classifier)
            pixels[rows[survives[rows]]] = tried[survives[rows]]
    return pixels, survives


def _on_lattice(problem: Problem, found: Result) -> np.ndarray:
    """Returns images on 256 levels that the model classifies as those that were found.

    A pixel that was held stays the nearest level.
    """
    bounds = bounds_of(found)
    originals = found.originals.astype(problem.dtype.as_numpy_dtype)
    flat = originals.reshape(len(found), -1)
    lower, upper = (np.asarray(bound, flat.dtype) for bound in bounds)
    rounded = floats(_pixels(originals, bounds), bounds).astype(flat.dtype)
    box = make_box((lower, upper), rounded, found.mask)
    logits = problem.classifier.predict_logits(originals, BATCH)
    batch = make_batch(problem, flat, logits, found.predictions, box)
    adversarial = box.clip(found.images.reshape(flat.shape))
    points, *_ = to_lattice(
        problem, batch, adversarial, _LEVELS, SearchConstants(), stop=lambda: False
    )
    return points.reshape(found.images.shape)


def floats(pixels: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Returns the values, float32, that pixels of 8 bits stand for."""
    lower, upper = bounds
    return (lower + (upper - lower) * (pixels.astype(np.float32) / np.float32(255))).astype(
        np.float32
    )


def predict(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Returns the classes, int64, of any number of images; -1 where outputs are not finite."""
    return classifier.predict(images, BATCH) if len(images) else np.zeros(0, np.int64)


def _pixels(images: np.ndarray, bounds: Bounds) -> np.ndarray:
    lower, upper = bounds
    # The one value of a pixel that is held is level 0.
    levels = 255 * (images.astype(np.float64) - lower) / range_of(lower, upper)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def _is_adversarial(found: Result, pixels: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Whether pixels are classified as was aimed at; of the nearest class, as any other."""
    predictions = predict(classifier, floats(pixels, bounds_of(found)))
    if found.settings.get("targets") == "nearest":
        return (predictions >= 0) & (predictions != found.original_predictions)
    return predictions == found.predictions
