"""Loops over batches from which finished rows leave."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_SMALLEST_FIXED = 256  # below this a smaller batch saves less than compiling for it costs


def run_to_the_end(advance: Any, state: Any, rows: tuple, fixed_shapes: bool) -> Any:
    """Advances a batch until every row is done, going on with the unfinished rows only.

    Args:
        advance: a `tf.function` of `(state, rows, enough)` that steps until at most `enough` rows
            are left, and returns the state.
        state: a NamedTuple of tensors with one row per problem, with a bool field `done`.
        rows: tensors with one row per problem that do not change.
        fixed_shapes: every new batch size compiles anew (XLA), so sizes are few: they shrink by
            four, and not below 256.

    Returns:
        The state of all rows, in their order.
    """
    if not fixed_shapes:  # one trace then serves every batch size
        specs = tf.nest.map_structure(_any_rows, (state, rows))
        advance = advance.get_concrete_function(*specs, tf.TensorSpec([], tf.int32))
    size = int(state.done.shape[0])
    where = None  # rows of the whole state that the running state holds
    whole = state
    while True:
        enough = _next_size(size, fixed_shapes)
        state = advance(state, rows, tf.constant(enough, tf.int32))
        whole = state if where is None else _scatter(whole, where, state)
        left = int(tf.reduce_sum(tf.cast(~state.done, tf.int32)))
        if left == 0:
            return whole
        kept = tf.argsort(tf.cast(state.done, tf.int32), stable=True)[
            : enough if fixed_shapes else left
        ]
        where = kept if where is None else tf.gather(where, kept)
        state = type(state)(*(tf.gather(value, kept) for value in state))
        rows = tf.nest.map_structure(lambda value, kept=kept: tf.gather(value, kept), rows)
        size = int(state.done.shape[0])


def _next_size(size: int, fixed_shapes: bool) -> int:
    if fixed_shapes:
        return size // 4 if size // 4 >= _SMALLEST_FIXED else 0
    return size // 2


def _any_rows(value: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *value.shape[1:]], value.dtype)


def _scatter(whole: Any, where: tf.Tensor, part: Any) -> Any:
    return type(whole)(
        *(
            tf.tensor_scatter_nd_update(a, where[:, None], b)
            for a, b in zip(whole, part, strict=True)
        )
    )
