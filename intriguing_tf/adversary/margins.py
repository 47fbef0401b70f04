"""Margins: how far the other classes lie above the target. Below 0 the target wins."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def above_target(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns each logit minus the target's, minus infinity at the target itself."""
    is_target = tf.one_hot(targets, logits.shape[1], on_value=True, off_value=False)
    # Not tf.gather: the graph of its gradient is larger than that of a small network.
    own = tf.reduce_sum(tf.where(is_target, logits, 0), axis=1, keepdims=True)
    return tf.where(is_target, tf.constant(-np.inf, logits.dtype), logits - own)


def told_apart(logits: tf.Tensor, targets: tf.Tensor, limits: tuple[float, float]) -> tf.Tensor:
    """Returns logits whose order, towards a target, is that of their sigmoids as these are rounded.

    Near 1 and near 0 sigmoids of unlike logits are equal. So the target's logit counts no more
    than the upper limit u, softly, as z with exp(-z) = exp(-target) + exp(-u), and the others'
    no less than the lower limit.

    Args:
        logits: [n, classes]. targets: integers [n].
        limits: logits from which on, below and above, a sigmoid's value hardly changes.
    """
    low, high = (tf.constant(limit, logits.dtype) for limit in limits)
    is_target = tf.one_hot(targets, logits.shape[1], on_value=True, off_value=False)
    capped = -tf.experimental.numpy.logaddexp(-logits, -high)
    return tf.where(is_target, capped, tf.experimental.numpy.logaddexp(logits, low))


def hard_margins(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the largest other logit minus the target's [n], for arrays [n, classes] and [n]."""
    others = besides(logits, targets, -np.inf).max(axis=1)
    return others - logits[np.arange(len(logits)), targets]


def besides(logits: np.ndarray, classes: np.ndarray, value: float) -> np.ndarray:
    """Returns the logits [n, classes] with `value` in place of one class of each row."""
    return np.where(np.arange(logits.shape[1]) == classes[:, None], value, logits)
