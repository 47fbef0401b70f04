"""Which class each image shall be taken for."""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = ("random", "least_likely", "nearest")


def choose_targets(
    targets: Any, logits: np.ndarray, labels: np.ndarray, seed: int
) -> np.ndarray | None:
    """Returns the target of each image as int64 [n], or `None` for "nearest".

    Args:
        targets: int [n], or "random" (uniform over the classes that are not the image's label),
            "least_likely" (the smallest logit), "nearest" (left to the search).
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
            others = np.where(np.arange(classes) == labels[:, None], np.inf, logits)
            return others.argmin(axis=1).astype(np.int64)
        raise ValueError(
            f"`targets` must be an integer array or one of {', '.join(map(repr, KINDS))}. "
            f"Received: {targets!r}."
        )
    return class_array("targets", targets, n, classes)


def class_array(name: str, values: Any, n: int, classes: int) -> np.ndarray:
    """Checks class numbers and returns them as int64 [n]."""
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            f"`{name}` must be integers, one class for each image. Received: dtype {array.dtype}."
        )
    if array.shape != (n,):
        raise ValueError(f"`{name}` must have shape ({n},). Received: shape {array.shape}.")
    outside = array[(array < 0) | (array >= classes)]
    if outside.size:
        raise ValueError(
            f"`{name}` must lie between 0 and {classes - 1}, the model's classes. "
            f"Received: {outside[0]}."
        )
    return array.astype(np.int64)
