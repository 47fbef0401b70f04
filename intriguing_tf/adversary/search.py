"""The search for many images: the solver in batches, each find brought to the boundary."""

from __future__ import annotations

from typing import Any

import numpy as np

from intriguing_tf.adversary.batching import batch_size, padded
from intriguing_tf.adversary.margins import besides, hard_margins
from intriguing_tf.adversary.segment import shorten
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch, SearchResult, Solver
from intriguing_tf.adversary.stopping import Stopping
from intriguing_tf.adversary.targets import screen_classes
from intriguing_tf.adversary.task import Task


class Search:
    """One call's search.

    Args:
        solver: of images of one shape.
        settings: of the adversary.
        task: the images, and which of them to attack.
        enough: l2 at which a search has found enough.
        stop: when to stop.
        bar: a progress bar, moved on by each image that is searched.
    """

    def __init__(
        self,
        solver: Solver,
        settings: AttackSettings,
        task: Task,
        enough: float,
        stop: Stopping,
        bar: Any,
    ):
        self.solver, self.settings, self.stop, self.bar = solver, settings, stop, bar
        self.batch_size = batch_size(solver.problem, settings)
        self.enough = enough
        self.x = task.images.reshape(len(task.images), -1)[task.rows]
        self.logits, self.box = task.logits[task.rows], task.box.rows(task.rows)
        self.targets = None if task.targets is None else task.targets[task.rows]

    def run(self) -> tuple[np.ndarray, SearchResult]:
        """Returns the target of each image to attack, and what was found."""
        if self.targets is None:
            return self._nearest()
        return self.targets, self._search(np.arange(len(self.x)), self.targets)

    def _nearest(self) -> tuple[np.ndarray, SearchResult]:
        """Searches the classes that can be the nearest, and all others where none succeeds."""
        targets = besides(self.logits, self.logits.argmax(axis=1), -np.inf).argmax(axis=1)
        best = self._nothing(np.arange(len(self.x)))
        untried = ~besides(np.zeros(self.logits.shape, bool), self.logits.argmax(axis=1), True)
        while (left := np.flatnonzero(~best.found & untried.any(axis=1))).size and not self.stop():
            others, kept = screen_classes(
                self.solver.problem, self.x[left], self.logits[left], untried[left],
                self.box.rows(left), self.batch_size, self.settings.constants,
            )  # fmt: skip
            rows, k = np.nonzero(kept)
            self.bar.reset(total=len(rows))
            search = self._search(left[rows], others[rows, k])
            np.add.at(best.nfev, left[rows], search.nfev)
            best.nfev[left] += others.shape[1]
            untried[left[rows], others[rows, k]] = False
            square = ((search.x - self.x[left[rows]]).astype(np.float64) ** 2).sum(axis=1)
            order = np.lexsort((np.where(search.found, square, np.inf), rows))
            first = order[np.searchsorted(rows[order], np.arange(len(left)))]
            targets[left] = others[rows, k][first]
            for whole, part in zip(best[:3], search[:3], strict=True):
                whole[left] = part[first]
        return targets, best

    def _nothing(self, rows: np.ndarray) -> SearchResult:
        n = len(rows)
        return SearchResult(
            self.x[rows], np.zeros(n, bool), np.full(n, np.nan), np.zeros(n, np.int64)
        )

    def _search(self, rows: np.ndarray, targets: np.ndarray) -> SearchResult:
        """Searches one target for each of some images."""
        found = self._nothing(rows)
        for start in range(0, len(rows), self.batch_size):
            part = slice(start, start + self.batch_size)
            if self.stop():
                break
            for whole, new in zip(found, self._batch(rows[part], targets[part]), strict=True):
                whole[part] = new
            self.bar.update(len(rows[part]))
        return found

    def _batch(self, rows: np.ndarray, targets: np.ndarray) -> SearchResult:
        n, solver = len(rows), self.solver
        box, logits, x = self.box.rows(rows), self.logits[rows], self.x[rows]
        margins = hard_margins(logits, targets)
        confidence = solver.problem.least_confidence(logits)
        gap = np.maximum(margins + self.settings.confidence, confidence)
        confidence += self.settings.confidence
        batch = Batch(
            originals=x, starts=x, targets=targets, lower=box.lower, upper=box.upper,
            logits=logits, gap=gap, confidence=confidence, enough=np.full(n, self.enough),
        )  # fmt: skip
        fill = np.minimum(np.arange(padded(n) if solver.jit_compile else n), n - 1)
        search = solver.search(batch.rows(fill), self.stop)
        best, found, c, nfev = (np.asarray(value)[:n] for value in search)
        near, evaluations = shorten(
            lambda points: solver.problem.hard_margins(points, targets),
            x, box.clip(best), margins, confidence, box.lower, box.upper,
        )  # fmt: skip
        nearest = np.where(found[:, None], near, x)
        return SearchResult(nearest, found, c, nfev.astype(np.int64) + evaluations)
