"""Linear operators of layers with certified norms: matrices and diagonals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from intriguing_tf.lipschitz.rounding import (
    CONSTANT,
    gamma,
    largest_eigenvalue,
    normalise,
    round_down,
    round_up,
)
from intriguing_tf.lipschitz.threads import threads_for

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Norm:
    """An operator norm between two numbers.

    Args:
        upper: rigorous upper bound.
        lower: ratio ‖Ax‖/‖x‖ of an actual vector, or `None` where it was not asked for.
        how: how the upper bound was certified.
    """

    upper: float
    lower: float | None
    how: str


@dataclasses.dataclass(frozen=True, eq=False)
class Diagonal:
    """Multiplies the last axis (or, with a single number, everything) by `scale`."""

    scale: Array

    def norm(self) -> Norm:
        value = float(np.max(np.abs(self.scale)))
        # The factors allow for their rounding by the layer.
        return Norm(value, value / CONSTANT**2, "largest factor")


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix:
    """Multiplies the last axis by a matrix.

    Args:
        weights: float64 [outputs, inputs].
        error: a bound of the spectral norm of the rounding error in `weights`.
    """

    weights: Array
    error: float = 0.0

    def norm(self) -> Norm:
        with threads_for(min(self.weights.shape)):
            upper, lower = matrix_norm(self.weights)
        upper = round_up(upper + self.error)
        lower = max(round_down(lower - self.error), 0.0)
        return Norm(upper, lower, f"matrix {'×'.join(map(str, self.weights.shape))}, Cholesky")


def matrix_norm(weights: Array) -> tuple[float, float]:
    """Returns certified upper and lower bounds of the spectral norm of a real matrix."""
    scaled, scale = normalise(weights)
    if not scaled.any():
        return 0.0, 0.0
    if scaled.shape[0] < scaled.shape[1]:
        scaled = scaled.T
    gram = scaled.T @ scaled
    error = 2 * gamma(len(scaled) + 4) * float(np.sum(scaled * scaled))
    upper, lower = largest_eigenvalue(gram[None], error)
    return round_up(math.sqrt(upper)) * scale, round_down(math.sqrt(lower)) * scale
