"""Joins linear neighbours on a path through the network into one operator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.operators import Diagonal, Matrix
from intriguing_tf.lipschitz.registry import Regroup, Step
from intriguing_tf.lipschitz.rounding import UNIT_ROUNDOFF, gamma, round_up

# A product of two rounded factors, made large enough.
_UP = 1 + 4 * UNIT_ROUNDOFF


@dataclasses.dataclass(frozen=True)
class Entry:
    """A step of a path, and the numbers of the layers' calls that it stands for."""

    calls: tuple[int, ...]
    step: Step


def fold(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the entries with every diagonal, matrix and convolution joined to its neighbour.

    A batch normalisation goes into the convolution or matrix before or after it; matrices without
    an activation between them are multiplied. What is joined is never larger than the product.
    """
    folded: list[Entry] = []
    for entry in entries:
        last = folded[-1] if folded else None
        if last and isinstance(entry.step, Regroup) and isinstance(last.step, Diagonal):
            moved = _after_regrouping(last.step, entry.step)
            if moved is not None:
                folded[-1:] = [entry, Entry(last.calls, moved)]
                continue
        joined = _join(last.step, entry.step) if last else None
        if last and joined is not None:
            folded[-1] = Entry(tuple(dict.fromkeys(last.calls + entry.calls)), joined)
        else:
            folded.append(entry)
    return folded


def add_linear(branches: list[list[Entry]]) -> Entry | None:
    """Returns the sum of linear branches that start at the same tensor, as one operator.

    An empty branch is the identity. `None` where they are not all linear, or of different kinds.
    """
    if any(len(branch) > 1 for branch in branches):
        return None
    calls = tuple(call for branch in branches for entry in branch for call in entry.calls)
    steps = [branch[0].step for branch in branches if branch]
    identities = len(branches) - len(steps)
    total = _sum(steps, identities) if steps else Diagonal(np.array(float(identities)))
    return None if total is None else Entry(calls, total)


def _sum(steps: list[Step], identities: int) -> Step | None:
    first = steps[0]
    matrices = [step for step in steps if isinstance(step, Matrix)]
    if len(matrices) == len(steps):
        weights = [matrix.weights for matrix in matrices]
        if identities:
            weights.append(identities * np.eye(len(weights[0])))
        lost = gamma(len(weights)) * sum(float(np.linalg.norm(each)) for each in weights)
        error = round_up(lost + sum(matrix.error for matrix in matrices), len(weights))
        return Matrix(np.sum(weights, axis=0), error)
    if len(steps) == 1 and isinstance(first, Convolution):
        return first.plus_identity(identities)
    return None


def _join(first: Step, second: Step) -> Step | None:
    if isinstance(first, Diagonal) and isinstance(second, Diagonal):
        return Diagonal(first.scale * second.scale * _UP)
    if isinstance(first, Matrix) and isinstance(second, Matrix):
        return _product(second, first)
    if isinstance(first, Diagonal) and isinstance(second, Matrix):
        return _scaled(second, second.weights * first.scale, first.scale)
    if isinstance(first, Matrix) and isinstance(second, Diagonal):
        return _scaled(first, (first.weights.T * second.scale).T, second.scale)
    if isinstance(first, Diagonal) and isinstance(second, Convolution):
        return second.scaled(inputs=first.scale)
    if isinstance(first, Convolution) and isinstance(second, Diagonal):
        return first.scaled(outputs=second.scale)
    return None


def _product(second: Matrix, first: Matrix) -> Matrix:
    norms = float(np.linalg.norm(second.weights)), float(np.linalg.norm(first.weights))
    error = gamma(first.weights.shape[0] + 2) * norms[0] * norms[1]
    error += second.error * (norms[1] + first.error) + first.error * norms[0]
    return Matrix(second.weights @ first.weights, round_up(error, 64))


def _scaled(matrix: Matrix, weights: np.ndarray, scale: np.ndarray) -> Matrix:
    error = matrix.error * float(np.max(np.abs(scale)))
    error += 2 * UNIT_ROUNDOFF * float(np.linalg.norm(weights))
    return Matrix(weights, round_up(error, 8))


def _after_regrouping(diagonal: Diagonal, regroup: Regroup) -> Diagonal | None:
    if diagonal.scale.size == 1:
        return diagonal
    if regroup.repeats is None:
        return None
    return Diagonal(np.tile(diagonal.scale, regroup.repeats))
