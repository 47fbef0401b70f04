"""Adversarial images on the lattice of pixel values, such as the 256 that an 8-bit file holds.

Where the margin is linear the lattice point nearest to the image that still succeeds is, but for
ties, the rounded minimizer of |r|^2 + lambda g r for some lambda: the change found, scaled by some
factor, and then rounded. Where changes are smaller than half a step, scaling moves the pixels with
the steepest gradient by one step each, and leaves the others alone. So the search is one for the
least factor, with a forward pass for each that is tried.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from intriguing_tf.adversary.bounds import Box

_LARGEST = 64.0  # factor of the change
_GROWTH = 1.4  # from one factor to the next, until one succeeds
_BISECTIONS = 8


def to_lattice(
    margin: Callable[[np.ndarray], np.ndarray],
    originals: np.ndarray,
    adversarial: np.ndarray,
    box: Box,
    confidence: np.ndarray,
    levels: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns lattice points near the originals that still succeed.

    Args:
        margin: from points [n, size] to margins [n], negative where the target wins.
        originals, adversarial: [n, size], images and adversarial points.
        box: of the images; its bounds are finite. Variables that it holds stay as they are.
        confidence: [n] the margin to keep.
        levels: values of a variable, from its lower to its upper bound.

    Returns:
        Points [n, size], whether they succeed [n], and how often `margin` was evaluated.
    """
    low, high = box.lower.astype(np.float64), box.upper.astype(np.float64)
    held = low >= high
    # Of a variable that is held the box has no range; its lattice is never asked for.
    step = np.where(held, 1.0, (high - low) / (levels - 1))
    change = adversarial.astype(np.float64) - originals

    def point(factor: np.ndarray) -> np.ndarray:
        moved = np.clip(originals + factor[:, None] * change, low, high)
        rounded = low + np.rint((moved - low) / step) * step
        return np.where(held, originals, rounded).astype(originals.dtype)

    def succeeds(points: np.ndarray) -> np.ndarray:
        return margin(points) < -confidence

    n = len(originals)
    below, above = np.zeros(n), np.full(n, 0.7)
    found, evaluations = np.zeros(n, bool), 0
    best = point(above)
    while not found.all() and above.max() < _LARGEST:
        candidate = point(above)
        success = succeeds(candidate) & ~found
        best[success] = candidate[success]
        found |= success
        below = np.where(found, below, above)
        above = np.where(found, above, _GROWTH * above)
        evaluations += 1
    for _ in range(_BISECTIONS):
        middle = (below + above) / 2
        candidate = point(middle)
        success = succeeds(candidate) & found
        best[success] = candidate[success]
        above = np.where(success, middle, above)
        below = np.where(success, below, middle)
        evaluations += 1
    return best, found, evaluations
