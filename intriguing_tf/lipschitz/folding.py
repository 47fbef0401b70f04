"""Joins linear neighbours on a path through the network into one operator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from intriguing_tf.lipschitz.steps import Diagonal, Step


@dataclasses.dataclass(frozen=True)
class Entry:
    """A step of a path, and the numbers of the layers' calls that it stands for."""

    calls: tuple[int, ...]
    step: Step


def fold(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the entries with every diagonal, matrix and convolution joined to its neighbour.

    A batch normalization goes into the convolution or matrix before or after it; matrices without
    an activation between them are multiplied. What is joined is never larger than the product.
    """
    folded: list[Entry] = []
    for entry in entries:
        last = folded[-1] if folded else None
        moved = last.step.past(entry.step) if last else None
        joined = _followed_by(last.step, entry.step) if last else None
        if last and moved is not None:
            folded[-1:] = [entry, Entry(last.calls, moved)]
        elif last and joined is not None:
            folded[-1] = Entry(tuple(dict.fromkeys(last.calls + entry.calls)), joined)
        else:
            folded.append(entry)
    return folded


def _followed_by(step: Step, following: Step) -> Step | None:
    """The two as one; `None` if there is none, or the product overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        joined = step.followed_by(following)
        return joined if joined is None or math.isfinite(joined.magnitude()) else None


def add_linear(branches: list[list[Entry]]) -> Entry | None:
    """Returns the sum of linear branches that start at the same tensor, as one operator.

    An empty branch is the identity. `None` where they are not all linear, or of different kinds.
    """
    if any(len(branch) > 1 for branch in branches):
        return None
    calls = tuple(call for branch in branches for entry in branch for call in entry.calls)
    steps = [branch[0].step for branch in branches if branch]
    identities = len(branches) - len(steps)
    identity = Diagonal(np.array(float(identities)))
    total = steps[0].plus(steps[1:], identities) if steps else identity
    if total is None or not math.isfinite(total.magnitude()):
        return None
    return Entry(calls, total)
