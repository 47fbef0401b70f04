"""Adversarial images on the lattice of pixel values, such as the 256 that an 8-bit file holds.

Rounding an example changes its margin, and where changes are smaller than half a step it undoes
them. So the lattice is part of the problem, which is solved as in `bundle`, with cuts, linear
functions that equal the margin at the points where it was evaluated:

    minimize |r|^2 + mu |r - r_best|^2  where  b_i + g_i r <= -aim for each cut i, x + r in the box
    and on the lattice

For given multipliers of the cuts the minimizer is that without a lattice, rounded. Those that
solve the problem without a lattice are a guess; where rounding breaks a cut, the cut is asked for
more, and where it leaves room, for less. Each lattice point that is proposed so is evaluated, and
gives the next cut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.bundle import nearest_point
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.settings import SearchConstants
from intriguing_tf.adversary.solver import Batch

_EVALUATIONS = 16  # at most, of each image; each gives a cut
_LITTLE = 1e-4  # share of |r|^2
_PATIENCE = 4  # evaluations that bring little after which a search has ended
_MORE = 0.3  # of what the margin lacks at a trial: the cuts are asked for so much more
_REPAIRS = 16  # of the multipliers, each followed by a rounding
_DAMPING = 0.7  # of a repair, since rounding adds to what it moves


def to_lattice(
    problem: Problem,
    batch: Batch,
    adversarial: np.ndarray,
    levels: int,
    constants: SearchConstants,
    stop: Callable[[], bool],
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns lattice points near the originals that still succeed.

    Args:
        problem: the classifier.
        batch: the searches; bounds are finite, and variables that they hold stay as they are.
        adversarial: [n, size] what the searches found.
        levels: values of a variable, from its lower to its upper bound.
        constants: of the search.
        stop: once it says so, no image is brought nearer, and those without a lattice point are
            rounded once.

    Returns:
        Points [n, size], whether they succeed [n], and how often the margin was evaluated.
    """
    n, dtype = len(adversarial), batch.originals.dtype
    lattice, cuts = Lattice(batch, levels), Cuts(batch)
    best, best_square = adversarial - batch.originals, np.full(n, np.inf)
    proximity = np.full(n, constants.bundle_proximity, dtype)
    aim, waited = np.full(n, constants.bundle_aim), np.zeros(n, int)
    points, kept = adversarial, batch.originals.copy()
    for evaluations in range(1, _EVALUATIONS + 1):
        trial = points - batch.originals
        margin = cuts.add(problem, points)
        square = (trial.astype(np.float64) ** 2).sum(axis=1)
        # The first trial is what was found, which gives a cut, but lies beside the lattice.
        nearer = (margin < 0) & (square < best_square) & (evaluations > 1)
        much = nearer & (square < best_square * (1 - _LITTLE))
        best[nearer], best_square[nearer] = trial[nearer], square[nearer]
        kept[nearer] = points[nearer]
        found = np.isfinite(best_square)
        waited = np.where(much | ~found, 0, waited + 1)
        stopped = stop()
        ended = (found.all() and (waited >= _PATIENCE).all()) or (stopped and evaluations > 1)
        if ended or evaluations == _EVALUATIONS:
            break
        if stopped:
            points = lattice.round(points)
            continue
        proximity = np.clip(np.where(nearer, 0.6, 1.3) * proximity, 0.02, 50.0).astype(dtype)
        less, more = np.maximum(aim / 2, constants.bundle_aim), _MORE * margin / batch.gap
        aim = np.where(margin < 0, less, aim + (more if evaluations > 1 else 0))
        cuts.agree(best, found, 2 * constants.bundle_aim * batch.gap)
        points = lattice.nearest(cuts, aim * batch.gap, best, proximity)
    return kept, found, evaluations


