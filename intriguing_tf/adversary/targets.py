"""The target class of each image, and which classes can be the nearest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from intriguing_tf.adversary.bounds import Box
from intriguing_tf.adversary.margins import besides
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.settings import SearchConstants
from intriguing_tf.checks import as_array, from_one_hot

KINDS = ("random", "least_likely", "nearest")


def choose_targets(
    targets: Any, logits: np.ndarray, labels: np.ndarray, seed: int
) -> np.ndarray | None:
    """Returns the target of each image as int64 [n], or `None` for "nearest".

    Args:
        targets: classes in a form that `class_array` takes, or "random" (uniform over the classes
            that are not the image's label), "least_likely" (the smallest logit), "nearest" (left
            to the search).
        logits: [n, classes] at the images.
        labels: int64 [n]; random and least likely targets are never these.
        seed: of the random targets.

    Raises:
        TypeError: targets that are neither integers nor a name.
        ValueError: an unknown name, a wrong shape, a class out of range.
    """
    n, classes = logits.shape
    if isinstance(targets, str):
        if targets == "nearest":
            return None
        if targets == "random":
            shift = np.random.default_rng(seed).integers(1, classes, n)
            return (labels + shift) % classes
        if targets == "least_likely":
            return besides(logits, labels, np.inf).argmin(axis=1).astype(np.int64)
        raise ValueError(
            f"`targets` must be an integer array or one of {', '.join(map(repr, KINDS))}. "
            f"Received: {targets!r}."
        )
    return class_array("targets", targets, n, classes)


MOST = np.iinfo(np.int64).max  # classes, where nothing is known of them


def class_array(name: str, values: Any, n: int, classes: int) -> np.ndarray:
    """Checks class numbers and returns them as int64 [n].

    Args:
        values: integers [n] or [n, 1]; one class for all; or one-hot rows [n, classes].
        n: images.
        classes: of the model; `MOST`, if they are not known yet.
    """
    array = as_array(name, values, "integers, one class for each image", "int64")
    rows = array.ndim == 2 and array.shape[1] > 1 if classes == MOST else False
    if (rows or array.shape == (n, classes)) and array.dtype.kind in "fiub":
        array = from_one_hot(name, array)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            f"`{name}` must be integers, one class for each image. Received: dtype {array.dtype}. "
            f"Convert class numbers: {name}.astype('int64')."
        )
    if array.shape == (n, 1):
        array = array[:, 0]
    if array.shape not in {(n,), ()}:
        raise ValueError(
            f"`{name}` must have shape ({n},) or ({n}, 1), be one class for all, or be one-hot "
            f"rows of shape ({n}, {'classes' if classes == MOST else classes}). Received: shape "
            f"{array.shape}."
        )
    outside = array[(array < 0) | (array >= classes)]
    if outside.size:
        raise ValueError(
            f"`{name}` must lie between 0 and {classes - 1}, the model's classes. "
            f"Received: {outside[0]}."
        )
    return np.broadcast_to(array, n).astype(np.int64)


def check_differ(name: str, targets: np.ndarray, labels: np.ndarray) -> None:
    """Raises a ValueError if all targets `[n]` are the labels `[n]`: nothing would be attacked."""
    if np.array_equal(targets, labels):
        raise ValueError(
            f"`{name}` must differ from `labels`: each is the class that its image is to be "
            "classified as. Without `labels` images that are misclassified can be attacked "
            "towards their true class. Received: targets equal to the labels."
        )


def screen_classes(
    problem: Problem,
    x: np.ndarray,
    logits: np.ndarray,
    untried: np.ndarray,
    box: Box,
    batch_size: int,
    constants: SearchConstants,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes that can be the nearest to each image, by a linear estimate.

    Args:
        problem: the classifier.
        x: [n, size] the images.
        logits: [n, classes] at the images.
        untried: bool [n, classes], the classes to choose from: as many for each image.
        box: of the images.
        batch_size: of the gradient evaluations.
        constants: how many classes are looked at, and how near to the nearest they must be.
        stop: asked at each batch; once it says so, the classes not yet looked at are left out.

    Returns:
        Classes, int64 [n, k], the most likely of those untried, and a mask [n, k] of those to
        search, at least one for each image.
    """
    count = min(constants.nearest_candidates, int(untried.sum(axis=1).max()))
    others = np.argsort(np.where(untried, -logits, np.inf), axis=1)[:, :count]
    valid = np.take_along_axis(untried, others, axis=1)
    estimates = np.full(others.shape, np.inf)
    for start in range(0, len(x), batch_size):
        batch = slice(start, start + batch_size)
        for j in range(count):
            if stop():
                break
            estimates[batch, j] = _linear_distance(
                problem, x[batch], others[batch, j], box.lower[batch], box.upper[batch]
            )
    estimates[~valid] = np.inf
    kept = estimates <= constants.nearest_screen * estimates.min(axis=1, keepdims=True)
    kept &= valid
    kept[:, 0] |= ~kept.any(axis=1)
    return others, kept


def _linear_distance(problem: Problem, x, targets, lower, upper) -> np.ndarray:
    """Distance [n] at which the linearized margin vanishes, for variables that may move."""
    there = problem.evaluate_margin(x, targets)
    gradient = there.gradient.numpy()
    held = (lower >= upper) | ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
    slope = np.linalg.norm(np.where(held, 0, gradient), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = there.margin.numpy() / slope
    return np.where(np.isfinite(distance), distance, np.inf)
