"""What one call of an adversary is asked to do, checked, and what came of it, confirmed."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from intriguing_tf.adversary import inputs
from intriguing_tf.adversary.bounds import Box, make_box
from intriguing_tf.adversary.margins import hard_margins
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import SearchResult
from intriguing_tf.adversary.targets import check_differ, choose_targets, class_array
from intriguing_tf.classifier import Classifier

_KERAS_BATCH = 32  # images that `model.predict` takes at once


class Task(NamedTuple):
    """Images, what the model says of them, and which of them to attack.

    Attributes:
        images: [n, ...] within the bounds.
        box: of the images.
        logits: [n, classes] at the images.
        predictions: int64 [n] the model's classes; -1 where its outputs are not finite.
        targets: int64 [n], or `None` where the nearest class is looked for.
        already: bool [n] nothing has to be changed.
        rows: int64 the images to attack.
    """

    images: np.ndarray
    box: Box
    logits: np.ndarray
    predictions: np.ndarray
    targets: np.ndarray | None
    already: np.ndarray
    rows: np.ndarray


def make_task(
    classifier: Classifier,
    settings: AttackSettings,
    images: Any,
    labels: Any,
    targets: Any,
    mask: Any,
    seed: int,
) -> Task:
    """Checks what a call was given, as `LBFGSAdversary` describes it.

    With targets given as integers every image is attacked that is not yet classified as its
    target, with the confidence asked for; otherwise every image that is correctly classified.
    """
    images, labels = inputs.unpack(images, labels, classifier)
    images = inputs.check_images(images, classifier, settings.bounds)
    logits, predictions = classifier.predict_both(images)
    logits = inputs.check_logits(logits, classifier)
    inputs.check_repeats(classifier, images, logits)
    n, classes = logits.shape
    finite = np.isfinite(logits).all(axis=1)
    if not finite.any():
        inputs.check_weights_of(classifier.model)
    predictions = np.where(finite, predictions, -1)
    truth = predictions if labels is None else class_array("labels", labels, n, classes)
    chosen = choose_targets(targets, logits, np.maximum(truth, 0), seed)
    if isinstance(targets, str):
        already = predictions != truth
    else:
        if labels is not None and chosen is not None:
            check_differ("targets", chosen, truth)
        already = predictions == chosen
        if settings.confidence:
            already &= hard_margins(logits, np.asarray(chosen)) <= -settings.confidence
    already &= finite
    box = make_box(settings.bounds, images, mask)
    rows = np.flatnonzero(finite & ~already)
    return Task(images, box, logits, predictions, chosen, already, rows)


def confirm(
    classifier: Classifier,
    settings: AttackSettings,
    task: Task,
    targets: np.ndarray,
    search: SearchResult,
) -> dict[str, np.ndarray]:
    """Returns the arrays of a result: what was found and forward passes of the model confirm.

    Args:
        targets: int64 [n] the classes aimed at.
        search: of the rows that were attacked.

    Warns:
        UserWarning: the second pass, in batches as `model.predict` takes them, denies the first.
    """
    n, images = len(task.images), task.images
    flat = images.reshape(n, -1)
    points = flat.copy()
    points[task.rows] = search.x
    found = np.zeros(n, bool)
    found[task.rows] = search.found
    found &= targets != task.predictions
    reached = points.reshape(images.shape)
    logits, after = classifier.predict_both(reached)
    found &= after == targets
    if settings.confidence:
        found &= hard_margins(logits, targets) <= -settings.confidence
    if found.any():
        denied = found & (classifier.predict(reached, _KERAS_BATCH) != after)
        found &= ~denied
        if denied.any():
            warnings.warn(
                f"Model {classifier.model.name!r} gives {denied.sum()} of {n} adversarial examples "
                f"another class in batches of {_KERAS_BATCH}: it is random, or an image's class "
                "depends on the others in its batch. They count as failed.",
                stacklevel=3,
            )
    points[~found] = flat[~found]
    c, nfev = np.full(n, np.nan), np.full(n, 1, np.int64)
    c[task.rows] = search.c
    nfev[task.rows] += search.nfev
    status = np.full(n, "failed", dtype="<U7")
    status[task.already] = "already"
    status[found] = "found"
    change = points - flat
    return {
        "images": points.reshape(images.shape),
        "originals": images,
        "targets": targets,
        "predictions": np.where(found, after, task.predictions),
        "original_predictions": task.predictions,
        "status": status,
        "distortion": _norms(change / task.box.width, status) / math.sqrt(change.shape[1]),
        "l2": _norms(change, status),
        "c": np.where(found, c, np.nan),
        "nfev": nfev,
    }


def _norms(change: np.ndarray, status: np.ndarray) -> np.ndarray:
    norms = np.sqrt((change.astype(np.float64) ** 2).sum(axis=1))
    return np.where(status == "failed", np.inf, norms)
