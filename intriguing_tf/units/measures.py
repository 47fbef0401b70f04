"""How alike the images of one direction are: by their labels, and by their distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from intriguing_tf.checks import as_array, check_between, check_kind, check_labels


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

    Raises:
        TypeError, ValueError: arrays of other types or shapes, indices that are none of the labels,
            spaces that are not finite, or scales that are not positive.

    Example:

        found = itf.units.coherence(top.indices, labels, {"pixels": images}, {"pixels": 10.0})
        found.measures["purity"]
    """
    indices = as_array("indices", indices, "integers [d, k]", "int64")
    check_kind("spaces", spaces, Mapping, "a dictionary of arrays by name")
    check_kind("scales", scales, Mapping, "a dictionary of numbers by name")
    spaces = {name: as_array(f"spaces[{name!r}]", space) for name, space in spaces.items()}
    labels = check_labels(labels)
    _check(indices, labels, spaces, scales)
    shares = _label_shares(labels[indices])
    # max(.., 0) because a single label gives -0.0
    entropy = -np.sum(np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1)), 0), 1)
    measures = {"purity": shares.max(axis=1), "entropy": np.maximum(entropy, 0.0)}
    for name, space in spaces.items():
        measures[f"distance in {name}"] = _mean_distances(space, indices) / scales[name]
    return Coherence(measures)


def _check(indices: np.ndarray, labels: np.ndarray, spaces: Any, scales: Any) -> None:
    if indices.ndim != 2 or indices.dtype.kind not in "iu" or not len(indices):
        raise ValueError(
            "`indices` must be integers [d, k], with d at least 1. "
            f"Received: dtype {indices.dtype}, shape {indices.shape}."
        )
    if indices.shape[1] < 2 or indices.min() < 0 or indices.max() >= len(labels):
        raise ValueError(
            f"`indices` must be at least 2 places among {len(labels)} labels in each row. "
            f"Received: {indices!r}."
        )
    for name, space in spaces.items():
        if space.ndim < 1 or len(space) != len(labels) or space.dtype.kind != "f":
            raise ValueError(
                f"spaces[{name!r}] must be floats, one row for each of {len(labels)} labels. "
                f"Received: dtype {space.dtype}, shape {space.shape}."
            )
        if not np.isfinite(space).all():
            raise ValueError(f"spaces[{name!r}] must be finite. Received: NaN or infinite values.")
        if name not in scales:
            raise ValueError(f"`scales` must name {name!r}. Received: {list(scales)}.")
        check_between(f"scales[{name!r}]", scales[name], 0)


def mean_distance(points: np.ndarray) -> float:
    """Returns the mean Euclidean distance between two different rows of `[n, ...]`."""
    return float(_mean_distances(points, np.arange(len(points))[None])[0])


def _label_shares(labels: np.ndarray) -> np.ndarray:
    """Shares `[d, different labels]` of the labels in each row of `[d, k]`."""
    counts = (labels[:, :, None] == np.unique(labels)).sum(axis=1)
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
