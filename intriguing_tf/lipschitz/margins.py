"""Bounds of the differences of a classifier's logits: of all inputs, and around one image."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from intriguing_tf.lipschitz.chains import PairwiseChain, pairwise_chain
from intriguing_tf.lipschitz.evaluation import BatchValues
from intriguing_tf.lipschitz.folding import Entry, fold
from intriguing_tf.lipschitz.graph import calls_of
from intriguing_tf.lipschitz.local import LocalChain, Units
from intriguing_tf.lipschitz.propagation import AnyInput, Ranges
from intriguing_tf.lipschitz.rounding import LEAST, lengths, product_up, round_down, round_up
from intriguing_tf.lipschitz.steps import Matrix, Regroup, Slopes
from intriguing_tf.lipschitz.walk import Bounds, Branch, logits_graph

Array = np.ndarray


class MarginBounds:
    """The L_ij, bounds of the Lipschitz constants of the differences z_i − z_j of logits.

    Args:
        model: a classifier.
        verbose: whether to show progress.
        quick: whether what takes more than moments is left out.
        domain: the box of inputs that the bounds hold for, as in `bound`; `None`: all.

    Attributes:
        values: float64 [classes, classes]; one logit z means the classes (0, z).
        on_domain: the calls that only the domain bounds, by their number.

    Raises:
        ValueError: as `certified_radius`.
    """

    def __init__(
        self,
        model: keras.Model,
        verbose: bool | str = False,
        quick: bool = False,
        domain: Any = None,
    ):
        ranges = AnyInput() if domain is None else Ranges(model, domain)
        self._bounds = Bounds(True, attained=False, verbose=verbose, ranges=ranges, quick=quick)
        self._branch = self._bounds.run(logits_graph(calls_of(model)))[0]
        self.on_domain = ranges.on_domain if isinstance(ranges, Ranges) else {}
        self._entries = _without_regrouping(self._branch)
        self._chain: PairwiseChain | None = None
        self.values = _symmetric(self._values(int(np.prod(model.outputs[0].shape[1:]))))

    def local(self) -> LocalMargins | None:
        """What bounds them around an image; `None` where the logits end no chain of matrices."""
        if self._chain is None:
            return None
        return LocalMargins(self._chain, self._entries, self._total(self._chain.start))

    def logits(self) -> float:
        """Returns a bound of the Lipschitz constant of the logits as a vector."""
        return self._total(len(self._entries))

    def _values(self, classes: int) -> Array:
        head = self._entries[-1].step if self._entries else None
        if isinstance(head, Matrix) and len(head.weights) == classes:
            return self._with_head(head)
        total = self._total(len(self._entries))
        if classes == 1:
            return np.full((2, 2), total)
        return np.full((classes, classes), product_up([2**0.5 * (1 + 1e-15), total]))

    def _total(self, stop: int) -> float:
        """The bound of the classifier's input up to the end of the first steps."""
        steps = tuple(self._entries[:stop])
        return self._bounds.close(dataclasses.replace(self._branch, entries=steps))[1]

    def _with_head(self, head: Matrix) -> Array:
        """The bounds where the logits are a matrix times what is below them."""
        weights = head.weights
        if len(weights) == 1:
            weights = np.concatenate([np.zeros_like(weights), weights])
        distances = np.array([lengths(weights - row) for row in weights])
        below = self._total(len(self._entries) - 1)
        found = (distances + 2**0.5 * head.error) * below
        found = np.maximum(found, LEAST * ((distances > 0) | (head.error > 0)) * (below > 0))
        self._chain = pairwise_chain([entry.step for entry in self._entries], weights)
        if self._chain is not None:
            found = np.minimum(found, self._chain.bounds * self._total(self._chain.start))
        return found


class LocalMargins:
    """The chain of matrices that a classifier ends in, for radii around images.

    Args:
        chain: the global chain.
        entries: the classifier's steps.
        below: the Lipschitz bound of what is below the chain.
    """

    def __init__(self, chain: PairwiseChain, entries: Sequence[Entry], below: float):
        within = entries[chain.start :]
        matrices = [entry.step for entry in within if isinstance(entry.step, Matrix)]
        weights = [*(each.weights for each in matrices[:-1]), chain.weights]
        activations = [entry for entry in within if isinstance(entry.step, Slopes)]
        self._calls = [entry.calls[-1] for entry in activations]
        self._below = below
        self._chain = LocalChain(
            weights,
            [each.error for each in matrices],
            [entry.step for entry in activations if isinstance(entry.step, Slopes)],
            chain.multipliers,
        )

    def radii(self, near: BatchValues, predicted: Array, margins: Array, start: Array) -> Array:
        """Returns proved radii around the images; arguments as of `LocalChain.radii`."""
        entering = near.entering(self._calls)
        if any(values.ndim != 2 for values, _ in entering) or not self._below > 0:
            return np.zeros(len(start))  # matrices that are applied at many places
        units = [Units(*each) for each in entering]
        found = self._chain.radii(units, predicted, margins, start * round_up(self._below))
        return np.array([round_down(each / self._below, 16) for each in found])


def _without_regrouping(branch: Branch) -> list[Entry]:
    entries = fold(branch.entries)
    while entries and isinstance(entries[-1].step, Regroup) and entries[-1].step.same_order:
        entries.pop()
    return entries


def _symmetric(bounds: Array) -> Array:
    """The same for both orders of two classes, rounded up, 0 for a class and itself."""
    bounds = np.maximum(bounds, bounds.T) * round_up(1.0, 2 * 4096)
    np.fill_diagonal(bounds, 0.0)
    return bounds
