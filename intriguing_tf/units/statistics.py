"""Two populations compared: difference, size of effect, equivalence with its power, Holm."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import stats

from intriguing_tf.checks import check_between, real_numbers


@dataclasses.dataclass(frozen=True)
class TwoSampleTest:
    """Is x unlike y, and is it shown to be alike?

    Attributes:
        delta: Cliff's delta, P(x > y) - P(x < y), in [-1, 1].
        low, high: interval of delta with confidence 1 - 2 alpha: equivalence holds at level alpha
            when it lies within (-margin, margin).
        p_difference: Mann-Whitney U test, two-sided.
        p_not_above: one-sided test of delta >= margin; small means x is not larger by the margin.
        p_not_below: one-sided test of delta <= -margin.
        power: chance that the equivalence test, by itself, comes out below alpha when both samples
            are from one distribution: of large samples, with as many ties as these have.
    """

    delta: float
    low: float
    high: float
    p_difference: float
    p_not_above: float
    p_not_below: float
    power: float

    @property
    def p_equivalence(self) -> float:
        """Of the two one-sided tests (TOST) together; small means alike within the margin."""
        return max(self.p_not_above, self.p_not_below)


def two_sample_test(x: Any, y: Any, margin: float = 0.147, alpha: float = 0.05) -> TwoSampleTest:
    """Tests two samples for a difference and for equivalence.

    A test of difference that finds nothing shows nothing; so equivalence is tested too: the two
    one-sided tests (Schuirmann 1987) on Cliff's delta, with the large-sample normal distribution
    and Cliff's (1993) unbiased variance. Where the samples do not overlap that variance is 0, and
    the interval is Wilson's (1927) for as many trials as the smaller one has, all with one outcome.
    The power is of samples from one distribution, where delta has the variance (n + m + 1) / 3nm
    (Mann and Whitney 1947), times 1 - Σ (t³ - t) / (N³ - N) for values that N = n + m share t by t.

    Args:
        x: finite floats, at least 3.
        y: finite floats, at least 3.
        margin: the |delta| from which a difference would matter, in (0, 1). Romano et al. (2006)
            call |delta| below 0.147 negligible, below 0.33 small.
        alpha: level of each one-sided test, in (0, 0.5).

    Returns:
        A `TwoSampleTest`.

    Raises:
        TypeError, ValueError: samples that are no numbers, too small or not finite; margin or alpha
            out of range.

    Example:

        test = itf.units.two_sample_test(purity_of_units, purity_of_random_directions)
    """
    x, y = _sample("x", x), _sample("y", y)
    check_levels(margin, alpha)
    delta, error = cliffs_delta(x, y)
    quantile = float(stats.norm.ppf(1 - alpha))
    above, below = (margin - delta) / error, (margin + delta) / error
    if abs(delta) == 1:  # Wilson: the interval begins at (n - z²) / (n + z²)
        fewer, odds = min(len(x), len(y)), (1 + margin) / (1 - margin)
        error = 2 * quantile / (fewer + quantile**2)
        above, below = math.sqrt(fewer * odds), -math.sqrt(fewer / odds)
        above, below = (above, below) if delta < 0 else (below, above)
    error_of_alike = max(_error_of_alike(x, y), np.finfo(float).tiny)
    return TwoSampleTest(
        delta=delta,
        low=max(-1.0, delta - quantile * error),
        high=min(1.0, delta + quantile * error),
        p_difference=_mann_whitney(x, y),
        p_not_above=float(stats.norm.sf(above)),
        p_not_below=float(stats.norm.sf(below)),
        power=float(max(0.0, 2 * stats.norm.cdf(margin / error_of_alike - quantile) - 1)),
    )


def check_levels(margin: float, alpha: float) -> None:
    """Checks the arguments that `two_sample_test` takes beside its samples.

    Raises:
        TypeError, ValueError: they are not as there.
    """
    check_between("margin", margin, 0, 1)
    check_between("alpha", alpha, 0, 0.5)


def cliffs_delta(x: Any, y: Any) -> tuple[float, float]:
    """Returns Cliff's delta, P(x > y) - P(x < y), and its standard error (Cliff 1993).

    Args:
        x: finite floats `[n]`, at least 3.
        y: finite floats `[m]`, at least 3.

    Raises:
        TypeError, ValueError: samples that are no numbers, too small or not finite.

    Example:

        cliffs_delta([3, 4, 5], [0, 1, 2])  # delta is 1.0
    """
    x, y = _sample("x", x), _sample("y", y)
    n, m = len(x), len(y)
    above = np.searchsorted(np.sort(y), x, "left")
    below = m - np.searchsorted(np.sort(y), x, "right")
    rows = (above - below) / m
    columns = (n - np.searchsorted(np.sort(x), y, "right")) / n - (
        np.searchsorted(np.sort(x), y, "left") / n
    )
    delta = rows.mean()
    # Sum over all pairs of sign(x - y)² is the number of pairs that are no ties.
    pairs = (above + below).sum() - n * m * delta**2
    variance = (
        m**2 * np.sum((rows - delta) ** 2) + n**2 * np.sum((columns - delta) ** 2) - pairs
    ) / (n * m * (n - 1) * (m - 1))
    # The unbiased variance may come out below any possible one, even negative (Cliff 1993).
    variance = max(variance, (1 - delta**2) / (n * m - 1), np.finfo(float).tiny)
    return float(delta), float(np.sqrt(variance))


def _error_of_alike(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the standard error of delta under any exchange of the samples' values."""
    n, m = len(x), len(y)
    _, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    ties = counts.astype(float)
    untied = max(0.0, 1 - np.sum(ties**3 - ties) / ((n + m) ** 3 - (n + m)))
    return math.sqrt((n + m + 1) / (3 * n * m) * untied)


def verdict(different: bool, equivalent: bool) -> str:
    """Returns in words what the tests of difference and of equivalence found together."""
    if different:
        return "different, but negligibly" if equivalent else "different"
    return "equivalent" if equivalent else "undecided"


def holm(p_values: Any) -> np.ndarray:
    """Returns p-values adjusted for their number by Holm's step-down method (1979).

    Args:
        p_values: floats `[tests]` in [0, 1].

    Returns:
        float64 `[tests]`; those below α are significant with a family-wise error of α.

    Raises:
        TypeError, ValueError: not numbers in [0, 1].

    Example:

        holm([0.01, 0.04])  # [0.02, 0.04]
    """
    p_values = real_numbers("p_values", p_values)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"`p_values` must be numbers in [0, 1], [tests]. Received: {p_values!r}.")
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result


def _mann_whitney(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(np.concatenate([x, y])) == 0:
        return 1.0
    return float(stats.mannwhitneyu(x, y).pvalue)


def _sample(name: str, values: Any) -> np.ndarray:
    values = real_numbers(name, values)
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all():
        raise ValueError(
            f"`{name}` must be at least 3 finite numbers. Received: shape {values.shape}, "
            f"{np.count_nonzero(~np.isfinite(values))} not finite."
        )
    return values
