"""What the rounding of a last softmax or sigmoid hides of the logits before it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import ml_dtypes
import numpy as np
import tensorflow as tf

from intriguing_tf.lipschitz.steps import SIGMOID, Softmax, Step

Array = np.ndarray

# Two that are nearly tied, and are computed alike, are told apart from so many units on.
TIED = 4
# So many units in the last place a computed sigmoid may be off.
UNITS = 8
# A sigmoid saturates at this share of the logarithms of its precision and its least number.
SATURATES = 0.6


class HeadRounding:
    """How much smaller than the logits' margins those are that `predict` can tell.

    Args:
        head: the last softmax or sigmoid, or `None`.
        classes: the number of output units.
        dtypes: of the output, and of what it only casts.
        slope: a bound of how fast any logit changes; read for several sigmoids alone.
    """

    def __init__(self, head: Step | None, classes: int, dtypes: Iterable[tf.DType], slope: float):
        found = (ml_dtypes.finfo(dtype.as_numpy_dtype) for dtype in dtypes)
        self._precision = max(found, key=lambda precision: float(precision.eps))
        self._eps = float(self._precision.eps)
        self._slope = slope
        self._each_alone = head is SIGMOID and classes > 1 and slope > 0
        self._tied = 0.0 if head is None else TIED * self._eps
        if isinstance(head, Softmax) and head.bound > 1:
            self._tied *= 1 + math.log(classes)  # logarithms, of that size where margins vanish

    def room(self, logits: Array, predicted: Array) -> Array:
        """The distances [n] within which at most one unit of several sigmoids saturates.

        Above, only the predicted class may come near 1; below, it must not come near 0.
        """
        if not self._each_alone:
            return np.full(len(logits), np.inf)
        above = SATURATES * -np.log(self._eps)
        below = SATURATES * np.log(float(self._precision.tiny))
        own = logits[np.arange(len(logits)), predicted]
        room = np.minimum(above - _highest_other(logits, predicted), own - below)
        return np.maximum(room, 0.0) * (1 - 1e-12) / self._slope

    def hidden(self, logits: Array, predicted: Array, within: Array) -> Array:
        """The margins [n] of logits that may be hidden within some distances [n].

        A softmax divides all by one sum, and a single sigmoid is compared with 1/2: there only
        what is nearly tied is hidden. Of several sigmoids, for a margin m of logits a > b, the
        values differ by s(a) (1 − exp(−m)) / (1 + exp(b)), and each is off by a few units of its
        precision, as a share of s(a) at most.
        """
        if not self._each_alone:
            return np.full(len(logits), self._tied)
        highest = _highest_other(logits, predicted) + self._slope * within
        share = UNITS * self._eps * (1 + np.exp(highest))
        return -np.log1p(-np.minimum(share, 0.5)) * (1 + 1e-12)


def _highest_other(logits: Array, predicted: Array) -> Array:
    others = logits.copy()
    others[np.arange(len(logits)), predicted] = -np.inf
    return others.max(axis=1)
