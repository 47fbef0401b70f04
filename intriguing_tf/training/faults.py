"""What goes wrong within compiled steps: noted there, and raised between them."""

from __future__ import annotations

from collections.abc import Iterable

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

    def forget(self) -> int:
        """Returns the step that was noted, or -1, and notes from here on."""
        step = int(self._step.numpy())
        if step != NONE:
            self._step.assign(NONE)
        return step

    def said_of(self, step: int, model: str) -> str:
        """Returns in words what was wrong with a step of a model of this name."""
        return self._message.format(step=step, model=model)


def raise_first(faults: Iterable[Fault], model: str) -> None:
    """Raises the earliest of what was noted, and forgets all of it: what follows may be right.

    Args:
        faults: of two that were noted in one step, the first is raised.
        model: its name, for the message.

    Raises:
        ValueError: as said.
    """
    noted = [(fault.forget(), fault) for fault in faults]
    noted = [(step, fault) for step, fault in noted if step != NONE]
    if noted:
        step, fault = min(noted, key=lambda each: each[0])
        raise ValueError(fault.said_of(step, model))
