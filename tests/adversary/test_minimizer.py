"""The batched L-BFGS against closed forms and SciPy, problem by problem."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from intriguing_tf.adversary import Minimizer, minimize

pytestmark = pytest.mark.processor


def quadratic(x, matrix, vector):
    """x.A x / 2 - b.x, row by row."""
    product = tf.einsum("nij,nj->ni", matrix, x)
    return tf.reduce_sum(x * (product / 2 - vector), axis=1), product - vector


def separable(x, curvature, center):
    change = x - center
    return tf.reduce_sum(curvature * change**2, axis=1) / 2, curvature * change


def rosenbrock(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2, axis=1)
    return value, tape.gradient(value, x)


def scipy_minima(function, x0, lower, upper):
    """SciPy's minimum of each problem alone; `function(x, i)` is problem i in NumPy."""
    bounds = scipy.optimize.Bounds(lower, upper)
    options = {"maxiter": 2000, "maxfun": 5000, "ftol": 1e-13, "gtol": 1e-8}
    return np.array(
        [
            scipy.optimize.minimize(
                function, x0[i], (i,), jac=True, method="L-BFGS-B", bounds=bounds, options=options
            ).fun
            for i in range(len(x0))
        ]
    )


def random_quadratics(n, size, condition, seed):
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.normal(size=(n, size, size)))[0]
    curvature = np.geomspace(1, condition, size)
    return basis * curvature @ basis.swapaxes(1, 2), random.normal(size=(n, size))


def projected_gradients(x, matrix, vector, lower, upper):
    """[n] the largest component; 0 is the first-order condition, which makes x the minimum."""
    gradient = np.einsum("nij,nj->ni", matrix, x) - vector
    return np.abs(np.clip(x - gradient, lower, upper) - x).max(axis=1)


def least_visible_gradients(x, matrix, vector, curvature):
    """[n] the projected gradients below which float64 values cannot show a decrease.

    A projected gradient p promises a decrease of p^2 / (2 curvature). The value is a sum of
    products whose rounding is at most (2 size + 2) eps times the sum of their sizes (Higham 2002,
    section 3.1).
    """
    products = np.einsum("nij,nj->ni", np.abs(matrix), np.abs(x))
    sizes = (np.abs(x) * (products / 2 + np.abs(vector))).sum(axis=1)
    rounding = (2 * x.shape[1] + 2) * np.finfo(np.float64).eps * sizes
    return np.sqrt(2 * curvature * rounding)


solve_quadratics = Minimizer(quadratic, ftol=0, gtol=1e-8, maxiter=3000)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("condition", [1, 100, pytest.param(1e4, marks=pytest.mark.slow)])
def test_quadratics_meet_gtol_or_say_that_no_decrease_is_left(condition, seed):
    matrix, vector = random_quadratics(12, 20, condition, seed)
    result = solve_quadratics(np.zeros((12, 20)), -0.3, 0.2, (matrix, vector))
    x, success, status = (a.numpy() for a in (result.x, result.success, result.status))
    assert ((x == -0.3) | (x == 0.2)).any(axis=1).all(), "the bounds should matter"
    assert ((x > -0.3) & (x < 0.2)).any()
    projected = projected_gradients(x, matrix, vector, -0.3, 0.2)
    assert (projected[success] <= 1e-8 + 1e-14 * condition).all()  # NumPy rounds otherwise
    assert (status[~success] == -1).all()
    assert all("precision" in result.message[i] for i in np.flatnonzero(~success))
    least = least_visible_gradients(x, matrix, vector, condition)
    assert (projected[~success] <= least[~success]).all()
    if condition == 1:
        assert success.all()


@pytest.mark.slow
def test_the_status_says_why_each_search_ended():
    matrix, vector = random_quadratics(3, 20, 100, seed=0)

    def ends(**options):
        result = minimize(
            quadratic, np.zeros((3, 20)), -0.3, 0.2, (matrix, vector), maxcor=2, **options
        )
        assert result.success.numpy().tolist() == [status > 0 for status in result.status.numpy()]
        return set(result.status.numpy()), set(result.message)

    assert ends(gtol=1e-4, ftol=0) == ({1}, {"the projected gradient is at most gtol"})
    assert ends(gtol=1e3) == ({1}, {"the projected gradient is at most gtol"})  # at the start
    assert ends(gtol=0, ftol=1e-3) == (
        {2}, {"the last step lowered the value by at most ftol"}
    )  # fmt: skip
    assert ends(gtol=0, ftol=0, maxiter=2) == ({0}, {"maxiter steps were taken"})
    assert ends(gtol=0, ftol=0)[0] == {-1}


@pytest.mark.slow
def test_separable_quadratics_have_the_clipped_center_as_minimum():
    random = np.random.default_rng(0)
    center, curvature = random.normal(size=(2, 30, 5))
    curvature = np.exp(curvature)
    upper = np.where(np.arange(5) == 2, np.inf, 0.7)
    result = minimize(
        separable, np.zeros((30, 5)), -0.5, upper, (curvature, center), ftol=0, gtol=1e-9
    )
    np.testing.assert_allclose(result.x, np.clip(center, -0.5, upper), atol=1e-8)
    assert result.success.numpy().all()


