"""What a solver of the paper's problem is."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.settings import AttackSettings


class SearchResult(NamedTuple):
    """The nearest adversarial points found for a batch."""

    x: Any  # [n, size]; the original where there is none
    found: Any  # [n]
    c: Any  # [n]
    nfev: Any  # [n]


class Solver(Protocol):
    """Solves the paper's problem for a batch of images, which are flat vectors [n, size].

    Attributes:
        problem: the classifier as a function of flat vectors.
        jit_compile: whether evaluations are compiled with XLA, for every size of batch.
    """

    problem: Problem
    jit_compile: bool

    def __init__(self, problem: Problem, settings: AttackSettings): ...

    def search(self, originals, targets, lower, upper, logits) -> SearchResult:
        """Returns the nearest points found that the model classifies as the targets.

        Args:
            originals: [n, size]. targets: [n]. lower, upper: [n, size]. logits: [n, classes] at
                the originals.
        """
        ...

    def minimize(self, originals, targets, lower, upper, c) -> tuple[np.ndarray, np.ndarray]:
        """Returns the minimizers [n, size] of c |r|^2 + loss for the given c [n], and `nfev`."""
        ...
