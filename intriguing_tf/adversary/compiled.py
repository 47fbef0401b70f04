"""The compiled solver: L-BFGS and the search over c in one loop, for a whole batch.

The paper minimizes c |r|^2 + loss(x + r) for one c after another and keeps the largest c that
succeeds. Divided by c this is the Lagrangian |r|^2 + lambda * loss of "the least |r|^2 with
loss <= 0", and the largest c that succeeds is 1 / lambda at its solution. So here every step of
L-BFGS takes the largest c for which *its own model* of the problem succeeds: the step goes to the
minimizer of the quadratic model for which the linearized margin just vanishes (a step of sequential
quadratic programming whose Hessian is L-BFGS's). One run of some 40 evaluations replaces a search
of some 10 runs.

The margin's soft maximum follows the exponential method of multipliers (Kort and Bertsekas 1972):
the weights of the classes tend to the true multipliers, so the limit is the minimum for the hard
maximum without its kinks. With equal weights and sharpness 1 the same loop follows the minimizers
for the cross-entropy, which is an increasing function of that soft maximum.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.batching import run_to_the_end, step_until
from intriguing_tf.adversary.bundle import Bundle, BundleRows
from intriguing_tf.adversary.lbfgs import Pairs, choose, dot, free_variables, inverse_hessian
from intriguing_tf.adversary.losses import Loss
from intriguing_tf.adversary.minimizer import Minimizer
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.rivals import Rivals
from intriguing_tf.adversary.settings import AttackSettings, SearchConstants
from intriguing_tf.adversary.solver import Batch, SearchResult

SETTLED = 2  # so many steps in a row that hardly move end a search


class Rows(NamedTuple):
    """What belongs to the images and does not change."""

    originals: tf.Tensor  # [n, size]
    targets: tf.Tensor  # [n]
    lower: tf.Tensor  # [n, size]
    upper: tf.Tensor  # [n, size]
    gap: tf.Tensor  # [n] margin at the original
    confidence: tf.Tensor  # [n] margins are raised by this: below 0 they survive rounding
    enough: tf.Tensor  # [n] squared distance at which a search ends
    sharpness: tf.Tensor  # [n]
    image: tf.Tensor  # [n] searches of one image compete


class State(NamedTuple):
    """Where the search for each image stands."""

    x: tf.Tensor  # [n, size] the point
    loss: tf.Tensor  # [n] soft margin at x
    gradient: tf.Tensor  # [n, size] its gradient
    margin: tf.Tensor  # [n] hard margin at x
    trial: tf.Tensor  # [n, size] the point to evaluate next
    direction: tf.Tensor  # [n, size]
    length: tf.Tensor  # [n] of the step along the direction
    pairs: Pairs
    multiplier: tf.Tensor  # [n] lambda = 1 / c
    merit: tf.Tensor  # [n] weight of the margin in the merit function
    overshoot: tf.Tensor  # [n] how far beyond the boundary to aim, as a share of the gap
    log_weights: tf.Tensor  # [n, classes]
    unconditional: tf.Tensor  # [n] the next trial is taken whatever it brings
    best: tf.Tensor  # [n, size] nearest adversarial point so far
    best_square: tf.Tensor  # [n] its squared distance; infinite before the first success
    best_multiplier: tf.Tensor  # [n]
    settled: tf.Tensor  # [n] steps in a row that hardly moved
    waited: tf.Tensor  # [n] evaluations since the last that found something nearer
    nfev: tf.Tensor  # [n]
    done: tf.Tensor  # [n]


class CompiledSolver:
    """Solves the paper's problem for batches of images with a batched L-BFGS.

    Args:
        problem: the classifier.
        settings: of the adversary. `maxfun` counts the gradient evaluations of each image; a step
            is small when it is below `xtol * |r|`, and two small steps in a row end a search.
    """

    def __init__(self, problem: Problem, settings: AttackSettings):
        self.problem, self.settings = problem, settings
        self.loss, self.constants = settings.loss, settings.constants
        self.jit_compile = problem.jit_compile(settings.jit_compile)
        self._advance = tf.function(
            self._advance_while, autograph=False, jit_compile=self.jit_compile
        )
        self._bundle = Bundle(problem, settings, self.jit_compile)
        self._penalty = Minimizer(
            self._penalized, maxcor=settings.maxcor, maxiter=settings.maxfun, ftol=1e-12,
            gtol=1e-7, jit_compile=self.jit_compile,
        )  # fmt: skip

    def search(self, batch: Batch, stop: Callable[[], bool] = lambda: False) -> SearchResult:
        """Returns the nearest points found that the model classifies as the targets."""
        rows, state = self._first(batch)
        rivals = Rivals(batch.image, self.settings)
        behind = functools.partial(_behind, rivals) if rivals.any else None
        state = run_to_the_end(self._advance, state, rows, self.jit_compile, stop, behind)
        if self.loss.adapts_weights:
            state = self._polish(rows, state, stop, rivals)
        found = tf.math.is_finite(state.best_square)
        nfev = state.nfev - tf.convert_to_tensor(batch.spent, tf.int32)
        return SearchResult(state.best, found, 1 / state.best_multiplier, nfev)

    def _polish(self, rows: Rows, state: State, stop: Callable[[], bool], rivals: Rivals) -> State:
        """Continues with the bundle method where a point was found and the search did not settle.

        Where it settled the margin is smooth, and a bundle would bring nothing nearer.
        """
        unsettled = tf.math.is_finite(state.best_square) & (state.settled < SETTLED)
        unsettled &= state.nfev < self.settings.maxfun
        if rivals.any:
            unsettled &= ~_behind(rivals, state, rows)
        kept = tf.where(unsettled)
        if stop() or not len(kept):
            return state
        some: Rows = tf.nest.map_structure(lambda value: tf.gather_nd(value, kept), rows)
        here: State = tf.nest.map_structure(
            lambda value: tf.gather_nd(value, kept),
            state._replace(pairs=()),  # type: ignore[arg-type]  # the bundle needs none
        )
        bundle_rows = BundleRows(
            some.originals, some.targets, some.lower - some.originals, some.upper - some.originals,
            some.gap, some.confidence, some.enough, here.best_square, some.image,
        )  # fmt: skip
        end = self._bundle(
            bundle_rows, here.best - some.originals, here.best_multiplier, here.nfev, stop, rivals
        )

        def put(value: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_update(value, kept, new)

        return state._replace(
            best=put(state.best, some.originals + end.best),
            best_square=put(state.best_square, end.best_square),
            best_multiplier=put(state.best_multiplier, end.best_multiplier),
            nfev=put(state.nfev, end.nfev),
        )

    def minimize(self, originals, targets, lower, upper, c) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the minimizers [n, size] of c |r|^2 + loss for the given c [n], and `nfev`."""
        x0, targets, lower, upper, c = self._tensors(originals, targets, lower, upper, c)
        result = self._penalty(x0, lower, upper, args=(x0, targets, c))
        return result.x, result.nfev

    def _tensors(self, originals, targets, *others) -> list[tf.Tensor]:
        dtype = self.problem.dtype
        floats = [tf.convert_to_tensor(array, dtype) for array in (originals, *others)]
        return [floats[0], tf.convert_to_tensor(targets, tf.int64), *floats[1:]]

    def _penalized(self, x, originals, targets, c):
        return penalized(self.problem, self.loss, x, originals, targets, c)

    def _first(self, batch: Batch) -> tuple[Rows, State]:
        """The first trial is the start itself."""
        dtype = self.problem.dtype
        originals, starts, targets, *others, image, spent = batch
        originals, starts, lower, upper, logits, gap, confidence, enough = (
            tf.convert_to_tensor(array, dtype) for array in (originals, starts, *others)
        )
        targets = tf.convert_to_tensor(targets, tf.int64)
        nothing, ones = tf.zeros_like(gap), tf.ones_like(gap)
        no, zero = tf.zeros_like(gap, tf.bool), tf.zeros_like(gap, tf.int32)
        rows = Rows(
            originals, targets, lower, upper, gap, confidence, enough**2,
            self.loss.sharpness(gap), tf.convert_to_tensor(image, tf.int64),
        )  # fmt: skip
        flat = tf.zeros_like(originals)
        return rows, State(
            x=originals, loss=gap, gradient=flat, margin=gap,
            trial=starts, direction=flat, length=ones,
            pairs=Pairs.empty(originals, self.settings.maxcor),
            multiplier=nothing, merit=nothing, overshoot=self.constants.first_overshoot * ones,
            log_weights=tf.zeros_like(logits), unconditional=~no,
            best=originals, best_square=ones * np.inf, best_multiplier=nothing,
            settled=zero, waited=zero, nfev=tf.convert_to_tensor(spent, tf.int32), done=no,
        )  # fmt: skip

    def _advance_while(self, state: State, rows: Rows, most_left, most_steps) -> State:
        """Steps until at most `most_left` images are left."""
        return step_until(lambda s: self._step(s, rows), state, most_left, most_steps)

    def _step(self, s: State, rows: Rows) -> State:
        """One evaluation for every image: judge the trial, and propose the next."""
        constants = self.constants
        there = self.problem.evaluate_soft(s.trial, rows.targets, rows.sharpness, s.log_weights)
        margin = there.margin + rows.confidence
        there_square = _square(s.trial - rows.originals)
        finite = there.finite
        improves = (margin < 0) & (there_square < s.best_square) & finite & ~s.done

        # The merit function is |r|^2 + weight * margin, with the soft margin's own changes.
        offset = s.margin - s.loss
        merit_here = _square(s.x - rows.originals) + s.merit * tf.maximum(s.margin, 0.0)
        merit_there = there_square + s.merit * tf.maximum(there.loss + offset, 0.0)
        closes = (margin < constants.close * s.margin) & (s.margin > constants.near / 2 * rows.gap)
        accepted = (merit_there <= merit_here * (1 + 1e-5)) | closes | s.unconditional
        accepted |= (s.length < constants.shortest_step) | _is_stalled(s, constants)
        accepted &= finite & ~s.done

        # A rejected trial teaches curvature too: most of what there is, where the margin has kinks.
        learnt = finite & ~s.done
        pairs = s.pairs.push(s.trial - s.x, there.gradient - s.gradient, learnt & ~s.unconditional)
        near = accepted & (margin < constants.near * rows.gap)
        overshoot = tf.where(
            near, tf.where(margin < 0, 0.5 * s.overshoot, 1.5 * s.overshoot), s.overshoot
        )
        moved = tf.sqrt(_square(s.trial - s.x) / tf.maximum(there_square, 1e-30))
        log_weights, changed, rising = self._reweigh(
            s.log_weights, there.above, rows, near & (moved < constants.settling)
        )
        rests = (
            (moved < self.settings.xtol * s.length)
            & (tf.abs(margin) < constants.near * rows.gap)
            & ~rising
        )
        found = improves | tf.math.is_finite(s.best_square)
        most_overshoot = tf.where(found, constants.most_overshoot * tf.ones_like(overshoot), 1.0)
        settled = tf.where(accepted, tf.where(rests, s.settled + 1, 0), s.settled)
        nfev = s.nfev + tf.cast(~s.done, tf.int32)
        most = self.settings.maxfun * tf.ones_like(nfev)
        if self.loss.adapts_weights:  # the bundle follows
            most = tf.where(found, int(constants.bundle_after * self.settings.maxfun), most)
        satisfied = improves & (there_square <= rows.enough)
        stuck = ~accepted & (s.length < constants.shortest_step * 1e-3)
        state = s._replace(
            x=choose(accepted, s.trial, s.x),
            loss=tf.where(accepted, there.loss, s.loss),
            gradient=choose(accepted, there.gradient, s.gradient),
            margin=tf.where(accepted, margin, s.margin),
            length=tf.where(accepted, tf.minimum(2 * s.length, 1.0), constants.shorten * s.length),
            pairs=pairs,
            overshoot=tf.clip_by_value(overshoot, constants.least_overshoot, most_overshoot),
            log_weights=log_weights, unconditional=changed,
            best=choose(improves, s.trial, s.best),
            best_square=tf.where(improves, there_square, s.best_square),
            best_multiplier=tf.where(improves, s.multiplier, s.best_multiplier),
            settled=settled, waited=tf.where(improves, 0, s.waited + 1), nfev=nfev,
            done=s.done | (settled >= SETTLED) | (nfev >= most) | stuck | satisfied,
        )  # fmt: skip
        return self._propose(state, rows, learnt)

    def _propose(self, s: State, rows: Rows, learnt: tf.Tensor) -> State:
        """Chooses c and the direction where the last trial taught something; the next trial."""
        constants = self.constants
        r = s.x - rows.originals
        multiplier = s.multiplier
        wanted = tf.where(
            s.margin > constants.far * rows.gap,
            constants.close * s.margin,
            s.margin + s.overshoot * rows.gap,
        )
        total = 2 * r + multiplier[:, None] * s.gradient
        free = free_variables(s.x, total, rows.lower, rows.upper)
        changes = 2 * s.pairs.steps + multiplier[:, None, None] * s.pairs.changes
        pairs = s.pairs._replace(changes=changes)
        newton = inverse_hessian(pairs, free, 2 * tf.ones_like(multiplier))
        home, downhill = tf.unstack(newton(tf.stack([2 * r, s.gradient], axis=1)), axis=1)
        slope = dot(s.gradient, downhill)
        needed = (wanted - dot(s.gradient, home)) / tf.where(slope > 0, slope, 1.0)
        multiplier = tf.where(learnt & (slope > 0), tf.maximum(needed, 0.0), multiplier)
        direction = -(home + multiplier[:, None] * downhill)
        stalled = _is_stalled(s, constants)
        direction = choose(stalled, _deepfool_step(s, rows), direction)
        scale = tf.reduce_mean(_finite_or_one(rows.upper - rows.lower), axis=1)
        size = tf.sqrt(tf.reduce_mean(direction**2, axis=1)) / scale
        direction *= tf.minimum(constants.longest_step / tf.maximum(size, 1e-30), 1.0)[:, None]
        direction = choose(learnt, direction, s.direction)
        length = tf.where(stalled, tf.ones_like(s.length), s.length)
        trial = tf.clip_by_value(s.x + length[:, None] * direction, rows.lower, rows.upper)
        nowhere = tf.reduce_all(trial == s.x, axis=1)
        return s._replace(
            direction=direction, length=length, multiplier=multiplier, trial=trial,
            merit=tf.maximum(0.9 * s.merit, constants.merit * multiplier),
            done=s.done | nowhere | ~tf.math.is_finite(size),
        )  # fmt: skip

    def _reweigh(self, log_weights, above, rows: Rows, where):
        """The multiplier update of the soft maximum, where it changes the gradient, and where some
        class is still coming back, so that the search must not end."""
        if not self.loss.adapts_weights:
            return log_weights, tf.zeros_like(where), tf.zeros_like(where)
        scores = rows.sharpness[:, None] * above
        old = tf.nn.softmax(scores + log_weights)
        total = tf.reduce_logsumexp(scores + log_weights, axis=1, keepdims=True)
        updated = scores + log_weights - total
        updated = tf.clip_by_value(updated, self.constants.least_log_weight, 0.0)
        change = tf.reduce_sum(tf.abs(tf.nn.softmax(scores + updated) - old), axis=1)
        rising = tf.reduce_any(updated > log_weights + self.constants.rising, axis=1)
        return choose(where, updated, log_weights), where & (change > 0.01), where & rising


