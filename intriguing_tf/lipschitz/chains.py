"""The Λ-chain: linear layers and activations with slopes in [0, b], bounded as a whole.

Per layer a positive diagonal Λ_i; M_0 = I and M_i = Λ_i − ¼ Λ_i W_i M_{i−1}⁻¹ W_iᴴ Λ_i. While every
M_i is positive definite, L² = λ_max(W_L M_{L−1}⁻¹ W_Lᴴ) bounds the chain; for convolutions the same
holds frequency by frequency with one Λ_i for all of them (docs/lipschitz-mathematics.md).
`multipliers` chooses the Λ_i on a sample of frequencies; `certificate` then proves the result on
all of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from intriguing_tf.lipschitz.certificate import ConvolutionChain, LinearChain, MatrixChain
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.multipliers import Recursion, optimize
from intriguing_tf.lipschitz.rounding import LEAST, UNIT_ROUNDOFF, round_up
from intriguing_tf.lipschitz.steps import Diagonal, Matrix, Slopes, Step
from intriguing_tf.lipschitz.threads import threads_for

Array = np.ndarray

# Floating-point operations that one chain may cost: for its certificate, and for choosing Λ.
CERTIFICATE_COST = 5e10
SEARCH_COST = 3e10
# Certificates of all chains of a network together may cost so much; then those up to CHEAP remain.
ALL_CERTIFICATES_COST = 1e11
CHEAP = 1e10
# The same of choosing Λ.
ALL_SEARCHES_COST = 1e12
ITERATIONS = 100
# With many frequencies a step costs more and gains less.
ITERATIONS_OF_MANY = 80
# Frequencies on which Λ is chosen where all would cost too much; so many violated ones are added
# to them in each round. Large layers make do with a few, and with a few steps.
SAMPLE = 16
SMALL_SAMPLE = 4
STEPS_OF_SMALL_SAMPLE = 20
# So many steps are worth more than SEARCH_COST, up to MOST_SEARCH_COST.
FEW = 4
MOST_SEARCH_COST = 3e11
ROUNDS = 6
# Relative growth of L² that is taken rather than to choose Λ again.
LATER_GROWTH = 4e-3
# Sizes of linear steps that a chain may join.
TAME = 1e-30, 1e30


_CHAINS = {Matrix: MatrixChain, Convolution: ConvolutionChain}


@dataclasses.dataclass(frozen=True)
class JointBound:
    """Steps `start` to `stop` of a path and their joint bound."""

    start: int
    stop: int
    bound: float


@dataclasses.dataclass
class Budget:
    """Floating-point operations that are left for the chains of a network.

    Args:
        left: for their certificates.
        searches: for choosing their Λ.
    """

    left: float = ALL_CERTIFICATES_COST
    searches: float = ALL_SEARCHES_COST

    @property
    def most(self) -> float:
        """What the next certificate may cost."""
        return max(min(CERTIFICATE_COST, self.left), CHEAP)

    def takes(self, problem: LinearChain) -> bool:
        """Whether the next chain is bounded; what that costs is subtracted."""
        search = _search_cost(problem)
        if search > max(self.searches, CHEAP):
            return False
        self.searches -= search
        self.left -= problem.certificate_cost
        return True


def chains_of(
    steps: Sequence[Step], bounds: Sequence[float], budget: Budget | None = None
) -> list[JointBound]:
    """Returns the stretches of a path whose joint bound is below the product of their steps'.

    Args:
        steps: the folded steps of a path.
        bounds: the bound of each.
        budget: what is left for certificates; it is reduced.
    """
    found: list[JointBound] = []
    budget = budget or Budget()
    position = 0
    while position < len(steps):
        stop = _chain_end(steps, position, budget.most)
        if stop - position < 3 or math.prod(bounds[position:stop]) < TAME[0]:
            position += 1
            continue
        problem = _linear_chain(steps[position:stop])
        if not budget.takes(problem):
            position = stop
            continue
        with threads_for(max(problem.widths)):
            value = chain_bound(problem)
        if value < math.prod(bounds[position:stop]):
            found.append(JointBound(position, stop, value))
        position = stop
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class PairwiseChain:
    """The matrix chain at the end of a path, and bounds of all differences of two outputs.

    Args:
        start: where in the path it starts.
        weights: its last matrix [k, n].
        multipliers: Λ_1 … Λ_(L−1), for slopes in [0, 1].
        bounds: [k, k].
    """

    start: int
    weights: Array
    multipliers: list[Array]
    bounds: Array


def pairwise_chain(steps: Sequence[Step], weights: Array) -> PairwiseChain | None:
    """Bounds all differences of two outputs of the matrix chain at the end of a path.

    Args:
        steps: the folded steps; the last is a `Matrix`.
        weights: its weights [k, n], perhaps with a row of zeros added.

    Returns:
        `None` if the path does not end in a chain.
    """
    start = next((i for i in range(len(steps)) if _chain_end(steps, i) == len(steps) > i + 2), None)
    head = steps[-1]
    if start is None or not isinstance(head, Matrix):
        return None
    problem = _linear_chain([*steps[start:-1], dataclasses.replace(head, weights=weights)])
    with threads_for(max(problem.widths)):
        recursion = Recursion(problem.stages(np.arange(1)))
        multipliers = optimize(recursion, _iterations(problem, 1))
        if multipliers is None:
            return None
        bounds = _pairwise_bounds(problem, recursion, multipliers)
    return None if bounds is None else PairwiseChain(start, weights, multipliers, bounds)


def _pairwise_bounds(
    problem: LinearChain, recursion: Recursion, multipliers: list[Array]
) -> Array | None:
    joint = recursion.joint(multipliers)
    growth = 1e-7
    while joint is not None and growth < 1e-2:
        lifted = (joint[0] + joint[0].T) / 2
        size = float(np.linalg.norm(lifted, 2))
        if not LEAST < size < 1 / LEAST:
            return None
        lifted += growth * size * np.eye(len(lifted))
        if not len(problem.violations(multipliers, lifted, np.arange(1))):
            squares = np.diag(lifted)[:, None] + np.diag(lifted)[None] - 2 * lifted
            rounding = 8 * UNIT_ROUNDOFF * np.max(np.abs(lifted))
            return np.sqrt(np.maximum(squares, 0) + rounding)
        growth *= 10
    return None


def chain_bound(problem: LinearChain) -> float:
    """Chooses Λ on a sample, certifies it everywhere, and adds what failed to the sample."""
    most = _sample_size(problem)
    sample = _spread(np.arange(problem.count), most)
    multipliers: list[Array] | None = None
    for trial in range(ROUNDS):
        iterations = _iterations(problem, len(sample)) // (1 if trial == 0 else 4)
        recursion = Recursion(problem.stages(sample))
        multipliers = optimize(recursion, iterations, multipliers)
        if multipliers is None:
            return math.inf
        allowed = LATER_GROWTH if trial < ROUNDS - 1 else math.inf
        result = _certified(problem, multipliers, recursion, allowed)
        if isinstance(result, float):
            return result
        sample = np.union1d(sample, _spread(result, most))
    return math.inf


def _sample_size(problem: LinearChain) -> int:
    """On how many frequencies Λ is chosen at first."""
    costly = problem.step_cost * SAMPLE * STEPS_OF_SMALL_SAMPLE > SEARCH_COST
    return SMALL_SAMPLE if costly else SAMPLE


def _search_cost(problem: LinearChain) -> float:
    """Floating-point operations of choosing Λ, about; later rounds may add as many."""
    count = min(_sample_size(problem), problem.count)
    return problem.step_cost * count * _iterations(problem, count)


def _certified(
    problem: LinearChain, multipliers: list[Array], recursion: Recursion, allowed: float
) -> float | Array:
    """Returns a proved bound, or the frequencies that would raise it by more than `allowed`."""
    target = recursion.largest(multipliers)
    least = target
    growth = 1e-6
    remaining = np.arange(problem.count)
    while growth < 1e-2 and LEAST < target < 1 / LEAST:
        remaining = problem.violations(multipliers, target * (1 + growth), remaining)
        if not len(remaining):
            return round_up(math.sqrt(target * (1 + growth)))
        worst = _spread(remaining, SMALL_SAMPLE if problem.step_cost > 1e9 else SAMPLE)
        needed = Recursion(problem.stages(worst)).largest(multipliers)
        if needed > least * (1 + allowed) or math.isinf(needed):
            return remaining
        if needed <= target * (1 + growth):
            growth *= 10  # only rounding is missing
        target = max(target, needed)
    return math.inf


def _spread(indices: Array, most: int) -> Array:
    """At most so many of the indices, evenly spread."""
    return indices[:: math.ceil(len(indices) / most)]


def _iterations(problem: LinearChain, frequencies: int) -> int:
    most = ITERATIONS if frequencies == 1 else ITERATIONS_OF_MANY
    step = problem.step_cost * frequencies
    return int(min(most, max(SEARCH_COST / step, min(FEW, MOST_SEARCH_COST / step))))


def _chain_end(steps: Sequence[Step], start: int, most: float = CERTIFICATE_COST) -> int:
    """Where the longest affordable chain from `start` ends: linear, slopes, linear, …, linear."""
    if not (steps[start].chainable and _is_tame(steps[start])):
        return start
    end = start + 1
    while end + 1 < len(steps):
        slopes, linear = steps[end], steps[end + 1]
        fits = is_chainable_activation(slopes) and linear.chainable
        fits = fits and type(linear) is type(steps[start])
        if not (fits and _is_tame(linear)):
            break
        if _linear_chain(steps[start : end + 2]).certificate_cost > most:
            break
        end += 2
    return end


def _is_tame(step: Step) -> bool:
    """Whether squares of its weights, and products of such, neither under- nor overflow."""
    return TAME[0] < step.magnitude() < TAME[1]


def is_chainable_activation(step: Step) -> bool:
    """Whether a step is an activation with slopes in [0, b]."""
    return isinstance(step, Slopes) and step.low >= 0 and 0 < step.high < math.inf


def _linear_chain(steps: Sequence[Step]) -> LinearChain:
    kind: Any = _CHAINS[type(steps[0])]
    return kind(linear_steps(steps))


def linear_steps(steps: Sequence[Step]) -> list[Any]:
    """The linear steps, with each activation's largest slope moved into the next one."""
    factors = [1.0, *(step.norm().upper for step in steps[1::2])]
    return [
        step if factor == 1.0 else step.scaled(before=Diagonal(np.array(factor)))
        for step, factor in zip(steps[::2], factors, strict=True)
    ]
