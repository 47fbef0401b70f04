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
        joined = last.step.followed_by(entry.step) if last else None
        if joined is not None and not math.isfinite(joined.magnitude()):
            joined = None  # the product overflows
        if last and moved is not None:
            folded[-1:] = [entry, Entry(last.calls, moved)]
        elif last and joined is not None:
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
    identity = Diagonal(np.array(float(identities)))
    total = steps[0].plus(steps[1:], identities) if steps else identity
    if total is None or not math.isfinite(total.magnitude()):
        return None
    return Entry(calls, total)
