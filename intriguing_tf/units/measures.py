"""How alike the images of one direction are: by their labels, and by their distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Coherence:
    """Coherence of d directions' images.

    Attributes:
        measures: float64 `[d]` by name. "purity" is the share of the commonest label, in (0, 1];
            "entropy" that of the labels, in bits; "distance in ..." the mean Euclidean distance
            between two of the direction's images in that space, over the mean distance between any
            two images.
    """

    measures: dict[str, np.ndarray]


def coherence(
    indices: Any, labels: Any, spaces: Mapping[str, np.ndarray], scales: Mapping[str, float]
) -> Coherence:
    """Measures each direction's images.

    Args:
        indices: integers `[d, k]`, places of each direction's images, k at least 2.
        labels: integers `[n]`, at least 0.
        spaces: float arrays `[n, ...]` by name: what represents an image in that space.
        scales: by the same names, the distance that counts as 1.

    Returns:
        A `Coherence` with purity, entropy and one distance per space.

    Example:

        found = itf.units.coherence(top.indices, labels, {"pixels": images}, {"pixels": 10.0})
        found.measures["purity"]
    """
    indices, labels = np.asarray(indices), np.asarray(labels)
    shares = _label_shares(labels[indices])
    # max(.., 0) because a single label gives -0.0
    entropy = -np.sum(np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1)), 0), 1)
    measures = {"purity": shares.max(axis=1), "entropy": np.maximum(entropy, 0.0)}
    for name, space in spaces.items():
        measures[f"distance in {name}"] = _mean_distances(space, indices) / scales[name]
    return Coherence(measures)


def mean_distance(points: np.ndarray) -> float:
    """Returns the mean Euclidean distance between two different rows of `[n, ...]`."""
    return float(_mean_distances(points, np.arange(len(points))[None])[0])


def _label_shares(labels: np.ndarray) -> np.ndarray:
    """Shares `[d, classes]` of the labels in each row of `[d, k]`."""
    classes = np.arange(labels.max() + 1)
    present = np.unique(labels)
    counts = (labels[:, :, None] == classes[present]).sum(axis=1)
    return counts / labels.shape[1]


def _mean_distances(space: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Mean pairwise distance of the points of each row of indices."""
    flat = np.asarray(space, np.float64).reshape(len(space), -1)
    k = indices.shape[1]
    means = np.empty(len(indices))
    for i, row in enumerate(indices):
        points = flat[row] - flat[row].mean(axis=0)
        squares = np.sum(points**2, axis=1)
        between = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
        means[i] = np.sqrt(between[np.triu_indices(k, 1)]).mean()
    return means
