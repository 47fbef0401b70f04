import itertools

import numpy as np
import pytest
from scipy import stats

from intriguing_tf.units import cliffs_delta, holm, two_sample_test
from intriguing_tf.units.statistics import _error_of_alike, verdict


def dominance(x, y):
    return np.sign(np.subtract.outer(x, y))


@pytest.mark.parametrize("digits", [1, 8])  # with many ties, and with none
def test_delta_and_its_variance_are_cliffs(digits):
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.3, 1, 25).round(digits), rng.normal(0, 2, 40).round(digits)
    d = dominance(x, y)
    delta, n, m = d.mean(), 25, 40
    variance = (
        m**2 * np.sum((d.mean(1) - delta) ** 2)
        + n**2 * np.sum((d.mean(0) - delta) ** 2)
        - np.sum((d - delta) ** 2)
    ) / (n * m * (n - 1) * (m - 1))
    found, error = cliffs_delta(x, y)
    assert found == pytest.approx(delta)
    assert error == pytest.approx(np.sqrt(variance))
    u = stats.mannwhitneyu(x, y).statistic
    assert found == pytest.approx(2 * u / (n * m) - 1)


def test_delta_is_antisymmetric_and_one_when_apart():
    x, y = np.arange(5.0), np.arange(3.0) + 2
    assert cliffs_delta(x, y)[0] == pytest.approx(-cliffs_delta(y, x)[0])
    assert cliffs_delta(y + 10, x)[0] == 1
    assert cliffs_delta([2.0] * 4, [2.0] * 4)[0] == 0


@pytest.mark.slow
def test_equivalence_is_claimed_wrongly_as_often_as_alpha_says():
    """At a true delta of exactly the margin, TOST is right to be wrong 5 % of the time."""
    rng = np.random.default_rng(1)
    margin = 0.25
    shift = np.sqrt(2) * stats.norm.ppf((1 + margin) / 2)  # P(x > y) - P(x < y) = margin
    claims = [
        two_sample_test(rng.normal(shift, 1, 120), rng.normal(0, 1, 200), margin).p_equivalence
        < 0.05
        for _ in range(600)
    ]
    assert 0.03 <= np.mean(claims) <= 0.075


TIES = {"none": None, "five values": [0.3, 0.4, 0.2, 0.07, 0.03], "two values": [0.5, 0.5]}


@pytest.mark.slow
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("n, m, margin", [(100, 300, 0.2), (100, 2000, 0.147)])
def test_the_power_is_the_share_of_equal_populations_found_equivalent(n, m, margin, ties):
    rng = np.random.default_rng(2)

    def sample(size):
        values = TIES[ties]
        return rng.normal(size=size) if values is None else rng.choice(len(values), size, p=values)

    tests = [two_sample_test(sample(n), sample(m), margin) for _ in range(600)]
    found = np.mean([test.p_equivalence < 0.05 for test in tests])
    assert found == pytest.approx(np.mean([test.power for test in tests]), abs=0.05)
    assert 0.4 < found < 0.95


@pytest.mark.parametrize("values", [range(9), [0, 0, 1, 1, 1, 2, 3, 4, 4], [0] * 4 + [1] * 5])
def test_the_error_of_alike_samples_is_that_of_all_their_exchanges(values):
    """The variance of delta over all ways to divide nine values into four and five."""
    deltas = []
    for chosen in itertools.combinations(range(9), 4):
        x = np.take(values, chosen)
        deltas.append(dominance(x, np.delete(values, chosen)).mean())
    assert len(deltas) == 126
    found = _error_of_alike(np.array(values[:4]), np.array(values[4:]))
    assert found == pytest.approx(np.std(deltas), rel=1e-12)


def test_constants_are_always_found_alike():
    assert two_sample_test(np.ones(3), np.ones(3)).power == 1
    assert two_sample_test(np.ones(300_001), np.ones(7)).power == 1


@pytest.mark.slow
def test_the_difference_test_holds_its_level_with_ties():
    rng = np.random.default_rng(3)
    wrong = [
        two_sample_test(rng.integers(0, 4, 60), rng.integers(0, 4, 80)).p_difference < 0.05
        for _ in range(600)
    ]
    assert 0.03 <= np.mean(wrong) <= 0.07


def test_the_interval_and_the_equivalence_test_agree():
    rng = np.random.default_rng(4)
    for shift in (0.0, 0.2, 0.4):
        test = two_sample_test(rng.normal(shift, 1, 150), rng.normal(0, 1, 150), margin=0.3)
        assert (max(-test.low, test.high) < 0.3) == (test.p_equivalence < 0.05)


@pytest.mark.parametrize("n, m", [(4, 4), (4, 9), (200, 300)])
def test_samples_that_do_not_overlap_tell_no_more_than_their_number(n, m):
    test = two_sample_test(np.arange(n), n + np.arange(m), alpha=0.05)
    wilson = stats.binomtest(n, n).proportion_ci(0.9, method="wilson")
    assert (test.delta, test.low) == (-1, -1)
    assert test.high == pytest.approx(1 - 2 * wilson.low)
    assert (test.p_not_below < 0.05) == (test.low > -0.147)
    other = two_sample_test(np.random.default_rng(0).random(n), np.random.default_rng(1).random(m))
    assert test.power == other.power  # of samples that are alike
    assert (test.power > 0) == (n == 200)
    for alpha in (0.01, 0.2, 0.4):  # no p-value depends on the level
        again = two_sample_test(np.arange(n), n + np.arange(m), alpha=alpha)
        assert (again.p_not_above, again.p_not_below) == (test.p_not_above, test.p_not_below)
        assert (again.high < -0.147) == (1 - test.p_not_below > 1 - alpha) or again.high < -0.147
    mirrored = two_sample_test(n + np.arange(m), np.arange(n))
    assert mirrored.p_not_below == pytest.approx(test.p_not_above)


def test_few_samples_have_no_power():
    test = two_sample_test([1.0, 2.0, 3.0], [1.1, 2.1, 2.9])
    assert test.power == 0 and test.p_equivalence > 0.05 and test.p_difference > 0.05


def test_equal_constants_are_alike_and_different_ones_are_not():
    same = two_sample_test(np.ones(300), np.ones(300))
    assert same.delta == 0 and same.p_difference == 1 and same.p_equivalence < 0.001
    apart = two_sample_test(np.ones(30), np.zeros(30))
    assert apart.delta == 1 and apart.p_difference < 1e-6 and apart.p_equivalence > 0.999


def test_what_both_tests_found_in_words():
    found = [verdict(different, alike) for different in (True, False) for alike in (True, False)]
    assert found == ["different, but negligibly", "different", "equivalent", "undecided"]


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="p_values"):
        holm([0.5, np.nan])


@pytest.mark.parametrize(
    "arguments",
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, np.nan], [1.0, 2.0, 3.0]),
        ([[1.0]] * 3, [1.0] * 3),
    ],
)
def test_samples_that_cannot_be_tested_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 3 finite"):
        two_sample_test(*arguments)
    with pytest.raises(ValueError, match="margin"):
        two_sample_test([1.0] * 3, [1.0] * 3, margin=0)


def test_a_shifted_sample_is_shown_not_to_lie_on_the_other_side():
    rng = np.random.default_rng(5)
    test = two_sample_test(rng.normal(1, 1, 200), rng.normal(0, 1, 200))
    assert test.p_not_below < 1e-6 and test.p_not_above > 0.99
    assert test.p_equivalence == test.p_not_above
