"""What a solver of the paper's problem is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from intriguing_tf.adversary.bounds import Box
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.settings import AttackSettings


class Batch(NamedTuple):
    """Searches that advance together; row i belongs to search i.

    Attributes:
        originals: [n, size] the images, as flat vectors.
        starts: [n, size] the points that the searches start from.
        targets: int64 [n].
        lower, upper: [n, size], equal where a variable is held.
        logits: [n, classes] at the originals.
        gap: [n] what the margin at the originals lacks of the confidence asked for; positive.
        confidence: [n] margins must lie below minus this.
        enough: [n] l2 at which a search has found enough.
        image: int [n] which image it is; of searches of one image the nearest find counts.
        spent: int [n] evaluations that led to the starts; the budget is shorter by these.
        shares: int [n] how many times `maxfun` the budget is: 1, or that of several starts.
    """

    originals: np.ndarray
    starts: np.ndarray
    targets: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    logits: np.ndarray
    gap: np.ndarray
    confidence: np.ndarray
    enough: np.ndarray
    image: np.ndarray
    spent: np.ndarray
    shares: np.ndarray

    def rows(self, rows: Any) -> Batch:
        """Returns the searches of some rows."""
        return Batch(*(each[rows] for each in self))


def make_batch(
    problem: Problem,
    originals: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    box: Box,
    confidence: float = 0.0,
    enough: float = 0.0,
    image: np.ndarray | None = None,
) -> Batch:
    """Returns searches that start from the images themselves.

    Args:
        problem: the classifier.
        originals, logits, targets: as those of `Batch`.
        box: of the same rows.
        confidence: the margin asked for, beyond what rounding may take away.
        enough: as that of `Batch`, for all.
        image: as that of `Batch`; by default each search is of another image.
    """
    n, least = len(originals), problem.least_confidence(logits)
    gap = problem.margins_of(logits, targets) + confidence
    if problem.classifier.clips and (gap < least).any():  # clipped at one value: of no scale
        unclipped = problem.evaluate_unclipped(originals, targets).margin.numpy()
        gap = np.where(gap < least, unclipped + confidence, gap)
    gap = np.maximum(gap, least)
    return Batch(
        originals=originals, starts=originals, targets=targets, lower=box.lower, upper=box.upper,
        logits=logits, gap=gap, confidence=least + confidence, enough=np.full(n, enough),
        image=np.arange(n) if image is None else image, spent=np.zeros(n, np.int64),
        shares=np.ones(n, np.int64),
    )  # fmt: skip


class SearchResult(NamedTuple):
    """The nearest adversarial points found for a batch."""

    x: Any  # [n, size]; the original where there is none
    found: Any  # [n]
    c: Any  # [n]
    nfev: Any  # [n] evaluations, without those that led to the starts


class Solver(Protocol):
    """Solves the paper's problem for a batch of images, which are flat vectors [n, size].

    Attributes:
        problem: the classifier as a function of flat vectors.
        jit_compile: whether evaluations are compiled with XLA, for every size of batch.
    """

    problem: Problem
    jit_compile: bool

    def __init__(self, problem: Problem, settings: AttackSettings): ...

    def search(self, batch: Batch, stop: Callable[[], bool]) -> SearchResult:
        """Returns the nearest points found that the model classifies as the targets.

        Args:
            batch: the searches.
            stop: asked a few times a second; once it says so, the best so far come back.
        """
        ...

    def minimize(self, originals, targets, lower, upper, c) -> tuple[np.ndarray, np.ndarray]:
        """Returns the minimizers [n, size] of c |r|^2 + loss for the given c [n], and `nfev`."""
        ...
