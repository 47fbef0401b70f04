"""Curvature pairs and the inverse Hessian that they tell of."""

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.adversary.lbfgs import Pairs, inverse_hessian

pytestmark = pytest.mark.processor

CURVATURE = np.geomspace(1, 50, 6)


def pairs_of(number, maxcor=3, n=2):
    """Pairs of random steps on a quadratic with that curvature, the newest pair last."""
    steps = np.random.default_rng(0).normal(size=(number, n, 6))
    pairs = Pairs.empty(tf.zeros([n, 6], tf.float64), maxcor)
    for step in steps:
        pairs = pairs.push(tf.constant(step), tf.constant(step * CURVATURE), tf.fill([n], True))
    return pairs, steps


@pytest.mark.parametrize("number", [1, 3, 5], ids="{} pairs in 3 places".format)
def test_the_newest_pair_meets_the_secant_equation(number):
    pairs, steps = pairs_of(number)
    newton = inverse_hessian(pairs, tf.ones([2, 6], tf.float64))
    found = newton(tf.constant(steps[-1] * CURVATURE)[:, None])[:, 0]
    np.testing.assert_allclose(found, steps[-1], rtol=1e-9)


def test_as_many_pairs_as_variables_give_the_inverse():
    pairs, _ = pairs_of(6, maxcor=6)
    vectors = np.tile(np.eye(6), (2, 1, 1))
    found = inverse_hessian(pairs, tf.ones([2, 6], tf.float64))(tf.constant(vectors)).numpy()
    np.testing.assert_allclose(found, found.swapaxes(1, 2), atol=1e-12)
    assert (np.linalg.eigvalsh(found) > 0).all()


def test_held_variables_do_not_move():
    pairs, _ = pairs_of(3)
    free = np.ones((2, 6))
    free[0, 2] = free[1, 4] = 0
    moved = inverse_hessian(pairs, tf.constant(free))(tf.ones([2, 1, 6], tf.float64))[:, 0]
    np.testing.assert_array_equal(moved.numpy() == 0, free == 0)


def test_dropped_pairs_are_forgotten_where_told():
    pairs, steps = pairs_of(3)
    newton = inverse_hessian(pairs.drop(tf.constant([True, False])), tf.ones([2, 6], tf.float64))
    vector = tf.constant(steps[-1] * CURVATURE)
    found = newton(vector[:, None])[:, 0].numpy()
    np.testing.assert_array_equal(found[0], vector[0])
    np.testing.assert_allclose(found[1], steps[-1][1], rtol=1e-9)
