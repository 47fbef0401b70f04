"""The search for many images: the solver in batches, each find brought to the boundary."""

from __future__ import annotations

from typing import Any

import numpy as np

from intriguing_tf.adversary.batching import batch_size, padded
from intriguing_tf.adversary.margins import hard_margins
from intriguing_tf.adversary.segment import shorten
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import SearchResult, Solver
from intriguing_tf.adversary.targets import screen_classes


class Search:
    """One call's search.

    Args:
        solver: of images of one shape.
        settings: of the adversary.
        lower, upper: [size], the bounds of one image.
        bar: a progress bar, moved on by each image that is searched.
    """

    def __init__(
        self,
        solver: Solver,
        settings: AttackSettings,
        lower: np.ndarray,
        upper: np.ndarray,
        bar: Any,
    ):
        self.solver, self.settings, self.bar = solver, settings, bar
        self.lower, self.upper = lower, upper
        self.batch_size = batch_size(solver.problem, settings)

    def nearest(self, x: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, SearchResult]:
        """Searches every class that can be the nearest; returns the nearest found, and its class.

        Args:
            x: [n, size] the images.
            logits: [n, classes] at the images.
        """
        others, kept = screen_classes(
            self.solver.problem, x, logits, self.lower, self.upper, self.batch_size,
            self.settings.constants,
        )  # fmt: skip
        rows, k = np.nonzero(kept)
        targets = others[rows, k]
        self.bar.reset(total=len(rows))
        search = self(x[rows], targets, logits[rows])
        square = ((search.x - x[rows]).astype(np.float64) ** 2).sum(axis=1)
        order = np.lexsort((np.where(search.found, square, np.inf), rows))
        first = order[np.searchsorted(rows[order], np.arange(len(x)))]
        nfev = np.bincount(rows, search.nfev, len(x)).astype(np.int64) + others.shape[1]
        found = SearchResult(search.x[first], search.found[first], search.c[first], nfev)
        return targets[first], found

    def __call__(self, x: np.ndarray, targets: np.ndarray, logits: np.ndarray) -> SearchResult:
        """Searches one target for each image [n, size]; `logits` are those at the images."""
        parts = [SearchResult(x[:0], np.zeros(0, bool), np.zeros(0), np.zeros(0, np.int64))]
        for start in range(0, len(x), self.batch_size):
            batch = slice(start, start + self.batch_size)
            parts.append(self._batch(x[batch], targets[batch], logits[batch]))
            self.bar.update(len(x[batch]))
        return SearchResult(*map(np.concatenate, zip(*parts, strict=True)))

    def _batch(self, x: np.ndarray, targets: np.ndarray, logits: np.ndarray) -> SearchResult:
        n, solver = len(x), self.solver
        fill = np.minimum(np.arange(padded(n) if solver.jit_compile else n), n - 1)
        low, high = (np.broadcast_to(bound, x[fill].shape) for bound in (self.lower, self.upper))
        search = solver.search(x[fill], targets[fill], low, high, logits[fill])
        best, found, c, nfev = (np.asarray(value)[:n] for value in search)
        near, evaluations = shorten(
            lambda points: solver.problem.hard_margins(points, targets),
            x,
            np.clip(best, self.lower, self.upper).astype(x.dtype),
            hard_margins(logits, targets),
            solver.problem.least_confidence(logits),
            self.lower,
            self.upper,
        )
        nearest = np.where(found[:, None], near, x)
        return SearchResult(nearest, found, c, nfev.astype(np.int64) + evaluations)
