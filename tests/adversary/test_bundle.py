"""The bundle's dual on quadratic programmes whose solution is known."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.adversary.bundle import nearest_point, nonnegative_multipliers
from tests.adversary.networks import confirm, points, small_network

pytestmark = pytest.mark.processor


def test_multipliers_are_those_of_nonnegative_least_squares():
    random = np.random.default_rng(0)
    factors = random.normal(size=(5, 6, 20))
    factors[:, 4] = factors[:, 3] + 1e-3 * factors[:, 4]  # nearly parallel cuts
    factors[:, 5] = 0  # an empty place
    aims = random.normal(size=(5, 20))
    gram = factors @ factors.transpose(0, 2, 1)
    demand = (factors @ aims[..., None])[..., 0]
    found = nonnegative_multipliers(tf.constant(gram), tf.constant(demand)).numpy()
    assert (found >= 0).all() and (found[:, 5] == 0).all()
    for f, a, w in zip(factors, aims, found, strict=True):
        exact, least = scipy.optimize.nnls(f.T, a)
        assert np.linalg.norm(f.T @ w - a) <= least * (1 + 1e-6)
        np.testing.assert_allclose(f.T @ w, f.T @ exact, atol=1e-3)


def test_the_nearest_point_below_two_cuts_in_a_box():
    gradients = np.array([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]])
    values = np.array([[1.0, 1.0, 0.0]])  # r_0 <= -1 and r_1 <= -1/2
    zeros = np.zeros((1, 3))
    r, weights = nearest_point(
        *map(tf.constant, (gradients, values, zeros, np.array([0.0]), zeros)),
        tf.constant(zeros - 5), tf.constant(zeros + 5),
    )  # fmt: skip
    np.testing.assert_allclose(r, [[-1.0, -0.5, 0.0]], atol=1e-5)
    np.testing.assert_allclose(weights, [[2.0, 0.5, 0.0]], atol=1e-4)  # 2 r + sum w g = 0


def test_a_bound_that_holds_a_variable_leaves_the_rest_to_the_others():
    gradients, values = np.ones((1, 1, 2)), np.array([[1.0]])  # r_0 + r_1 <= -1
    zeros = np.zeros((1, 2))
    r, _ = nearest_point(
        *map(tf.constant, (gradients, values, zeros, np.array([0.0]), np.zeros((1, 1)))),
        tf.constant([[-0.1, -5.0]], tf.float64), tf.constant(zeros + 5),
    )  # fmt: skip
    np.testing.assert_allclose(r, [[-0.1, -0.9]], atol=1e-5)


@pytest.mark.slow
def test_on_a_network_with_kinks_it_comes_nearer():
    model = small_network(size=40, hidden=60, activation="relu", seed=4)
    x = points(24, size=40)
    distances = {}
    for share in (0.7, 1.0):
        constants = itf.adversary.SearchConstants(bundle_after=share)
        attack = itf.LBFGSAdversary(model, maxfun=60, constants=constants, jit_compile=False)
        result = attack(x, targets=(model.predict(x, verbose=0).argmax(1) + 1) % 4)
        confirm(model, result)
        distances[share] = result.l2.mean()
    assert distances[0.7] <= distances[1.0]
