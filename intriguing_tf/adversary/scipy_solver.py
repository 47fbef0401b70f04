"""The reference solver: SciPy's L-BFGS-B, one run for each image, all runs in lockstep.

Every run is parked inside its objective (a greenlet) until all the others wait for a value too;
then one compiled call evaluates every parked point. Each run sees exactly what it would see alone.
"""

from __future__ import annotations

from collections.abc import Callable

import greenlet
import numpy as np
import scipy.optimize
import tensorflow as tf
from threadpoolctl import threadpool_limits

from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch, SearchResult

_BRACKETING = 12  # powers of ten tried before the search over c gives up
_BISECTIONS = 7  # of the bracket in log c: to within 2 % (10 ** (1 / 2 ** 7))

# From points [k, size] and their rows [k] to losses [k], gradients [k, size], margins [k].
Evaluate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


class _NotFinite(Exception):
    """Raised inside a run whose value or gradient is not finite: that run ends, alone."""


class SciPySolver:
    """Solves the paper's problem with `scipy.optimize.minimize(method="L-BFGS-B")`.

    Args:
        problem: the classifier.
        settings: of the adversary. `maxfun` counts the evaluations of each run, that is, for each
            image and each c.
        ftol, gtol: SciPy's options.
        lockstep: advance all runs together; otherwise one after another (for comparison).
    """

    def __init__(
        self, problem: Problem, settings: AttackSettings, *,
        ftol: float = 1e-9, gtol: float = 1e-6, lockstep: bool = True,
    ):  # fmt: skip
        self.problem, self.loss, self.lockstep = problem, settings.loss, lockstep
        self.options = {
            "maxcor": settings.maxcor, "maxfun": settings.maxfun, "ftol": ftol, "gtol": gtol,
        }  # fmt: skip
        self.jit_compile = problem.jit_compile(settings.jit_compile)
        # Without XLA one trace serves every number of points: which was traced before must not
        # decide how a point is rounded.
        specs = tf.TensorSpec([None, problem.size], problem.dtype), tf.TensorSpec([None], tf.int64)
        self._compiled = tf.function(
            self._loss, autograph=False, jit_compile=self.jit_compile,
            input_signature=None if self.jit_compile else specs,
        )  # fmt: skip

    def _loss(self, x, targets):
        there = self.problem.evaluate(x, targets, self.loss.value)
        return there.loss, there.gradient, there.margin

    def _evaluate(self, x: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, ...]:
        """Evaluates float64 points, padded to a power of two so that few sizes compile."""
        n = len(x)
        padding = (1 << (n - 1).bit_length()) - n
        if padding:
            x = np.concatenate([x, np.repeat(x[-1:], padding, axis=0)])
            targets = np.concatenate([targets, np.repeat(targets[-1:], padding)])
        values = self._compiled(tf.cast(x, self.problem.dtype), tf.constant(targets, tf.int64))
        return tuple(value.numpy()[:n].astype(np.float64) for value in values)

    def search(self, batch: Batch, stop: Callable[[], bool] = lambda: False) -> SearchResult:
        """Returns the nearest points found that the model classifies as the targets.

        c is bracketed by powers of ten, from the value that would be right if the margin were
        linear, and then bisected in log c; each run starts from the last minimizer.
        """
        x0, starts, low, high = (
            np.asarray(a, np.float64)
            for a in (batch.originals, batch.starts, batch.lower, batch.upper)
        )
        so_far = _BestSoFar(x0, batch.targets, self._evaluate, batch.confidence)
        _, gradient, gap = so_far.evaluate(x0, np.arange(len(x0)))
        square = _free_square(x0, gradient, low, high)
        elsewhere = np.flatnonzero((square == 0) & (starts != x0).any(axis=1))
        if elsewhere.size:  # nothing is learnt at the image
            some = starts[elsewhere]
            gradient = so_far.evaluate(some, elsewhere)[1]
            square[elsewhere] = _free_square(some, gradient, low[elsewhere], high[elsewhere])
        c = square / np.maximum(2 * gap, 1e-30)
        succeeded, failed = np.zeros(len(c)), np.full(len(c), np.inf)
        start = starts.copy()
        active = np.isfinite(c) & (c > 0) & np.isfinite(gap)
        best_c = np.full(len(c), np.inf)
        for _ in range(_BRACKETING + _BISECTIONS):
            active &= so_far.best_square > batch.enough**2
            rows = np.flatnonzero(active)
            if not rows.size or stop():
                break
            start[rows], margin = self._minimize(so_far, rows, start, low, high, c, stop)
            success = np.zeros(len(c), bool)
            success[rows] = margin < 0
            best_c = np.where(active & success, c, best_c)
            succeeded = np.where(active & success, np.maximum(succeeded, c), succeeded)
            failed = np.where(active & ~success, np.minimum(failed, c), failed)
            bracketed = (succeeded > 0) & np.isfinite(failed)
            middle = np.sqrt(succeeded * np.where(bracketed, failed, 1))
            c = np.where(active, np.where(bracketed, middle, np.where(success, 10 * c, c / 10)), c)
            narrow = bracketed & (failed < succeeded * 10 ** (1 / 2**_BISECTIONS) * 1.0001)
            active &= ~narrow & (c > 1e-12) & (c < 1e12)
        best_c = np.where(np.isinf(best_c), so_far.c, best_c)  # only points on the way succeeded
        return SearchResult(so_far.best, so_far.found, best_c, so_far.nfev)

    def minimize(self, originals, targets, lower, upper, c) -> tuple[np.ndarray, np.ndarray]:
        """Returns the minimizers [n, size] of c |r|^2 + loss for the given c [n], and `nfev`."""
        x0, low, high = (np.asarray(a, np.float64) for a in (originals, lower, upper))
        so_far = _BestSoFar(x0, np.asarray(targets), self._evaluate, np.zeros(len(x0)))
        x, _ = self._minimize(so_far, np.arange(len(x0)), x0, low, high, np.asarray(c, np.float64))
        return x, so_far.nfev

    def _minimize(self, so_far: _BestSoFar, rows, start, low, high, c, stop=lambda: False):
        """Runs L-BFGS-B for the given rows; returns their minimizers and margins."""
        runs = [_Run(row, start[row], low[row], high[row], self.options) for row in rows]
        with threadpool_limits(1, user_api="blas"):
            if self.lockstep:
                _advance(runs, so_far, c, stop)
            else:
                for run in runs:
                    _advance([run], so_far, c, stop)
        minimizers = np.stack([run.x for run in runs])
        return minimizers, so_far.evaluate(minimizers, rows)[2]


