"""The last step of every search: along the segment from the image to the adversarial point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_ROUNDS = 6  # evaluations; the margin is nearly linear along so short a segment


def shorten(
    margin: Callable[[np.ndarray], np.ndarray],
    originals: np.ndarray,
    adversarial: np.ndarray,
    gap: np.ndarray,
    confidence: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Returns points of the segments from image to adversarial point that just still succeed.

    A safeguarded false position (Illinois) on the margin. The points keep a margin of `confidence`,
    so that the rounding of another forward pass does not undo them.

    Args:
        margin: from points [n, size] to margins [n], negative where the target wins.
        originals, adversarial: [n, size], the ends; they are in the box.
        gap: [n] margins at the originals; below 0 where rounding hides that the target wins.
        confidence: [n] the margin to keep, positive.
        lower, upper: [n, size].

    Returns:
        [n, size], where a row whose adversarial point lacks the confidence already stays as it is;
        and how often `margin` was evaluated.
    """

    def point(share: np.ndarray) -> np.ndarray:
        moved = originals + share[:, None].astype(originals.dtype) * (adversarial - originals)
        return np.clip(moved, lower, upper)

    near, near_value = np.zeros(len(gap)), np.maximum(gap, 0) + confidence
    far, far_value = np.ones(len(gap)), margin(adversarial) + confidence
    clear = far_value < 0
    far_value = np.where(clear, far_value, -1.0)
    best = far.copy()
    for _ in range(_ROUNDS):
        width = far - near
        share = far - width * far_value / (far_value - near_value)
        share = np.clip(share + 1e-4 * width, near + 0.01 * width, far - 1e-6 * width)
        value = margin(point(share)) + confidence
        succeeds = (value < 0) & clear
        best = np.where(succeeds, np.minimum(best, share), best)
        # Illinois: the end that stays put counts half, so that both ends move in.
        near_value = np.where(succeeds, near_value / 2, value)
        far_value = np.where(succeeds, value, far_value / 2)
        near, far = np.where(succeeds, near, share), np.where(succeeds, share, far)
    return np.where((best < 1)[:, None], point(best), adversarial), _ROUNDS + 1
