"""Batches: how many images fit into one, what pads it, and how solved rows leave it."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.rivals import EVERY
from intriguing_tf.adversary.settings import AttackSettings

_LARGEST_BATCH = 1024
_ASKING = 0.25  # seconds between questions whether to stop
_SMALLEST_FIXED = 256  # below this a smaller batch saves less than compiling for it costs


def batch_size(problem: Problem, settings: AttackSettings) -> int:
    """Returns how many images go into a batch, for the memory allowed."""
    history = 6 * settings.maxcor + 24  # vectors of an image's size that the search keeps or makes
    per_row = history * problem.size * problem.dtype.size + _bytes_per_row(problem)
    return max(1, min(_LARGEST_BATCH, settings.memory // per_row))


def _bytes_per_row(problem: Problem) -> int:
    """Estimates the memory that one gradient evaluation of one row takes, in bytes.

    The sum over the tensors of the traced forward pass, twice (values and their gradients).
    """
    total = 0
    for operation in problem.graph.get_operations():
        for tensor in operation.outputs:
            shape = tensor.shape
            if shape.rank and shape[0] is None and None not in shape[1:].as_list():
                total += math.prod(shape[1:]) * tensor.dtype.size
    return 2 * total


def whole_groups(groups: np.ndarray, size: int) -> Iterator[slice]:
    """Yields slices of at most `size` rows that divide only groups larger than that.

    Args:
        groups: int [n] the group of each row; rows of a group follow each other.
        size: most rows of a slice.
    """
    start = 0
    while start < len(groups):
        end = start + size
        if end < len(groups) and groups[end] == groups[end - 1] != groups[start]:
            end = start + int(np.argmax(groups[start:end] == groups[end]))
        yield slice(start, min(end, len(groups)))
        start = end


def padded(n: int) -> int:
    """Returns the next power of four, so that XLA compiles for few batch sizes."""
    return 4 ** math.ceil(math.log(n, 4) - 1e-9)


def run_to_the_end(
    advance: Any,
    state: Any,
    rows: tuple,
    fixed_shapes: bool,
    stop: Callable[[], bool] = lambda: False,
    behind: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """Advances a batch until every row is done, the unfinished rows alone once others are.

    Args:
        advance: a `tf.function` of `(state, rows, most_left, most_steps)` that steps until at most
            `most_left` rows are left or `most_steps` steps were taken, and returns the state.
        state: a NamedTuple of tensors, or of such tuples, with one row per problem, and with a
            bool field `done`.
        rows: tensors with one row per problem that do not change.
        fixed_shapes: every new batch size is compiled (XLA), so sizes are few: they shrink by
            four, and not below 256.
        stop: asked a few times a second; once it says so, the state comes back as it is then.
        behind: asked with `(state, rows)` each `EVERY` steps, however many are taken at once: which
            rows need not go on.

    Returns:
        The state of all rows, in their order.
    """
    if not fixed_shapes:  # one trace then serves every batch size
        specs = tf.nest.map_structure(_any_rows, (state, rows))
        advance = advance.get_concrete_function(*specs, *[tf.TensorSpec([], tf.int32)] * 2)
    where = None  # rows of the whole state that the running state holds
    whole, steps, unasked = state, 1, EVERY
    while True:
        most_left = _next_size(int(state.done.shape[0]), fixed_shapes)
        left = stopped = None
        while left is None or (left > most_left and not stopped):
            started = time.perf_counter()
            taken = steps if behind is None else min(steps, unasked)
            state = advance(
                state, rows, tf.constant(most_left, tf.int32), tf.constant(taken, tf.int32)
            )
            left = _rows_left(state)
            unasked -= taken
            if behind is not None and (not unasked or left <= most_left):
                state = state._replace(done=state.done | behind(state, rows))
                left, unasked = _rows_left(state), EVERY
            share = _ASKING / max(time.perf_counter() - started, 1e-6)
            steps = min(max(1, int(taken * min(share, 4))), 10**6)
            stopped = stop()
        whole = state if where is None else _scatter(whole, where, state)
        if left == 0 or stopped:
            return whole
        kept = tf.argsort(tf.cast(state.done, tf.int32), stable=True)[
            : most_left if fixed_shapes else left
        ]
        where = kept if where is None else tf.gather(where, kept)
        state, rows = tf.nest.map_structure(
            lambda value, kept=kept: tf.gather(value, kept), (state, rows)
        )


def _rows_left(state: Any) -> int:
    return int(tf.reduce_sum(tf.cast(~state.done, tf.int32)))


def step_until(step: Any, state: Any, most_left: tf.Tensor, most_steps: tf.Tensor) -> Any:
    """Steps a state in one loop of TensorFlow until at most `most_left` rows are left.

    Or until `most_steps` steps were taken.
    """
    return tf.while_loop(
        lambda taken, state: (
            (taken < most_steps) & (tf.reduce_sum(tf.cast(~state.done, tf.int32)) > most_left)
        ),
        lambda taken, state: (taken + 1, step(state)),
        (tf.constant(0, tf.int32), state),
        parallel_iterations=1,
    )[1]


def traced_once(step: Callable[..., Any], state: Any, *arguments: Any) -> Any:
    """Returns `step(state, *arguments)`, of one trace for all searches with an equal step.

    Tracing takes longer than most searches, and only the network differs between them. Where the
    number of rows is known, as for XLA, which compiles for it, the step is part of the caller's
    graph.

    Args:
        step: a function of tensors that can be hashed, and refers to no model.
        state: with the field `done` of the rows.
    """
    if state.done.shape[0] is None:
        step = _traced(step)
    return step(state, *arguments)


@functools.lru_cache(maxsize=32)
def _traced(step: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(step, autograph=False)


def _next_size(size: int, fixed_shapes: bool) -> int:
    if fixed_shapes:
        return size // 4 if size // 4 >= _SMALLEST_FIXED else 0
    return size // 2


def _any_rows(value: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *value.shape[1:]], value.dtype)


def _scatter(whole: Any, where: tf.Tensor, part: Any) -> Any:
    return tf.nest.map_structure(
        lambda a, b: tf.tensor_scatter_nd_update(a, where[:, None], b), whole, part
    )
