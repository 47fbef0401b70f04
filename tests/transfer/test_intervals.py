import numpy as np
import pytest
from scipy import stats

from intriguing_tf.transfer import error_interval, mean_interval


@pytest.mark.slow
def test_error_interval_is_the_limit_of_the_bootstrap():
    wrong = np.r_[np.ones(30), np.zeros(226)]
    expected = stats.bootstrap(
        (wrong,), np.mean, n_resamples=50_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    low, high = error_interval(30, 256)
    assert low == pytest.approx(expected.low, abs=1 / 256)
    assert high == pytest.approx(expected.high, abs=1 / 256)


def test_none_or_all_misclassified_give_the_exact_bound():
    low, high = error_interval([0, 128], 128)
    exact = [stats.binomtest(w, 128).proportion_ci(method="exact") for w in (0, 128)]
    np.testing.assert_allclose(low, [e.low for e in exact])
    np.testing.assert_allclose(high, [e.high for e in exact])


def test_mean_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        low, high = mean_interval(rng.exponential(size=60), resamples=400, seed=i)
        covered += low <= 1 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_mean_interval_repeats_by_seed():
    values = np.random.default_rng(1).normal(size=100)
    assert mean_interval(values, seed=5) == mean_interval(values, seed=5)
    assert mean_interval(values, seed=5) != mean_interval(values, seed=6)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.inf], [[1.0, 2.0]]])
def test_values_that_have_no_interval_are_refused(values):
    with pytest.raises(ValueError, match="at least 2 finite"):
        mean_interval(values)