def penalized(problem: Problem, loss: Loss, x, originals, targets, c):
    """Evaluates c |x - original|^2 + loss and its gradient, for c [n] (section 4.1)."""
    there = problem.evaluate(x, targets, loss.value)
    r = x - originals
    return c * _square(r) + there.loss, 2 * c[:, None] * r + there.gradient


def _behind(rivals: Rivals, s: State, rows: Rows) -> np.ndarray:
    """Which searches cannot be expected to come nearer than others of their image."""
    free = free_variables(s.x, s.gradient, rows.lower, rows.upper)
    slope = tf.norm(s.gradient * free, axis=1)
    model = (s.margin - dot(s.gradient, s.x - rows.originals)) / tf.maximum(slope, 1e-30)
    return rivals.behind(
        rows.image.numpy(), np.sqrt(s.best_square.numpy()), model.numpy(), s.nfev.numpy()
    )


def _is_stalled(s: State, constants: SearchConstants) -> tf.Tensor:
    """Where the model has led nowhere for long, as on networks of many kinks."""
    astray = tf.math.is_inf(s.best_square) | (s.margin > 0)
    return (s.waited >= constants.patience) & astray


def _deepfool_step(s: State, rows: Rows) -> tf.Tensor:
    """The shortest steps that close the margin if it is linear (Moosavi-Dezfooli et al. 2016)."""
    downhill = s.gradient * free_variables(s.x, s.gradient, rows.lower, rows.upper)
    wanted = tf.maximum(s.margin, 0.0) + s.overshoot * rows.gap
    return -downhill * (wanted / tf.maximum(dot(downhill, downhill), 1e-30))[:, None]


def _square(r: tf.Tensor) -> tf.Tensor:
    return dot(r, r)


def _finite_or_one(width: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.math.is_finite(width), width, tf.ones_like(width))
