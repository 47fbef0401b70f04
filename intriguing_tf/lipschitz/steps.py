"""What a layer's rule returns: the steps that the layer consists of, each with its norm."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from intriguing_tf.checks import check_choice, check_kind, one_number
from intriguing_tf.lipschitz import curves
from intriguing_tf.lipschitz.curves import Curve
from intriguing_tf.lipschitz.rounding import (
    LEAST,
    UNIT_ROUNDOFF,
    frobenius,
    gamma,
    largest_eigenvalue,
    normalize,
    round_down,
    round_up,
)
from intriguing_tf.lipschitz.threads import threads_for

KINKS = 1e-6
Array = np.ndarray
Shape = tuple[int | None, ...]


class NoBoundError(ValueError):
    """No rigorous finite bound is known for a layer; the message names it and says why."""


@dataclasses.dataclass(frozen=True)
class Norm:
    """An operator norm, or a Lipschitz constant, between two numbers.

    Args:
        upper: rigorous upper bound.
        lower: a ratio that is attained or approached, or `None` where it is not known.
        how: how the upper bound was certified.
    """

    upper: float
    lower: float | None
    how: str


class Step(abc.ABC):
    """A map from one tensor to another, for which a Lipschitz bound is known.

    Attributes:
        linear: whether it multiplies by weights, so that it may be joined to its neighbours.
        chainable: whether it may stand in a chain that is bounded as a whole.
    """

    linear: ClassVar[bool] = False

    @property
    def chainable(self) -> bool:
        return False

    @abc.abstractmethod
    def norm(self, attained: bool = True) -> Norm:
        """Bounds the Lipschitz constant.

        Args:
            attained: whether to look for a lower bound, too, where that costs time.
        """

    def magnitude(self) -> float:
        """A number of the order of the norm, and quickly computed; it proves nothing."""
        return 1.0

    def scaled(self, before: Diagonal | None = None, after: Diagonal | None = None) -> Step | None:
        """Multiplies inputs and outputs by channel; `None` if that is no step of this kind."""
        return None

    def followed_by(self, following: Step) -> Step | None:
        """Returns this step and the following one as one operator; `None` if there is none."""
        return self.scaled(after=following) if isinstance(following, Diagonal) else None

    def past(self, following: Step) -> Step | None:
        """Returns what does after the following step what this one does before; or `None`."""
        return None

    def plus(self, others: Sequence[Step], identities: int) -> Step | None:
        """Returns the sum with others and some identities as one operator; or `None`."""
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class Diagonal(Step):
    """Multiplies the last axis (or, with a single number, everything) by `scale`.

    Args:
        scale: float64 [channels], or a single number.
        error: how far each factor may lie from the exact one: like `scale`, or a single number. It
            is never multiplied into the factors: where branches cancel, a larger factor is no
            larger difference.
    """

    scale: Array
    error: Array | float = 0.0
    linear: ClassVar[bool] = True

    @property
    def errors(self) -> Array:
        """The error of each factor."""
        return np.broadcast_to(self.error, np.shape(self.scale))

    def magnitude(self) -> float:
        return float(np.max(np.abs(self.scale)))

    @property
    def transposed(self) -> Diagonal:
        """The same with the channels along the first of two axes."""
        if np.size(self.scale) == 1:
            return self
        return Diagonal(self.scale[:, None], self.errors[:, None])

    def norm(self, attained: bool = True) -> Norm:
        sizes = np.abs(self.scale)
        upper = round_up(float(np.max(sizes + self.errors)))
        lower = round_down(max(float(np.max(sizes - self.errors)), 0.0))
        return Norm(upper, lower, "largest factor")

    def scaled(self, before: Diagonal | None = None, after: Diagonal | None = None) -> Diagonal:
        before, after = before or UNSCALED, after or UNSCALED
        scale = before.scale * self.scale * after.scale
        return Diagonal(scale, scaling_error(np.abs(self.scale), before, after, self.errors))

    def followed_by(self, following: Step) -> Step | None:
        return following.scaled(before=self)

    def past(self, following: Step) -> Step | None:
        if not isinstance(following, Regroup):
            return None
        if np.size(self.scale) == 1:
            return self
        if following.channels is None:
            return None
        return Diagonal(self.scale[following.channels], self.errors[following.channels])


UNSCALED = Diagonal(np.array(1.0))


def scaling_error(
    sizes: Array, before: Diagonal, after: Diagonal, errors: Array | float = 0.0
) -> Array:
    """Bounds |error| of each weight after · (weight ± error) · before, rounding included.

    Args:
        sizes: the absolute weights, the factors of their inputs and outputs in axes that
            broadcast.
        errors: of the weights.
    """
    a, b = np.abs(after.scale), np.abs(before.scale)
    exact = a * sizes * b
    largest = (a + after.errors) * (sizes + errors) * (b + before.errors)
    underflow = LEAST * ((a > 0) & (sizes > 0) & (b > 0))
    return (largest - exact) * (1 + 1e-12) + 8 * UNIT_ROUNDOFF * largest + underflow


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix(Step):
    """Multiplies the last axis by a matrix.

    Args:
        weights: float64 [outputs, inputs].
        error: a bound of the spectral norm of the rounding error in `weights`.
    """

    weights: Array
    error: float = 0.0
    linear: ClassVar[bool] = True

    @property
    def chainable(self) -> bool:
        return True

    def magnitude(self) -> float:
        return float(np.linalg.norm(self.weights))

    def norm(self, attained: bool = True) -> Norm:
        with threads_for(min(self.weights.shape)):
            upper, lower = matrix_norm(self.weights)
        upper = round_up(upper + self.error)
        lower = max(round_down(lower - self.error), 0.0)
        return Norm(upper, lower, f"matrix {'×'.join(map(str, self.weights.shape))}, Cholesky")

    def scaled(self, before: Diagonal | None = None, after: Diagonal | None = None) -> Matrix:
        before, after = before or UNSCALED, (after or UNSCALED).transposed
        weights = after.scale * self.weights * before.scale
        rounding = scaling_error(np.abs(self.weights), before, after)
        error = self.error * after.norm().upper * before.norm().upper
        return Matrix(weights, round_up(error + frobenius(rounding), weights.size))

    def followed_by(self, following: Step) -> Step | None:
        if not isinstance(following, Matrix):
            return super().followed_by(following)
        norms = frobenius(following.weights), frobenius(self.weights)
        error = gamma(self.weights.shape[0] + 2) * norms[0] * norms[1]
        error += following.error * (norms[1] + self.error) + self.error * norms[0]
        error += LEAST if all(norms) else 0.0
        return Matrix(following.weights @ self.weights, round_up(error, 64))

    def plus(self, others: Sequence[Step], identities: int) -> Matrix | None:
        matrices = [self, *(other for other in others if isinstance(other, Matrix))]
        if len(matrices) <= len(others):
            return None
        weights = [matrix.weights for matrix in matrices]
        if identities:
            weights.append(identities * np.eye(len(weights[0])))
        terms = len(weights) + len(weights[0])
        lost = gamma(terms) * sum(frobenius(each) for each in weights)
        error = round_up(lost + sum(matrix.error for matrix in matrices), len(weights))
        return Matrix(np.sum(weights, axis=0), error)


@dataclasses.dataclass(frozen=True)
class Slopes(Step):
    """An activation that acts on each number by itself, with all its slopes in [low, high].

    Args:
        low, high: the least and the largest slope.
        curve: its slope at each place, where that is known.
        image: the least and the largest value, where they are known; one with negative slopes then
            falls somewhere below 0 and rises from there on.
        attained: the size of its steepest slope or less, where `low` and `high` are rounded.
    """

    low: float
    high: float
    curve: Curve | None = None
    image: tuple[float, float] | None = None
    attained: float = math.inf

    @property
    def bound(self) -> float:
        return max(abs(self.low), abs(self.high))

    def norm(self, attained: bool = True) -> Norm:
        how = f"slopes in [{self.low:.4g}, {self.high:.4g}]"
        return Norm(self.bound, min(self.attained, self.bound), how)

    def secants(self, center: Array, error: Array, reach: Array) -> tuple[Array, Array]:
        """Returns bounds of the slopes that lead `reach` or less away; see `Curve.secants`."""
        if self.curve is None:
            return np.full_like(center, self.low), np.full_like(center, self.high)
        low, high = self.curve.secants(center, error, reach)
        return np.clip(low, self.low, self.high), np.clip(high, self.low, self.high)

    def within(self, low: Array, high: Array) -> Slopes:
        """Returns the same activation where its inputs lie in these intervals."""
        if self.curve is None or not np.size(low):
            return self
        # A layer in float32 may round its constants, and so where it has a kink.
        low, high = low - KINKS * (1 + np.abs(low)), high + KINKS * (1 + np.abs(high))
        least, largest = self.curve.between(low, high)
        ends = np.clip([np.min(least), np.max(largest)], self.low, self.high)
        return dataclasses.replace(self, low=float(ends[0]), high=float(ends[1]))


SIGMOID = Slopes(0.0, 0.25, curves.SIGMOID, (0.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Softmax(Step):
    """Softmax or log-softmax, with its bound.

    Args:
        bound: its Lipschitz constant.
        whole: whether it goes over all numbers of an example, so that it keeps their order.
    """

    bound: float
    whole: bool = False

    def norm(self, attained: bool = True) -> Norm:
        return Norm(self.bound, self.bound, "Jacobian on the simplex")


@dataclasses.dataclass(frozen=True, eq=False)
class Regroup(Step):
    """The same numbers in another shape or order.

    Args:
        channels: for each place on the last axis afterwards, its place on the last axis before,
            [channels after]; `None` where that is not the same everywhere, or not known.
        same_order: whether the numbers of an example, read row by row, stay in order.
    """

    channels: Array | None = None
    same_order: bool = False

    def norm(self, attained: bool = True) -> Norm:
        return Norm(1.0, 1.0, "same numbers")


@dataclasses.dataclass(frozen=True)
class LayerBound(Step):
    """A Lipschitz bound of one layer, for the l2 norm of one example.

    Args:
        bound: ‖f(x) − f(y)‖ ≤ bound · ‖x − y‖ for all x and y; `inf` where there is none.
        attained: a ratio that is attained or approached, at most `bound`; `None` if unknown.
        how: how the bound was obtained.
        combine: for layers with several inputs. "joint": ‖·‖ on the right is that of all inputs
            together. "sum": the bound holds for each input while the others stay.
        size, stride: what the report prints in these columns.
        rounding: by how many units in the last place of float64 each output may be off, in terms of
            `bound` · ‖input‖ and of the output itself; `None`: unknown, and no radii are certified.

    Raises:
        TypeError: `how`, `size` or `stride` that is no str; another that is no number.
        ValueError: a bound that is negative or NaN, or an `attained` above it.

    Example:

        @itf.lipschitz.register(Doubling)
        def doubling(layer, input_shapes):
            return itf.lipschitz.LayerBound(2.0, attained=2.0, how="definition")
    """

    bound: float
    attained: float | None = None
    how: str = "given"
    combine: Literal["joint", "sum"] = "joint"
    size: str = ""
    stride: str = ""
    rounding: float | None = None

    def __post_init__(self) -> None:
        for name in ("how", "size", "stride"):
            check_kind(name, getattr(self, name), str, "a str")
        for name in ("bound", "attained"):  # narrow floats would round what they multiply
            if name == "bound" or self.attained is not None:
                object.__setattr__(self, name, one_number(name, getattr(self, name)))
        if not self.bound >= 0:
            raise ValueError(f"`bound` must be a number ≥ 0 or inf. Received: {self.bound!r}.")
        if self.attained is not None and not 0 <= self.attained <= self.bound:
            received = f"attained={self.attained!r}, bound={self.bound!r}"
            raise ValueError(f"`attained` must be from 0 to `bound`. Received: {received}.")
        check_choice("combine", self.combine, ("joint", "sum"))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The layer as a succession of steps, as `Steps` has it: this one."""
        return (self,)

    def norm(self, attained: bool = True) -> Norm:
        return Norm(self.bound, self.attained, self.how)


@dataclasses.dataclass(frozen=True)
class Weighted(LayerBound):
    """A layer with several inputs: the sum over them of a weight each times its own bound.

    Args:
        weights: one for each input.
    """

    weights: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Steps:
    """A layer with one input as successive steps, without what is added: neighbours can be joined.

    Args:
        size, stride: what the report prints in these columns.
        unchanged: of no steps, whether nothing is added either.
    """

    steps: tuple[Step, ...]
    size: str = ""
    stride: str = ""
    unchanged: bool = False


IDENTITY = Steps((), unchanged=True)


def matrix_norm(weights: Array) -> tuple[float, float]:
    """Returns certified upper and lower bounds of the spectral norm of a real matrix."""
    scaled, scale = normalize(weights)
    if not scaled.any():
        return 0.0, 0.0
    if scaled.shape[0] < scaled.shape[1]:
        scaled = scaled.T
    gram = scaled.T @ scaled
    error = 2 * gamma(len(scaled) + 4) * float(np.sum(scaled * scaled))
    upper, lower = largest_eigenvalue(gram[None], error)
    upper = max(round_up(math.sqrt(upper)) * scale, LEAST)
    return upper, round_down(math.sqrt(lower)) * scale
