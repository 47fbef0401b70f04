"""The search for many images: the solver in batches, each find brought to the boundary."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from intriguing_tf.adversary.batching import batch_size, padded, whole_groups
from intriguing_tf.adversary.margins import besides
from intriguing_tf.adversary.rounding import to_lattice
from intriguing_tf.adversary.segment import shorten
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch, SearchResult, Solver, make_batch
from intriguing_tf.adversary.starts import descend, first_starts, noisy_starts
from intriguing_tf.adversary.stopping import Stopping
from intriguing_tf.adversary.targets import screen_classes
from intriguing_tf.adversary.task import Task

_DESCENDS = 50  # least `maxfun` of which a noisy descent is worth its part
_MORE_STARTS = 3  # where the search from the image itself finds nothing
_MAY_WIN = 1.1  # what is farther than this, in the least distance of its image, has no other starts
_SHORTENS = 1.02  # the last step shortens by less


class Search:
    """One call's search.

    Args:
        solver: of images of one shape.
        settings: of the adversary.
        task: the images, and which of them to attack.
        enough: l2 at which a search has found enough.
        seed: of the noise of other starts.
        stop: when to stop.
        bar: a progress bar, moved on by each image that is searched.
    """

    def __init__(
        self,
        solver: Solver,
        settings: AttackSettings,
        task: Task,
        enough: float,
        seed: int,
        stop: Stopping,
        bar: Any,
    ):
        self.solver, self.settings, self.stop, self.bar = solver, settings, stop, bar
        self.seed = seed
        self.batch_size = batch_size(solver.problem, settings)
        self.enough = enough
        self.x = task.images.reshape(len(task.images), -1)[task.rows]
        self.logits, self.box = task.logits[task.rows], task.box.rows(task.rows)
        self.predictions = task.predictions[task.rows]
        self.targets = None if task.targets is None else task.targets[task.rows]
        self.searched = np.zeros(len(self.x), bool)  # which images moved the bar on already

    def run(self) -> tuple[np.ndarray, SearchResult]:
        """Returns the target of each image to attack, and what was found."""
        if self.targets is None:
            targets, found = self._nearest()
        else:
            targets = self.targets
            found = self._search(np.arange(len(self.x)), targets)
        if self.settings.levels is not None:
            self._round(targets, found, self.settings.levels)
        return targets, found

    def _round(self, targets: np.ndarray, found: SearchResult, levels: int) -> None:
        """Brings what was found to the lattice of pixel values."""
        every = np.flatnonzero(found.found)
        for start in range(0, len(every), self.batch_size):
            rows = every[start : start + self.batch_size]
            batch = self._make_batch(rows, targets[rows])
            found.x[rows], found.found[rows], evaluations = to_lattice(
                self.solver.problem, batch, found.x[rows], levels,
                self.settings.constants, self.stop,
            )  # fmt: skip
            found.nfev[rows] += evaluations

    def _hard_margins(self, targets: np.ndarray, points: np.ndarray) -> np.ndarray:
        return self.solver.problem.hard_margins(points, targets)

    def _nearest(self) -> tuple[np.ndarray, SearchResult]:
        """Searches the classes that can be the nearest, and all others where none succeeds."""
        targets = besides(self.logits, self.predictions, -np.inf).argmax(axis=1)
        best = self._nothing(np.arange(len(self.x)))
        untried = ~besides(np.zeros(self.logits.shape, bool), self.predictions, True)
        while not self.stop():
            left = np.flatnonzero(~best.found & untried.any(axis=1))[: self.batch_size]
            if not left.size:
                break
            others, kept = screen_classes(
                self.solver.problem, self.x[left], self.logits[left], untried[left],
                self.box.rows(left), self.batch_size, self.settings.constants, self.stop,
            )  # fmt: skip
            rows, k = np.nonzero(kept)
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
        for part in whole_groups(rows, self.batch_size):
            if self.stop():
                break
            for whole, new in zip(found, self._batch(rows[part], targets[part]), strict=True):
                whole[part] = new
            self.bar.update(len(np.unique(rows[part][~self.searched[rows[part]]])))
            self.searched[rows[part]] = True
        return found

    def _batch(self, rows: np.ndarray, targets: np.ndarray) -> SearchResult:
        """Searches from the first starts and from the others; keeps the nearest."""
        batch = self._with_first_starts(self._make_batch(rows, targets))
        found = self._solve(batch)
        found.nfev[:] += batch.spent
        distance = np.where(found.found, _distance(found.x, batch), np.inf)
        others = self.settings.starts - 1
        count = np.where(found.found, others, max(others, _MORE_STARTS))
        count *= distance <= _MAY_WIN * _least_of_image(batch, distance)
        count[found.found & (batch.shares > 1)] = 0  # the evaluations of all starts are spent
        again = np.repeat(np.arange(len(rows)), count)
        numbers = np.concatenate([np.arange(1, k + 1) for k in count])
        for start in range(0, len(again), self.batch_size):
            part = slice(start, start + self.batch_size)
            if self.stop():
                break
            which = again[part]
            some = self._with_starts(batch.rows(which), distance[which], numbers[part])
            # Starts are no rivals: models far from the image say little of where they lead to.
            new = self._solve(some._replace(image=np.arange(len(which))))
            np.add.at(found.nfev, which, new.nfev + some.spent)
            _keep_nearest(found, distance, new, which, _distance(new.x, some))
        return found

    @property
    def _descends(self) -> bool:
        """Whether searches may start from the end of a noisy descent, and not from the image.

        It leads into better basins, and takes some twelve evaluations. Of several classes, and
        where any point within a distance is enough, most searches end after as many; and a small
        budget has better use for them.
        """
        settings = self.settings
        adapts = settings.loss.adapts_weights and settings.solver == "compiled"
        least = self.targets is not None and not self.enough
        return adapts and least and settings.maxfun >= _DESCENDS

    def _with_first_starts(self, batch: Batch) -> Batch:
        """The batch with the starts of number 0."""
        if not self._descends:
            return batch
        return first_starts(self.solver.problem, batch, self.settings, self.seed, self.stop)

    def _with_starts(self, batch: Batch, distance: np.ndarray, numbers: np.ndarray) -> Batch:
        """The batch with the starts of these numbers in place of the first.

        Number 1 is the image itself where it was not the first; where that found nothing, the end
        of a descent from it.
        """
        image_itself = (batch.starts != batch.originals).any(axis=1).astype(int)
        starts, spent = batch.originals.copy(), np.zeros(len(numbers), np.int64)
        noisy = np.flatnonzero(numbers != image_itself)
        if noisy.size:
            starts[noisy], spent[noisy] = noisy_starts(
                self.solver.problem, batch.rows(noisy), distance[noisy], numbers[noisy],
                self.seed, self.stop,
            )  # fmt: skip
        lost = np.flatnonzero((numbers == image_itself) & np.isinf(distance))
        if lost.size:
            starts[lost], spent[lost] = descend(
                self.solver.problem, batch.rows(lost), starts[lost], self.stop
            )
        return batch._replace(starts=starts, spent=spent, shares=np.ones_like(spent))

    def _make_batch(self, rows: np.ndarray, targets: np.ndarray) -> Batch:
        return make_batch(
            self.solver.problem, self.x[rows], self.logits[rows], targets, self.box.rows(rows),
            self.settings.confidence, self.enough,
            rows if self.settings.loss.adapts_weights else None,
        )  # fmt: skip

    def _solve(self, batch: Batch) -> SearchResult:
        """What the solver finds, brought to the boundary along the segment from the image."""
        n, solver = len(batch.targets), self.solver
        fill = np.arange(padded(n) if solver.jit_compile else n)
        whole = batch.rows(np.minimum(fill, n - 1))
        filled = np.where(fill < n, whole.image, batch.image.max() + fill)  # each has no rival
        search = solver.search(whole._replace(image=filled), self.stop)
        best, found, c, nfev = (np.array(value)[:n] for value in search)
        best = np.clip(best, batch.lower, batch.upper).astype(batch.originals.dtype)
        best, nfev = np.where(found[:, None], best, batch.originals), nfev.astype(np.int64)
        distance = np.where(found, _distance(best, batch), np.inf)
        ends = np.flatnonzero(distance <= _SHORTENS * _least_of_image(batch, distance))
        some = batch.rows(ends)
        near, evaluations = shorten(
            functools.partial(self._hard_margins, some.targets), some.originals, best[ends],
            solver.problem.margins_of(some.logits, some.targets), some.confidence,
            some.lower, some.upper,
        )  # fmt: skip
        best[ends] = np.where(found[ends, None], near, some.originals)
        nfev[ends] += evaluations
        return SearchResult(best, found, c, nfev)


def _distance(x: np.ndarray, batch: Batch) -> np.ndarray:
    return np.sqrt(((x - batch.originals).astype(np.float64) ** 2).sum(axis=1))


def _least_of_image(batch: Batch, distance: np.ndarray) -> np.ndarray:
    """The least distance [n] that any search of the same image found."""
    least = np.full(batch.image.max() + 1, np.inf)
    np.minimum.at(least, batch.image, distance)
    return least[batch.image]


def _keep_nearest(
    found: SearchResult,
    distance: np.ndarray,
    new: SearchResult,
    rows: np.ndarray,
    new_distance: np.ndarray,
) -> None:
    """Puts what was found nearer for some rows, which may repeat, in place of what was found."""
    for i, row in enumerate(rows):
        if new.found[i] and new_distance[i] < distance[row]:
            distance[row] = new_distance[i]
            found.x[row], found.found[row], found.c[row] = new.x[i], True, new.c[i]
