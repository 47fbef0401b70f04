"""Rows leave a batch when they are done, and come back in their order."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.adversary import batching
from intriguing_tf.adversary.batching import (
    padded,
    run_to_the_end,
    step_until,
    traced_once,
    whole_groups,
)
from intriguing_tf.adversary.rivals import EVERY


class Inner(NamedTuple):
    sum: tf.Tensor


class Countdown(NamedTuple):
    left: tf.Tensor
    inner: Inner
    done: tf.Tensor


@pytest.mark.parametrize("fixed_shapes", [False, True], ids=["any size", "few sizes"])
@pytest.mark.parametrize("n", [1, 7, 1100])
def test_every_row_is_advanced_to_its_own_end(n, fixed_shapes):
    steps = np.random.default_rng(n).integers(1, 30, n)
    sizes = []

    def step(state, rows):
        left = tf.where(state.done, state.left, state.left - 1)
        added = state.inner.sum + tf.where(state.done, tf.zeros_like(rows), rows)
        return Countdown(left, Inner(added), left == 0)

    @tf.function(autograph=False)
    def advance(state, rows, most_left, most_steps):
        if fixed_shapes:
            sizes.append(int(state.done.shape[0]))
        return step_until(lambda s: step(s, rows), state, most_left, most_steps)

    start = Countdown(tf.constant(steps), Inner(tf.zeros([n], tf.int64)), tf.fill([n], False))
    rows = tf.range(n, dtype=tf.int64)
    end = run_to_the_end(advance, start, rows, fixed_shapes)
    assert end.done.numpy().all()
    np.testing.assert_array_equal(end.inner.sum, steps * np.arange(n))
    if fixed_shapes:
        assert sizes == ([1100, 275] if n == 1100 else [n])


def test_padded_sizes_are_few():
    sizes = {padded(n) for n in range(1, 1025)}
    assert sizes == {1, 4, 16, 64, 256, 1024}
    assert all(padded(n) >= n for n in range(1, 1025)) and padded(64) == 64


@pytest.mark.parametrize(
    "groups, sizes",
    [([0, 1, 2, 3, 4], [4, 1]), ([0, 0, 0, 1, 1, 2], [3, 3]), ([0] * 6 + [1] * 3, [4, 2, 3])],
    ids=["single rows", "kept whole", "larger than a slice"],
)
def test_slices_divide_only_groups_that_are_larger(groups, sizes):
    slices = list(whole_groups(np.array(groups), 4))
    assert [each.stop - each.start for each in slices] == sizes
    assert np.concatenate([np.arange(len(groups))[each] for each in slices]).tolist() == list(
        range(len(groups))
    )


@pytest.mark.slow
def test_equal_steps_are_traced_once_and_others_again():
    traced = []

    @dataclasses.dataclass(frozen=True)
    class Decrement:
        by: int

        def __call__(self, state):
            traced.append(self.by)
            left = state.left - self.by
            return Countdown(left, state.inner, left <= 0)

    def searched(by):
        @tf.function(autograph=False)  # one for each search, as each has its network
        def advance(state, rows, most_left, most_steps):
            step = Decrement(by)
            return step_until(lambda s: traced_once(step, s), state, most_left, most_steps)

        n = 3 + by
        left = tf.fill([n], 7)
        start = Countdown(left, Inner(tf.zeros([n], tf.int64)), tf.fill([n], False))
        return run_to_the_end(advance, start, tf.range(n), fixed_shapes=False).left.numpy()

    assert (searched(1) == 0).all() and (searched(1) == 0).all() and (searched(3) == -2).all()
    assert traced == [1, 3]


@pytest.mark.parametrize("seconds", [1e-9, 1e9])
def test_rivals_are_compared_after_as_many_steps_however_long_these_take(seconds, monkeypatch):
    monkeypatch.setattr(batching, "_ASKING", seconds)
    asked, longest = [], []

    @tf.function(autograph=False)
    def advance(state, rows, most_left, most_steps):
        def step(s):
            left = tf.maximum(s.left - 1, 0)
            return Countdown(left, Inner(s.inner.sum + 1), left == 0)

        return step_until(step, state, most_left, most_steps)

    def behind(state, rows):
        asked.append(int(state.inner.sum[-1]))
        return tf.zeros_like(state.done)

    def stop():
        longest.append(len(asked))
        return False

    left = tf.constant([4, 13, 18, 22])
    start = Countdown(left, Inner(tf.zeros([4], tf.int64)), tf.fill([4], False))
    run_to_the_end(advance, start, tf.range(4), fixed_shapes=False, stop=stop, behind=behind)
    assert asked == [5, 10, 13, 18, 22]  # with half of the rows left, they start anew
    assert EVERY == 5 and (len(longest) == 22) == (seconds < 1)