@pytest.mark.slow
@pytest.mark.parametrize("upper", [np.inf, 0.8, 2.0])
def test_rosenbrock_in_a_box_is_as_low_as_scipys(upper):
    x0 = np.random.default_rng(3).uniform(-0.9, 0.7, (8, 6))
    result = minimize(rosenbrock, x0, -1.0, upper, ftol=1e-13, gtol=1e-8, maxiter=2000)
    expected = scipy_minima(
        lambda x, i: (scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)), x0, -1.0, upper
    )
    # Some starts lead to a second local minimum; which one is chance for either method.
    lowest = min(expected.min(), result.fun.numpy().min())
    same = np.isclose(expected, lowest, rtol=1e-6, atol=1e-9)
    ours = np.isclose(result.fun, lowest, rtol=1e-6, atol=1e-9)
    assert ours.sum() >= same.sum() - 1 and ours.any()
    x = result.x.numpy()
    gradient = rosenbrock(tf.constant(x))[1].numpy()
    assert np.abs(np.clip(x - gradient, -1, upper) - x).max() < 1e-4


@pytest.mark.slow
def test_badly_scaled_problems_are_solved_as_well_as_by_scipy():
    random = np.random.default_rng(1)
    curvature = np.tile(np.geomspace(1e-3, 1e5, 12), (6, 1))
    center = random.normal(size=(6, 12))
    x0 = np.zeros((6, 12))
    options = {"ftol": 1e-13, "gtol": 1e-8, "maxiter": 2000}
    result = minimize(separable, x0, -1.0, 1.0, (curvature, center), **options)

    def alone(x, i):
        change = x - center[i]
        return (curvature[i] * change**2).sum() / 2, curvature[i] * change

    expected = scipy_minima(alone, x0, -1.0, 1.0)
    exact = (curvature * (np.clip(center, -1, 1) - center) ** 2).sum(1) / 2
    np.testing.assert_allclose(expected, exact, rtol=1e-4)
    np.testing.assert_allclose(result.fun, exact, rtol=1e-4)


@pytest.mark.slow
def test_rows_that_leave_the_batch_do_not_change_the_others():
    condition = [1, 1, 1, 1e4, 1, 1e3, 1, 1]
    parts = [random_quadratics(1, 15, c, seed=i) for i, c in enumerate(condition)]
    matrix, vector = (np.concatenate(each) for each in zip(*parts, strict=True))
    options = {"ftol": 0.0, "gtol": 1e-7, "maxiter": 2000}
    together = minimize(quadratic, np.zeros((8, 15)), -0.3, 0.3, (matrix, vector), **options)
    nit = together.nit.numpy()
    assert nit[3] > 3 * np.median(nit), "the hard problem should outlast the rest"
    assert (projected_gradients(together.x.numpy(), matrix, vector, -0.3, 0.3) < 1e-5).all()
    solve = Minimizer(quadratic, **options)
    for i in range(8):
        alone = solve(np.zeros((1, 15)), -0.3, 0.3, (matrix[i : i + 1], vector[i : i + 1]))
        np.testing.assert_allclose(alone.x[0], together.x[i], atol=1e-6)
        np.testing.assert_allclose(alone.fun[0], together.fun[i], rtol=1e-10)


@pytest.mark.slow
def test_a_row_that_is_not_finite_stops_where_it_is_and_the_others_go_on():
    def function(x, center, wall):
        value, gradient = separable(x, tf.ones_like(x), center)
        beyond = tf.reduce_max(x, axis=1) > wall
        return tf.where(beyond, tf.cast(np.nan, x.dtype), value), gradient

    center = np.full((4, 3), 2.0)
    wall = np.array([np.inf, -1.0, 0.5, np.inf])  # the second is not finite even at the start
    result = minimize(function, np.zeros((4, 3)), -5.0, 5.0, (center, wall))
    x = result.x.numpy()
    np.testing.assert_allclose(x[[0, 3]], 2.0, atol=1e-5)
    np.testing.assert_array_equal(x[1], 0.0)
    assert result.status.numpy()[1] == -2 and not result.success.numpy()[1]
    assert np.isfinite(x).all() and x[2].max() <= 0.5


def test_starting_points_outside_the_box_are_brought_in():
    matrix, vector = np.tile(np.eye(20), (12, 1, 1)), np.full((12, 20), 0.25)
    result = solve_quadratics(np.full((12, 20), 9.0), 0.0, 1.0, (matrix, vector))
    np.testing.assert_allclose(result.x, 0.25, atol=1e-6)


@pytest.mark.slow
def test_a_history_of_one_under_xla_gives_the_same_minima():
    matrix, vector = random_quadratics(5, 6, 10, seed=2)
    result = minimize(
        quadratic, tf.zeros([5, 6], tf.float64), -0.3, 0.2, (matrix, vector),
        ftol=0, gtol=1e-8, maxcor=1, jit_compile=True,
    )  # fmt: skip
    assert (projected_gradients(result.x.numpy(), matrix, vector, -0.3, 0.2) < 1e-6).all()


_solver = Minimizer(separable, ftol=0.0, gtol=1e-9)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_box_and_any_separable_quadratic(data):
    n, size = 3, 4

    def array(low, high):
        number = st.floats(low, high, width=32)
        values = data.draw(st.lists(number, min_size=n * size, max_size=n * size))
        return np.array(values).reshape(n, size)

    center, lower, width, start = array(-5, 5), array(-3, 3), array(0.125, 4), array(-6, 6)
    curvature = 10 ** array(-1, 1)
    result = _solver(start, lower, lower + width, (curvature, center))
    np.testing.assert_allclose(result.x, np.clip(center, lower, lower + width), atol=1e-6)
    assert (result.x >= lower).numpy().all() and (result.x <= lower + width).numpy().all()
