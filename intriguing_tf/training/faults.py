"""What goes wrong within compiled steps: noted there, and raised between them."""

from __future__ import annotations

import keras
import tensorflow as tf

NONE = -1  # no such step
LABELS = "Labels of step {step} "  # and what is said of them
NOT_FINITE = (
    "The loss of {model!r} is not finite in step {step}: the learning rate or a penalty's weight "
    "is too large, or the data is not finite."
)
OUTSIDE = (
    "Images of step {step} lie outside the bounds of their pool. Scale the images, or give "
    "`AdversarialPool` its `bounds`."
)


class Fault:
    """Something that may be wrong with a step, within which nothing can be raised.

    Args:
        step: variable, the first step where it was; -1: none.
        message: of the error, with "{step}" in it, and perhaps "{model}".
    """

    def __init__(self, step: keras.Variable, message: str):
        self._step, self._message = step, message

    def note(self, wrong: tf.Tensor, step: tf.Tensor) -> None:
        """Notes a step, counted from 1, if something was wrong; bool scalar."""
        first = wrong & (self._step.value == NONE)
        self._step.assign(tf.where(first, step, self._step.value))

    def check(self, model: str) -> None:
        """Raises if a step was noted, and forgets it: what follows may be right.

        Args:
            model: its name, for the message.

        Raises:
            ValueError: as said.
        """
        step = int(self._step.numpy())
        if step != NONE:
            self._step.assign(NONE)
            raise ValueError(self._message.format(step=step, model=model))
