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

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.batching import run_to_the_end, step_until, traced_once
from intriguing_tf.adversary.bundle import Bundle, BundleRows
from intriguing_tf.adversary.lbfgs import Pairs, dot, free_variables
from intriguing_tf.adversary.losses import Loss
from intriguing_tf.adversary.minimizer import Minimizer
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.rivals import Rivals
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch, SearchResult
from intriguing_tf.adversary.step import SETTLED, Rows, State, Step, square


class CompiledSolver:
    """Solves the paper's problem for batches of images with a batched L-BFGS.

    Args:
        problem: the classifier.
        settings: of the adversary. `maxfun` counts the gradient evaluations of each image; a step
            is small when it is below `xtol * |r|`, and two small steps in a row end a search.
    """

    def __init__(self, problem: Problem, settings: AttackSettings):
        self.problem, self.settings = problem, settings
        self.loss = settings.loss
        self.jit_compile = problem.jit_compile(settings.jit_compile)
        self._advance = tf.function(
            self._advance_while, autograph=False, jit_compile=self.jit_compile
        )
        self._step = Step(settings.constants, settings.xtol, settings.loss.adapts_weights)
        self._bundle = Bundle(problem, settings.constants, self.jit_compile)
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
        unsettled &= state.nfev < rows.most
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
            some.most,
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
        originals, starts, targets, *others, image, spent, shares = batch
        originals, starts, lower, upper, logits, gap, confidence, enough = (
            tf.convert_to_tensor(array, dtype) for array in (originals, starts, *others)
        )
        targets = tf.convert_to_tensor(targets, tf.int64)
        nothing, ones = tf.zeros_like(gap), tf.ones_like(gap)
        no, zero = tf.zeros_like(gap, tf.bool), tf.zeros_like(gap, tf.int32)
        most = self.settings.maxfun * shares
        after = self.settings.constants.bundle_after if self.loss.adapts_weights else 1
        rows = Rows(
            originals, targets, lower, upper, gap, confidence, enough**2,
            self.loss.sharpness(gap), tf.convert_to_tensor(image, tf.int64),
            *(tf.convert_to_tensor(each, tf.int32) for each in (most, np.floor(after * most))),
        )  # fmt: skip
        flat = tf.zeros_like(originals)
        return rows, State(
            x=originals, loss=gap, gradient=flat, margin=gap,
            trial=starts, direction=flat, length=ones,
            pairs=Pairs.empty(originals, self.settings.maxcor),
            multiplier=nothing, merit=nothing,
            overshoot=self.settings.constants.first_overshoot * ones,
            log_weights=tf.zeros_like(logits), unconditional=~no,
            best=originals, best_square=ones * np.inf, best_multiplier=nothing,
            settled=zero, waited=zero, nfev=tf.convert_to_tensor(spent, tf.int32), done=no,
        )  # fmt: skip

    def _advance_while(self, state: State, rows: Rows, most_left, most_steps) -> State:
        """Steps until at most `most_left` images are left."""
        return step_until(lambda s: self._evaluate(s, rows), state, most_left, most_steps)

    def _evaluate(self, s: State, rows: Rows) -> State:
        """One evaluation for every image."""
        there = self.problem.evaluate_soft(s.trial, rows.targets, rows.sharpness, s.log_weights)
        return traced_once(self._step, s, rows, there)


def penalized(problem: Problem, loss: Loss, x, originals, targets, c):
    """Evaluates c |x - original|^2 + loss and its gradient, for c [n] (section 4.1)."""
    there = problem.evaluate(x, targets, loss.value)
    r = x - originals
    return c * square(r) + there.loss, 2 * c[:, None] * r + there.gradient


def _behind(rivals: Rivals, s: State, rows: Rows) -> np.ndarray:
    """Which searches cannot be expected to come nearer than others of their image."""
    free = free_variables(s.x, s.gradient, rows.lower, rows.upper)
    slope = tf.norm(s.gradient * free, axis=1)
    model = (s.margin - dot(s.gradient, s.x - rows.originals)) / tf.maximum(slope, 1e-30)
    return rivals.behind(
        rows.image.numpy(), np.sqrt(s.best_square.numpy()), model.numpy(), s.nfev.numpy()
    )
