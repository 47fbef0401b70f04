"""Losses of the attack, as functions of how far the other classes lie above the target."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf


class Loss(abc.ABC):
    """What is minimized beside c |r|^2; its gradient is TensorFlow's.

    A loss of one's own is a subclass with a `name` and a `value`, and `loss=` takes an object of
    it. One that users choose by its name stands in `LOSSES` too.

    The compiled search does not evaluate `value`: for the largest c that succeeds, any loss asks
    for the nearest point where the margin vanishes. It goes there along the soft maximum of the
    other classes (`soft_maximum`), of which `sharpness` and `adapts_weights` decide.

    Attributes:
        name: by which settings record it.
        adapts_weights: whether the weights of the classes in that soft maximum follow the
            exponential method of multipliers (Kort and Bertsekas 1972), so that its limit is the
            hard maximum; otherwise they stay equal.
    """

    name: ClassVar[str]
    adapts_weights: ClassVar[bool] = False

    @abc.abstractmethod
    def value(self, above: tf.Tensor) -> tf.Tensor:
        """Returns the loss [n].

        Args:
            above: [n, classes] each logit minus the target's; minus infinity at the target itself.
        """

    def sharpness(self, gap: tf.Tensor) -> tf.Tensor:
        """Returns the sharpness [n] of the search's soft maximum, for margins [n] at the images."""
        return tf.ones_like(gap)

    def __str__(self) -> str:
        """Its name, unless that would stand for another object of the class."""
        return self.name if LOSSES.get(self.name, self) == self else repr(self)


@dataclasses.dataclass(frozen=True)
class CrossEntropy(Loss):
    """The paper's: minus the logarithm of the target's probability.

    It is an increasing function (softplus) of the soft maximum of sharpness 1 with equal weights.
    """

    name: ClassVar[str] = "cross_entropy"

    def value(self, above: tf.Tensor) -> tf.Tensor:
        return tf.math.softplus(tf.reduce_logsumexp(above, axis=1))


@dataclasses.dataclass(frozen=True)
class Margin(Loss):
    """The soft maximum of the other logits minus the target's.

    Attributes:
        units: sharpness of the soft maximum that the search follows, per margin at the image.
    """

    name: ClassVar[str] = "margin"
    adapts_weights: ClassVar[bool] = True
    units: float = 10.0

    def value(self, above: tf.Tensor) -> tf.Tensor:
        return tf.reduce_logsumexp(above, axis=1)

    def sharpness(self, gap: tf.Tensor) -> tf.Tensor:
        return self.units / gap


LOSSES = {loss.name: loss for loss in (CrossEntropy(), Margin())}


def find_loss(loss: Any) -> Loss:
    """Returns the loss of that name, or the loss given.

    Raises:
        TypeError: a loss of one's own without a name.
        ValueError: neither; a loss of one's own that does not give a number for each row.
    """
    if isinstance(loss, Loss):
        _check_own(loss)
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(
            f"`loss` must be one of {', '.join(map(repr, LOSSES))}, or an object of a subclass of "
            f"intriguing_tf.adversary.losses.Loss. Received: {loss!r}."
        )
    return LOSSES[loss]


def _check_own(loss: Loss) -> None:
    """Raises unless a loss has what the search asks of it, tried on two rows of three classes."""
    if not isinstance(getattr(loss, "name", None), str):
        raise TypeError(f"A loss must have a `name`, a string. Received: {type(loss).__name__}.")
    gap = tf.constant([2.0, -1.0])
    above = tf.constant([[-math.inf, 2.0, 1.0], [-1.0, -math.inf, -3.0]])
    for method, argument in (("value", above), ("sharpness", gap)):
        try:
            shape = np.shape(getattr(loss, method)(argument))
        except Exception:  # it is made for another dtype or number of classes
            continue  # or else the search raises the same
        if shape != (2,):
            raise ValueError(
                f"The `{method}` of a loss must have shape [n]. Received: shape {shape} from loss "
                f"{loss.name!r} for n=2 rows."
            )


def soft_maximum(above: tf.Tensor, sharpness: tf.Tensor, log_weights: tf.Tensor) -> tf.Tensor:
    """Returns log(sum_j w_j exp(b above_j)) / b for sharpness b [n] and weights w [n, classes]."""
    scores = sharpness[:, None] * above + log_weights
    return tf.reduce_logsumexp(scores, axis=1) / sharpness