def _free_square(x, gradient, low, high) -> np.ndarray:
    """The squared norms [n] of gradients, without what points out of the box."""
    held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    return (np.where(held, 0, gradient) ** 2).sum(axis=1)


class _BestSoFar:
    """What is known of each image over all its runs: its best point and its evaluations.

    Margins are raised by the confidence [n], so that those below 0 survive rounding.
    """

    def __init__(
        self, originals: np.ndarray, targets: np.ndarray, evaluate: Evaluate, confidence: np.ndarray
    ):
        self.originals, self.targets, self._evaluate = originals, targets, evaluate
        self.confidence = confidence
        self.best = originals.copy()
        self.best_square = np.full(len(originals), np.inf)
        self.c = np.full(len(originals), np.inf)  # with which |r|^2 and the loss pull alike there
        self.nfev = np.zeros(len(originals), np.int64)

    @property
    def found(self) -> np.ndarray:
        return np.isfinite(self.best_square)

    def evaluate(self, x: np.ndarray, rows: np.ndarray):
        loss, gradient, margin = self._evaluate(x, self.targets[rows])
        margin = margin + self.confidence[rows]
        self.nfev[rows] += 1
        square = ((x - self.originals[rows]) ** 2).sum(axis=1)
        finite = np.isfinite(loss) & np.isfinite(gradient).all(axis=1)
        better = (margin < 0) & (square < self.best_square[rows]) & finite
        self.best[rows[better]] = x[better]
        self.best_square[rows[better]] = square[better]
        slope = np.sqrt((gradient[better] ** 2).sum(axis=1) / np.maximum(square[better], 1e-30))
        self.c[rows[better]] = np.maximum(slope / 2, 1e-15)
        return loss, gradient, margin

    def objective(self, x: np.ndarray, rows: np.ndarray, c: np.ndarray):
        """Evaluates c |r|^2 + loss and its gradient."""
        loss, gradient, _ = self.evaluate(x, rows)
        r = x - self.originals[rows]
        value = c[rows] * (r**2).sum(axis=1) + loss
        return value, 2 * c[rows, None] * r + gradient


class _Run:
    """One run of L-BFGS-B that stops at every evaluation and waits to be told the values."""

    def __init__(self, row: int, start: np.ndarray, low: np.ndarray, high: np.ndarray, options):
        self.row, self.x = row, start
        self._bounds = scipy.optimize.Bounds(low, high)
        self._options = options
        self._greenlet = greenlet.greenlet(self._minimize)

    def first(self) -> np.ndarray | None:
        """Starts the run; returns the first point that it wants to have evaluated."""
        return self._greenlet.switch()

    def resume(self, value: float, gradient: np.ndarray) -> np.ndarray | None:
        """Resumes with the values of the last point; returns the next, or `None` at the end."""
        return self._greenlet.switch((value, gradient))

    def _minimize(self) -> None:
        def objective(x):
            value, gradient = self._greenlet.parent.switch(x.copy())
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                raise _NotFinite
            return value, gradient

        try:
            result = scipy.optimize.minimize(
                objective, self.x, jac=True, method="L-BFGS-B", bounds=self._bounds,
                options=self._options,
            )  # fmt: skip
        except _NotFinite:
            return
        self.x = result.x


def _advance(runs: list[_Run], so_far: _BestSoFar, c: np.ndarray, stop: Callable[[], bool]) -> None:
    """Advances runs together until all have ended, or it is time to stop."""
    parked = []
    for run in runs:
        if stop():  # SciPy takes a while to read the bounds of each
            return
        if (point := run.first()) is not None:
            parked.append((run, point))
    while parked and not stop():
        rows = np.array([run.row for run, _ in parked])
        points = np.stack([point for _, point in parked])
        values = so_far.objective(points, rows, c)
        following = []
        for (run, _), value, gradient in zip(parked, *values, strict=True):
            point = run.resume(value, gradient)
            if point is not None:
                following.append((run, point))
        parked = following
