"""Slopes of an activation's secants where it is known how far its input can move."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

Array = np.ndarray

# Pieces into which the way of an input is cut: the more, the nearer to its secants' true slopes.
PIECES = 8
# Slopes are computed to a few units in the last place; this is far more. Tiny ones may underflow.
ROUNDING = 1e-13
UNDERFLOW = 1e-300


@dataclasses.dataclass(frozen=True)
class Curve:
    """An activation whose slope rises up to one place and falls from there on.

    Args:
        slope: the derivative, of float64 arrays; at a kink the larger of both sides, at a trough
            the smaller.
        peak: the place; ±inf where the slope only rises or falls.
        trough: the place up to which the slope falls before it rises to the peak, if there is one.
        lost: the absolute error of the slope.
    """

    slope: Callable[[Array], Array]
    peak: float
    trough: float | None = None
    lost: float = 0.0

    def between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Returns the least and the largest slope in intervals, rounded down and up."""
        ends = self.slope(low), self.slope(high)
        least, largest = np.minimum(*ends), self.slope(np.clip(self.peak, low, high))
        if self.trough is not None:
            least = np.minimum(least, self.slope(np.clip(self.trough, low, high)))
            largest = np.maximum(largest, np.maximum(*ends))
        least = least - ROUNDING * np.abs(least) - self.lost
        return least, largest + ROUNDING * np.abs(largest) + self.lost + UNDERFLOW

    def secants(self, center: Array, error: Array, reach: Array) -> tuple[Array, Array]:
        """Returns bounds of (φ(b) − φ(a))/(b − a) for |a − center| ≤ error and |b − a| ≤ reach.

        A secant's slope is the mean slope on its way. That is at most the largest mean of the
        bounds of its first pieces, and at least the least one, on either side.
        """
        step = reach / PIECES
        sums = [np.zeros_like(center) for _ in range(4)]
        least, largest = np.full_like(center, np.inf), np.full_like(center, -np.inf)
        inflated = error + 4e-16 * (np.abs(center) + reach)
        for piece in range(PIECES):
            for side, sign in enumerate((-1, 1)):
                ends = center + sign * piece * step, center + sign * (piece + 1) * step
                low, high = self.between(np.minimum(*ends) - inflated, np.maximum(*ends) + inflated)
                sums[side] += low
                sums[side + 2] += high
                least = np.minimum(least, sums[side] / (piece + 1))
                largest = np.maximum(largest, sums[side + 2] / (piece + 1))
        return least - ROUNDING * np.abs(least), largest + ROUNDING * np.abs(largest)


def _step(x: Array) -> Array:
    return (x >= 0).astype(np.float64)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1 + small)


def _bell(x: Array) -> Array:
    """The slope of the sigmoid."""
    small = np.exp(-np.abs(x))
    return small / (1 + small) ** 2


def _exponential(x: Array) -> Array:
    return np.exp(np.minimum(x, 0.0))


def _between(low: float, high: float, slope: float) -> Callable[[Array], Array]:
    return lambda x: slope * ((x >= low) & (x <= high))


def _hard_silu(x: Array) -> Array:
    return np.where(np.abs(x) <= 3, (2 * x + 3) / 6, (x > 3) * 1.0)


def _silu(x: Array) -> Array:
    # Beyond, the slope is 0 or 1 up to far less than what is lost.
    x = np.clip(x, -700.0, 700.0)
    return _sigmoid(x) + x * _bell(x)


def _gelu(x: Array) -> Array:
    x = np.clip(x, -35.0, 35.0)
    return ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


ARCSINH = Curve(lambda x: 1 / np.sqrt(1 + np.minimum(np.abs(x), 1e150) ** 2), 0.0)
ARCTAN = Curve(lambda x: 1 / (1 + np.minimum(np.abs(x), 1e150) ** 2), 0.0)
ERF = Curve(
    lambda x: np.exp(-(np.minimum(np.abs(x), 30.0) ** 2)) * 2 / np.sqrt(np.pi), 0.0, lost=1e-300
)
RELU = Curve(_step, np.inf)
SIGMOID = Curve(_bell, 0.0)
TANH = Curve(lambda x: 4 * _bell(2 * x), 0.0)
SOFTPLUS = Curve(_sigmoid, np.inf)
SOFTSIGN = Curve(lambda x: 1 / (1 + np.abs(x)) ** 2, 0.0)
ELU = Curve(_exponential, np.inf)
ABSOLUTE = Curve(lambda x: np.where(x >= 0, 1.0, -1.0), np.inf)
RELU6 = Curve(_between(0.0, 6.0, 1.0), 3.0)
HARD_TANH = Curve(_between(-1.0, 1.0, 1.0), 0.0)
HARD_SIGMOID = Curve(_between(-3.0, 3.0, 1 / 6 + 1e-16), 0.0)
HARD_SILU = Curve(_hard_silu, 3.0, trough=-3.0, lost=1e-12)
SILU = Curve(_silu, 2.399357280520548, trough=-2.399357280520548, lost=1e-12)
GELU = Curve(_gelu, np.sqrt(2), trough=-np.sqrt(2), lost=1e-12)
