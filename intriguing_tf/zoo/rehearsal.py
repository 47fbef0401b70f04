"""What making a network takes, found without making it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf


class Needs(NamedTuple):
    """What making a network takes.

    Args:
        weights: how many it has by their `kind`.
        computed: numbers that are computed meanwhile and are no weights; `inf` where a shape is
            unknown.
    """

    weights: dict[str, int]
    computed: float


def rehearse(build: Callable[[], keras.Model]) -> Needs:
    """Builds a network whose variables have shapes and no values.

    A few bytes can describe a network that fills the memory; this says so before it is made. What
    its layers would compute is only noted in a graph. Keras keeps variables without values, and the
    names that it has given, per thread: with the thread they are gone.

    Args:
        build: makes the network; what it raises is raised here.
    """

    def run() -> Needs:
        graph = tf.Graph()
        with graph.as_default(), keras.StatelessScope(initialize_variables=False):
            weights: Counter[str] = Counter()
            for weight in build().weights:
                weights[kind(weight.dtype)] += math.prod(weight.shape)
        tensors = [tensor for operation in graph.get_operations() for tensor in operation.outputs]
        return Needs(dict(weights), sum(map(_size, tensors)))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


def count_weights(build: Callable[[], keras.Model]) -> int:
    """Returns how many weights a network would have: see `rehearse`."""
    return sum(rehearse(build).weights.values())


def kind(dtype: str) -> str:
    """Returns what numbers of a type are: "floating", "integer" or "boolean"."""
    if keras.backend.is_float_dtype(dtype):
        return "floating"
    return "boolean" if np.dtype(dtype) == bool else "integer"


def _size(tensor: tf.Tensor) -> float:
    shape = tensor.shape
    return math.prod(shape) if shape.is_fully_defined() else math.inf
