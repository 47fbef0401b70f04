"""The end of the search on networks with kinks: a proximal bundle method on the hard margin.

Where the margin has kinks (ReLUs, max pooling, another class that comes level with the nearest), a
few curvature pairs cannot stand for those that meet at the optimum. A bundle can: each evaluation
gives a cut, a linear function that equals the margin there, and the next trial is the point nearest
to the image, and not far from the best point so far, at which every cut is negative (Kiwiel 1985;
Hiriart-Urruty and Lemaréchal 1993, chapter XV):

    minimize |r|^2 + mu |r - r_best|^2  where  b_i + g_i r <= -aim for each cut i, x + r in the box

Its dual has one variable for each cut, and r follows from the multipliers in one line. The margin
is not convex: a cut that claims the best point not to be adversarial is lowered until it agrees.

For a point found here c is 1 / (the sum of the multipliers): with that c, and at a kink with the
cuts weighted like the multipliers, the point satisfies the conditions for a minimum of the paper's
c |r|^2 + margin.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.batching import run_to_the_end, step_until, traced_once
from intriguing_tf.adversary.lbfgs import choose, dot
from intriguing_tf.adversary.problem import Evaluated, Problem
from intriguing_tf.adversary.rivals import Rivals
from intriguing_tf.adversary.settings import SearchConstants

_FREE_SETS = 3  # guesses of which variables the box holds, at most
_BLOCK = 64  # rows whose guesses are made at once
_ROUNDING = 2e-6  # what float32 may lack of a positive definite gram matrix of unit vectors
_INTERIOR_STEPS = 12  # of the dual's interior point method, each with a tenth of the gap before


class BundleRows(NamedTuple):
    """What belongs to the images and does not change."""

    originals: tf.Tensor  # [n, size]
    targets: tf.Tensor  # [n]
    lower: tf.Tensor  # [n, size] bounds of r
    upper: tf.Tensor  # [n, size]
    gap: tf.Tensor  # [n] margin at the original
    confidence: tf.Tensor  # [n] margins are raised by this
    enough: tf.Tensor  # [n] squared distance at which a search ends
    start: tf.Tensor  # [n] squared distance where the bundle began
    image: tf.Tensor  # [n] searches of one image compete
    most: tf.Tensor  # [n] gradient evaluations, with those that came before


class BundleState(NamedTuple):
    """Where the search for each image stands; all points are changes r of the image."""

    gradients: tf.Tensor  # [n, m, size] of the cuts; zero in an empty place
    values: tf.Tensor  # [n, m] of the cuts at r = 0
    weights: tf.Tensor  # [n, m] multipliers of the cuts in the last trial
    age: tf.Tensor  # [n, m] trials since the cut was made
    trial: tf.Tensor  # [n, size]
    trial_multiplier: tf.Tensor  # [n] sum of the weights
    best: tf.Tensor  # [n, size] nearest adversarial point so far
    best_square: tf.Tensor  # [n]
    best_multiplier: tf.Tensor  # [n] lambda = 1 / c
    proximity: tf.Tensor  # [n] mu
    aim: tf.Tensor  # [n] how far below 0 the cuts must lie, as a share of the gap
    waited: tf.Tensor  # [n] trials since the distance last fell by more than a little
    nfev: tf.Tensor  # [n]
    done: tf.Tensor  # [n]


@dataclasses.dataclass(frozen=True)
class BundleStep:
    """What a bundle does with an evaluation.

    Args:
        constants: of the search.
    """

    constants: SearchConstants

    def __call__(self, s: BundleState, rows: BundleRows, there: Evaluated) -> BundleState:
        """Returns the state after the evaluation of the trials: adds cuts, proposes the next."""
        constants = self.constants
        margin = there.margin + rows.confidence
        square = dot(s.trial, s.trial)
        finite = there.finite & ~s.done
        succeeds = (margin < 0) & finite
        nearer = succeeds & (square < s.best_square)
        proximity = tf.where(nearer, 0.6 * s.proximity, 1.3 * s.proximity)
        missed = tf.clip_by_value(margin / rows.gap, 0.0, constants.bundle_more)
        aim = tf.where(succeeds, constants.bundle_aim * tf.ones_like(missed), s.aim + missed)
        best = choose(nearer, s.trial, s.best)
        best_square = tf.where(nearer, square, s.best_square)
        multiplier = s.trial_multiplier  # 0 where no cut held the trial
        multiplier = tf.where(multiplier > 0, multiplier, there.multiplier(square))
        little = best_square > s.best_square * (1 - 2e-5)
        s = s._replace(
            best=best, best_square=best_square,
            best_multiplier=tf.where(nearer, multiplier, s.best_multiplier),
            proximity=tf.clip_by_value(proximity, 0.02, 50.0), aim=aim,
            waited=tf.where(little, s.waited + 1, 0), nfev=s.nfev + tf.cast(~s.done, tf.int32),
        )  # fmt: skip
        s = self._add_cut(s, rows, margin, there.gradient, finite)
        return self._propose(s, rows)

    def _add_cut(self, s: BundleState, rows: BundleRows, margin, gradient, where) -> BundleState:
        """Puts the newest cut in place of the oldest of those without weight."""
        used = s.weights > 1e-6 * tf.reduce_max(s.weights, axis=1, keepdims=True)
        worth = tf.where(used, 1e6 + s.weights / tf.reduce_sum(s.weights, 1, keepdims=True), -s.age)
        place = tf.argmin(worth, axis=1, output_type=tf.int32)
        here = tf.one_hot(place, s.values.shape[1], on_value=True, off_value=False)
        here &= where[:, None]
        value = margin - dot(gradient, s.trial)
        places = tf.stack([tf.range(tf.shape(place)[0]), place], axis=1)
        kept = tf.gather_nd(s.gradients, places)
        gradients = tf.tensor_scatter_nd_update(s.gradients, places, choose(where, gradient, kept))
        return s._replace(
            gradients=gradients, values=tf.where(here, value[:, None], s.values),
            age=tf.where(here, tf.zeros_like(s.age), s.age + 1),
        )  # fmt: skip

    def _propose(self, s: BundleState, rows: BundleRows) -> BundleState:
        """The point that the cuts ask for, and when to end."""
        aim = s.aim * rows.gap
        at_best = tf.linalg.matvec(s.gradients, s.best)
        least = 2 * self.constants.bundle_aim * rows.gap
        values = tf.minimum(s.values, -least[:, None] - at_best)
        # XLA's loops know the number of rows, and that for any number asks for some of them.
        of_any_number = s.done.shape[0] is None
        trial, weights = (nearest_point if of_any_number else nearest_point.python_function)(
            s.gradients, values + aim[:, None], s.best, s.proximity, s.weights,
            rows.lower, rows.upper,
        )  # fmt: skip
        # The box holds for x + r as it is rounded.
        moved = tf.sqrt(dot(trial - s.best, trial - s.best) / s.best_square)
        ended = (s.waited >= self.constants.bundle_patience) | (s.nfev >= rows.most)
        ended |= (moved < 1e-6) | (s.best_square <= rows.enough)
        ended |= ~tf.math.is_finite(moved)
        return s._replace(
            values=values, weights=weights, trial=trial,
            trial_multiplier=tf.reduce_sum(weights, axis=1), done=s.done | ended,
        )  # fmt: skip


class Bundle:
    """Brings adversarial points nearer.

    Args:
        problem: the classifier.
        constants: of the search.
        jit_compile: compile with XLA.
    """

    def __init__(self, problem: Problem, constants: SearchConstants, jit_compile: bool):
        self.problem, self.jit_compile = problem, jit_compile
        self._step = BundleStep(constants)
        self._advance = tf.function(self._advance_while, autograph=False, jit_compile=jit_compile)

    def __call__(
        self, rows: BundleRows, best, multiplier, nfev, stop, rivals: Rivals
    ) -> BundleState:
        """Returns where the search ends that starts at adversarial changes `best` [n, size]."""
        constants = self._step.constants
        square, m = rows.start, constants.bundle_cuts
        ones = tf.ones_like(square)
        nothing = tf.zeros([tf.shape(best)[0], m], best.dtype)
        state = BundleState(
            gradients=tf.zeros([tf.shape(best)[0], m, best.shape[1]], best.dtype),
            values=nothing, weights=nothing, age=nothing + tf.range(m, 0, -1, dtype=best.dtype),
            trial=best, trial_multiplier=multiplier, best=best, best_square=square,
            best_multiplier=multiplier, proximity=constants.bundle_proximity * ones,
            aim=constants.bundle_aim * ones, nfev=nfev,
            waited=tf.zeros_like(nfev), done=nfev >= rows.most,
        )  # fmt: skip
        behind = functools.partial(_behind, rivals) if rivals.any else None
        return run_to_the_end(self._advance, state, rows, self.jit_compile, stop, behind)

    def _advance_while(self, state: BundleState, rows: BundleRows, most_left, most_steps):
        return step_until(lambda s: self._evaluate(s, rows), state, most_left, most_steps)

    def _evaluate(self, s: BundleState, rows: BundleRows) -> BundleState:
        """One evaluation for every image."""
        there = self.problem.evaluate_hard(rows.originals + s.trial, rows.targets, rows.gap)
        return traced_once(self._step, s, rows, there)


def _behind(rivals: Rivals, s: BundleState, rows: BundleRows) -> np.ndarray:
    """Which searches cannot be expected to come nearer than others of their image."""
    distance = np.sqrt(s.best_square.numpy())
    return rivals.behind(rows.image.numpy(), distance, distance, s.nfev.numpy())


# Traced once for all adversaries of an image's size.
@tf.function(autograph=False, reduce_retracing=True)
def nearest_point(gradients, values, best, proximity, weights, lower, upper) -> tuple[Any, Any]:
    """Returns the minimizer of |r|^2 + mu |r - best|^2 where cuts are at most 0, and multipliers.

    Args:
        gradients: [n, m, size] and values [n, m] at r = 0 of the cuts; zero in an empty place.
        best: [n, size]. proximity: mu [n].
        weights: [n, m] a guess of the multipliers, which tells which variables the box holds.
        lower, upper: [n, size], bounds of r.

    Returns:
        r [n, size] and the multipliers [n, m].
    """
    pull = (proximity / (1 + proximity))[:, None] * best
    quadratics = _Quadratics(gradients, values, pull, 0.5 / (1 + proximity), lower, upper)

    def renew(weights, free, guesses):
        rows = _unsettled(guesses)
        some = _Quadratics(*(tf.gather(value, rows) for value in quadratics))
        free_before = tf.gather(free, rows)
        new_weights = some.multipliers(free_before)
        new_free = some.minimizer(new_weights)
        settled = tf.reduce_all(some.moves(new_free) == some.moves(free_before), axis=1)
        left = tf.where(settled, 0, tf.gather(guesses, rows) - 1)
        return [
            tf.tensor_scatter_nd_update(value, rows[:, None], new)
            for value, new in ((weights, new_weights), (free, new_free), (guesses, left))
        ]

    guesses = tf.fill(tf.shape(proximity), _FREE_SETS)
    weights, free, _ = tf.while_loop(
        lambda _weights, _free, guesses: tf.reduce_any(guesses > 0),
        renew,
        [weights, quadratics.minimizer(weights), guesses],
        parallel_iterations=1,
    )
    return tf.clip_by_value(free, lower, upper), weights


def _unsettled(guesses: tf.Tensor) -> tf.Tensor:
    """The rows to go on with: some, whose cuts stay in the cache; all where XLA compiles it."""
    if guesses.shape[0] is None:
        return tf.where(guesses > 0)[:_BLOCK, 0]
    return tf.range(guesses.shape[0], dtype=tf.int64)


class _Quadratics(NamedTuple):
    """The problems of `nearest_point` without its multipliers."""

    gradients: tf.Tensor  # [n, m, size]
    values: tf.Tensor  # [n, m]
    pull: tf.Tensor  # [n, size] minimizers without cuts and box
    half: tf.Tensor  # [n] 1 / the curvature 2 (1 + mu)
    lower: tf.Tensor  # [n, size]
    upper: tf.Tensor  # [n, size]

    def minimizer(self, weights: tf.Tensor) -> tf.Tensor:
        """The minimizers [n, size] of the Lagrangian, without the box."""
        along = tf.linalg.matvec(self.gradients, weights, transpose_a=True)
        return self.pull - self.half[:, None] * along

    def moves(self, free: tf.Tensor) -> tf.Tensor:
        """Which variables [n, size] the box does not hold, for minimizers without it."""
        return (free >= self.lower) & (free <= self.upper)

    def multipliers(self, free: tf.Tensor) -> tf.Tensor:
        """The multipliers [n, m] where the box holds what it holds of minimizers without it."""
        moves = self.moves(free)
        held = tf.clip_by_value(free, self.lower, self.upper)
        demand = self.values + tf.linalg.matvec(self.gradients, tf.where(moves, self.pull, held))
        moving = self.gradients * tf.cast(moves, free.dtype)[:, None]
        gram = tf.matmul(moving, self.gradients, transpose_b=True)
        return nonnegative_multipliers(self.half[:, None, None] * gram, demand)


def _repeat(change, value: Any, times: int) -> Any:
    """`change` of `change` of ... the value, in a loop of TensorFlow: the graph holds it once."""
    return tf.while_loop(
        lambda _: True, lambda value: [change(value)], [value], maximum_iterations=times,
        parallel_iterations=1,
    )[0]  # fmt: skip


def nonnegative_multipliers(gram: tf.Tensor, demand: tf.Tensor) -> tf.Tensor:
    """Returns the w >= 0 [n, m] that maximize demand w - w gram w / 2, by interior points.

    The gram matrices [n, m, m] may be singular; rows of zeros get the weight 0. Those that are not
    finite get nothing but 0: their factorization would fail, and TensorFlow report it.
    """
    dtype = demand.dtype
    gram, demand = tf.cast(gram, tf.float64), tf.cast(demand, tf.float64)
    broken = ~tf.math.is_finite(tf.reduce_sum(gram, [1, 2]) + tf.reduce_sum(demand, 1))
    nothing = tf.zeros([], tf.float64)
    gram, demand = (choose(broken, nothing, value) for value in (gram, demand))
    norm = tf.sqrt(tf.linalg.diag_part(gram))
    largest = tf.reduce_max(norm, axis=1, keepdims=True)
    empty = norm <= 1e-12 * largest
    scale = tf.where(empty, tf.zeros_like(norm), 1 / tf.where(empty, tf.ones_like(norm), norm))
    m = tf.shape(gram)[1]
    gram = gram * scale[:, :, None] * scale[:, None, :]
    gram += tf.eye(m, dtype=tf.float64) * _ROUNDING + tf.linalg.diag(tf.cast(empty, tf.float64))
    demand = tf.where(empty, -tf.ones_like(demand), demand * scale)
    unit = tf.maximum(tf.reduce_max(tf.abs(demand * tf.cast(~empty, tf.float64)), 1), 1e-30)
    demand = tf.where(empty, demand, demand / unit[:, None])

    def step(pair):
        w, y = pair
        residual = tf.linalg.matvec(gram, w) - demand - y
        aim = 0.1 * tf.reduce_mean(w * y, axis=1, keepdims=True)
        matrix = gram + tf.linalg.diag(y / w)
        right = aim / w - y - residual
        factor = tf.linalg.cholesky(matrix)
        dw = tf.linalg.cholesky_solve(factor, right[..., None])[..., 0]
        dy = (aim - y * dw) / w - y
        longest = tf.ones_like(w[:, :1])
        for value, change in ((w, dw), (y, dy)):
            room = tf.where(change < 0, -value / tf.where(change < 0, change, -1.0), 1e9)
            longest = tf.minimum(longest, 0.99 * tf.reduce_min(room, axis=1, keepdims=True))
        return w + longest * dw, y + longest * dy

    start = tf.ones_like(demand)
    w, _ = _repeat(step, (start, start), times=_INTERIOR_STEPS)
    w = tf.where(empty | (w < 1e-7), tf.zeros_like(w), w * scale * unit[:, None])
    return tf.cast(w, dtype)
