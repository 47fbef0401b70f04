"""Finds residual blocks where two branches of one tensor are added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intriguing_tf.lipschitz.chains import is_chainable_activation, linear_steps
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Axis
from intriguing_tf.lipschitz.operators import Block, operators_of
from intriguing_tf.lipschitz.steps import Diagonal, Matrix, Slopes, Step

# Floating-point operations that the certificate of one block may cost.
BLOCK_COST = 5e9
# Norms of layers, about, whose squares and products are far from under- and overflow.
MODERATE = 1e-10, 1e10


def block_of(branches: Sequence[Sequence[Step]]) -> Block | None:
    """Returns the sum of two branches of one tensor as a residual block.

    Args:
        branches: the folded steps of each. One is empty, or a matrix or convolution; the other
            alternates between these and activations with slopes in [0, b].

    Returns:
        `None` if they are none, or if bounding them as a whole would take too long.
    """
    if len(branches) != 2:
        return None
    shortcut, path = sorted(branches, key=len)
    layers = _layers(path)
    beside = [step for step in shortcut if isinstance(step, (Matrix, Convolution))]
    if len(shortcut) > 1 or len(beside) < len(shortcut) or layers is None:
        return None
    found = operators_of([beside, layers])
    if found is None or not all(map(_is_moderate, [*beside, *layers])):
        return None
    (own, others), shape = found
    block = Block(others, own[0] if own else None, shape)
    return block if block.cost <= BLOCK_COST else None


def _layers(path: Sequence[Step]) -> list[Matrix | Convolution] | None:
    """The linear layers of a branch that alternates with activations, slopes moved into them."""
    steps = list(path)
    if steps and isinstance(steps[0], Slopes):
        steps.insert(0, Diagonal(np.array(1.0)))
    if len(steps) < 3 or len(steps) % 2 == 0:
        return None
    if isinstance(steps[0], Diagonal):
        first = _spelled_out(steps[0], steps[2])
        if first is None:
            return None
        steps[0] = first
    if not all(map(is_chainable_activation, steps[1::2])) or not all(map(_multiplies, steps[::2])):
        return None
    return linear_steps(steps)


def _multiplies(step: Step) -> bool:
    return isinstance(step, (Matrix, Convolution)) and step.chainable


def _is_moderate(step: Step) -> bool:
    return MODERATE[0] < step.magnitude() < MODERATE[1]


def _spelled_out(diagonal: Diagonal, following: Step) -> Matrix | Convolution | None:
    """Factors per channel as an operator of the kind of the next one, on its input."""
    if isinstance(following, Matrix):
        size = following.weights.shape[1]
        return Matrix(np.eye(size)).scaled(after=diagonal)
    if not isinstance(following, Convolution) or following.transposed:
        return None
    axes = tuple(Axis(axis.size, axis.size, 1) for axis in following.axes)
    kernel = np.eye(following.inputs)[(None,) * len(axes)]
    return Convolution(kernel, axes).scaled(after=diagonal)
