"""Chains of linear layers and activations, bounded as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .registry import Step


@dataclasses.dataclass(frozen=True)
class Run:
    """Steps `start` to `stop` of a path and their joint bound."""

    start: int
    stop: int
    bound: float


def chains_of(steps: Sequence[Step], bounds: Sequence[float]) -> list[Run]:
    return []


def pairwise_bounds(steps: Sequence[Step], weights: np.ndarray) -> tuple[int, np.ndarray] | None:
    return None
