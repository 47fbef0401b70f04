"""Margins by their definition."""

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.adversary.margins import above_target, besides, hard_margins

pytestmark = pytest.mark.processor

LOGITS = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
CLASSES = np.arange(30) % 6


def test_hard_margins_are_the_largest_other_logit_minus_the_targets():
    expected = [
        np.delete(row, target).max() - row[target]
        for row, target in zip(LOGITS, CLASSES, strict=True)
    ]
    np.testing.assert_array_equal(hard_margins(LOGITS, CLASSES), expected)
    wins = hard_margins(LOGITS, CLASSES) < 0
    np.testing.assert_array_equal(wins, LOGITS.argmax(1) == CLASSES)
    assert wins.any() and not wins.all()


def test_tensors_have_the_same_margins_to_the_bit():
    above = above_target(tf.constant(LOGITS), tf.constant(CLASSES)).numpy()
    assert np.isneginf(above[np.arange(30), CLASSES]).all()
    np.testing.assert_array_equal(above.max(axis=1), hard_margins(LOGITS, CLASSES))


def test_besides_replaces_one_class_of_each_row():
    replaced = besides(LOGITS, CLASSES, np.inf)
    changed = replaced != LOGITS
    np.testing.assert_array_equal(changed.sum(axis=1), 1)
    np.testing.assert_array_equal(replaced.argmax(axis=1), CLASSES)
