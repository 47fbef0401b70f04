"""Bootstrap intervals over images, for errors and for means such as the average distortion."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from intriguing_tf.checks import (
    check_between,
    check_positive_integer,
    check_seed,
    check_unmasked,
    real_numbers,
)


def error_interval(
    wrong: Any, number: int, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the percentile bootstrap interval of an error over its images.

    Resampling n images of which w are misclassified gives Binomial(n, w/n) misclassified ones, so
    the interval that many resamples would approach is known in closed form. With none or all
    misclassified there is nothing to resample; there the exact (Clopper-Pearson) bound replaces the
    interval's open end.

    Args:
        wrong: integers, numbers of misclassified images, of any shape.
        number: number of images n, at least 1.
        confidence: in (0, 1).

    Returns:
        (low, high), fractions of `wrong`'s shape.

    Raises:
        TypeError, ValueError: arguments out of their range.

    Example:

        error_interval(3, 256)  # (0.0, 0.027)
    """
    check_unmasked("wrong", wrong)
    wrong = np.asarray(wrong)
    check_positive_integer("number", number)
    check_between("confidence", confidence, 0, 1)
    if wrong.dtype.kind not in "iub" or ((wrong < 0) | (wrong > number)).any():
        raise ValueError(f"`wrong` must be integers from 0 to {number}. Received: {wrong!r}.")
    tail = (1 - confidence) / 2
    rate = wrong / number
    low, high = (stats.binom.ppf(q, number, rate) / number for q in (tail, 1 - tail))
    beyond_none = 1 - tail ** (1 / number)
    return np.where(wrong == number, 1 - beyond_none, low), np.where(wrong == 0, beyond_none, high)


def mean_interval(
    values: Any, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean of `values`, finite floats `[n]`.

    Args:
        values: one number per image, at least 2 of them.
        confidence: in (0, 1).
        resamples: how often the images are drawn again.
        seed: of the draws.

    Raises:
        TypeError, ValueError: fewer than 2 values, or one that is not finite; other arguments out
            of their range.

    Example:

        mean_interval(result.distortion[result.success])
    """
    values = real_numbers("values", values)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            "`values` must be at least 2 finite numbers. Received: shape "
            f"{values.shape}, {np.count_nonzero(~np.isfinite(values))} not finite."
        )
    check_between("confidence", confidence, 0, 1)
    check_positive_integer("resamples", resamples)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        batch=max(1, 10**6 // len(values)),
        rng=np.random.default_rng(check_seed(seed)),
    ).confidence_interval
    return float(interval.low), float(interval.high)