class Cuts:
    """Linear functions that equal the margins of a batch where these were evaluated."""

    def __init__(self, batch: Batch):
        n, size = batch.originals.shape
        dtype = batch.originals.dtype
        self.batch, self.number = batch, 0
        self.targets, self.gap = tf.constant(batch.targets), tf.constant(batch.gap, dtype)
        self.gradients = np.zeros((n, _EVALUATIONS, size), dtype)
        self.values = np.zeros((n, _EVALUATIONS), dtype)  # at the originals
        self.weights = np.zeros((n, _EVALUATIONS), dtype)  # the last multipliers

    def add(self, problem: Problem, points: np.ndarray) -> np.ndarray:
        """Evaluates the margin at points [n, size] for another cut; returns it, with confidence."""
        there = problem.evaluate_hard(tf.constant(points), self.targets, self.gap)
        margin = there.margin.numpy() + self.batch.confidence
        gradient = np.where(there.finite.numpy()[:, None], there.gradient.numpy(), 0)
        self.gradients[:, self.number] = gradient
        moved = points - self.batch.originals
        self.values[:, self.number] = margin - np.einsum("ns,ns->n", gradient, moved)
        self.number += 1
        return margin

    def at(self, change: np.ndarray) -> np.ndarray:
        """[n, m] the slopes of the cuts times changes [n, size]."""
        return np.matmul(self.gradients, change[:, :, None])[:, :, 0]

    def agree(self, best: np.ndarray, where: np.ndarray, least: np.ndarray) -> None:
        """Lowers what claims of changes that are adversarial, where there are any, they were not.

        Margins are not convex.
        """
        claims = np.where(where[:, None], -least[:, None] - self.at(best), np.inf)
        self.values = np.minimum(self.values, claims).astype(self.values.dtype)


class Lattice:
    """Points whose variables have a few values each.

    Args:
        batch: the searches.
        levels: values of a variable, from its lower to its upper bound.
    """

    def __init__(self, batch: Batch, levels: int):
        self.originals = batch.originals
        self.low, self.high = batch.lower.astype(np.float64), batch.upper.astype(np.float64)
        self.held = self.low >= self.high
        # Of a variable that is held the box has no range; its lattice is never asked for.
        self.step = np.where(self.held, 1.0, (self.high - self.low) / (levels - 1))

    def round(self, x: np.ndarray) -> np.ndarray:
        """Returns the lattice points [n, size] of the box that are nearest to some points."""
        moved = np.clip(x, self.low, self.high)
        rounded = self.low + np.rint((moved - self.low) / self.step) * self.step
        return np.where(self.held, self.originals, rounded).astype(self.originals.dtype)

    def nearest(
        self, cuts: Cuts, aim: np.ndarray, best: np.ndarray, proximity: np.ndarray
    ) -> np.ndarray:
        """Returns the lattice points [n, size] that cuts ask for which lie `aim` [n] below 0.

        Multipliers start as without a lattice. Then, as in Hildreth's method, that of the cut that
        is farthest from what is asked is changed, and the minimizer of the Lagrangian is rounded
        again. Of the points that break no cut the nearest is kept; else that which breaks least.
        """
        dtype, n = best.dtype, len(best)
        bounds = ((bound - self.originals).astype(dtype) for bound in (self.low, self.high))
        added = np.arange(cuts.values.shape[1]) < cuts.number
        demand = np.where(added, cuts.values + aim[:, None], 0).astype(dtype)
        change, weights = (
            value.numpy()
            for value in nearest_point(
                cuts.gradients, demand, best, proximity, cuts.weights, *bounds
            )
        )
        half = 0.5 / (1 + proximity)[:, None]
        pull = 2 * half * proximity[:, None] * best
        response = half * np.einsum("nms,nms->nm", cuts.gradients, cuts.gradients)
        flat, every = response == 0, np.arange(n)
        chosen, cost = self.round(self.originals + best), np.full(n, np.inf)
        for _ in range(_REPAIRS):
            points = self.round(self.originals + change)
            r = points - self.originals
            broken = np.where(flat, -np.inf, demand + cuts.at(r))
            worst, square = broken.max(axis=1), (r.astype(np.float64) ** 2).sum(axis=1)
            worth = np.where(worst <= 0, -1 / np.maximum(square, 1e-300), worst)
            better = worth < cost
            chosen[better], cost[better] = points[better], worth[better]
            off = np.where(~flat & ((broken > 0) | (weights > 0)), np.abs(broken), -1)
            j = off.argmax(axis=1)
            known = ~flat[every, j]
            move = np.divide(broken[every, j], response[every, j], where=known, out=np.zeros(n))
            weights[every, j] = np.maximum(weights[every, j] + _DAMPING * move, 0)
            change = pull - half * np.matmul(weights[:, None], cuts.gradients)[:, 0]
        cuts.weights = weights
        return chosen
