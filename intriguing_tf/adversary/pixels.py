"""Adversarial examples as pixels of 8 bits, the values that files of images hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from intriguing_tf.adversary.bounds import make_box
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.rounding import to_lattice
from intriguing_tf.adversary.settings import SearchConstants
from intriguing_tf.adversary.solver import make_batch
from intriguing_tf.classifier import Classifier

BATCH = 64  # of predictions
_LEVELS = 256
_TOGETHER = 2**23  # values of the images that are brought to the lattice at once

Result = Any  # an `AdversarialResult`, whose module imports those that import this one


def bounds_of(result: Result) -> tuple[float, float]:
    """Returns the least and largest value that a pixel may have, by the settings or the data."""
    bounds = result.settings.get("bounds", ())
    if len(bounds) == 2 and all(isinstance(b, (int, float)) and np.isfinite(b) for b in bounds):
        return float(bounds[0]), float(bounds[1])
    both = np.stack([result.originals, result.images])
    return float(both.min()), float(max(both.max(), both.min() + 1e-9))


def in_8_bits(found: Result, classifier: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Returns examples as pixels of 8 bits, and which of them still are adversarial.

    Where rounding undoes an example, pixels near it that succeed are searched, as with `levels`.
    """
    bounds = bounds_of(found)
    pixels = _pixels(found.images, bounds)
    survives = _is_adversarial(found, pixels, classifier, bounds)
    lost = np.flatnonzero(~survives)
    if lost.size:
        problem = Problem(classifier, found.originals.shape[1:])
        step = max(1, _TOGETHER // problem.size)
        for rows in np.split(lost, range(step, len(lost), step)):
            tried = _pixels(_on_lattice(problem, found[rows], bounds), bounds)
            survives[rows] = _is_adversarial(found[rows], tried, classifier, bounds)
            pixels[rows[survives[rows]]] = tried[survives[rows]]
    return pixels, survives


def _on_lattice(problem: Problem, found: Result, bounds: tuple[float, float]) -> np.ndarray:
    """Returns images on 256 levels that the model classifies as those that were found."""
    originals = found.originals.astype(problem.dtype.as_numpy_dtype)
    flat = originals.reshape(len(found), -1)
    lower, upper = (np.asarray(bound, flat.dtype) for bound in bounds)
    box = make_box((lower, upper), originals)
    logits = problem.classifier.predict_logits(originals, BATCH)
    batch = make_batch(problem, flat, logits, found.predictions, box)
    adversarial = box.clip(found.images.reshape(flat.shape))
    points, *_ = to_lattice(
        problem, batch, adversarial, _LEVELS, SearchConstants(), stop=lambda: False
    )
    return points.reshape(found.images.shape)


def floats(pixels: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Returns the values, float32, that pixels of 8 bits stand for."""
    lower, upper = bounds
    return (lower + (upper - lower) * (pixels.astype(np.float32) / np.float32(255))).astype(
        np.float32
    )


def predict(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Returns the classes, int64, of any number of images."""
    return classifier.predict(images, BATCH) if len(images) else np.zeros(0, np.int64)


def _pixels(images: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    lower, upper = bounds
    levels = 255 * (images.astype(np.float64) - lower) / (upper - lower)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def _is_adversarial(
    found: Result,
    pixels: np.ndarray,
    classifier: Classifier,
    bounds: tuple[float, float],
) -> np.ndarray:
    """Whether pixels are classified as was aimed at; of the nearest class, as any other."""
    predictions = predict(classifier, floats(pixels, bounds))
    if found.settings.get("targets") == "nearest":
        return predictions != found.original_predictions
    return predictions == found.predictions
