"""Numbers in few digits claim no more than was proven."""

import math

import numpy as np
import pytest

from intriguing_tf.digits import percent, percent_down, percent_up, rounded_down, rounded_up


def test_shares_that_few_digits_say_exactly_stay_in_any_direction():
    for count in range(1001):
        text = f"{count // 10}.{count % 10}%"
        for share in (count / 1000, 3 * count / 3000, np.repeat([1, 0], [count, 1000 - count])):
            share = float(np.mean(share))
            assert percent_down(share) == percent_up(share) == percent(share) == text


@pytest.mark.parametrize(
    ("share", "down", "nearest", "up"),
    [
        (2999 / 3000, "99.9%", "99.9%", "100.0%"),
        (1 / 3000, "0.0%", "0.1%", "0.1%"),
        (22 / 32, "68.7%", "68.8%", "68.8%"),
        (213 / 256, "83.2%", "83.2%", "83.3%"),
        (np.float32(0.5), "50.0%", "50.0%", "50.0%"),
        (1e-12, "0.0%", "0.1%", "0.1%"),
    ],
)
def test_a_share_is_rounded_as_it_was_proven(share, down, nearest, up):
    assert (percent_down(share), percent(share), percent_up(share)) == (down, nearest, up)


def test_decimals_of_shares():
    assert percent(0.296, 0) == "30%"
    assert (percent(0.996, 0), percent(0.001, 0)) == ("99%", "1%")
    assert percent_down(0.97455, 2) == "97.45%"


def test_digits_of_bounds_go_one_way():
    assert (rounded_down(0.12349), rounded_up(0.12341)) == (0.1234, 0.1235)
    assert (rounded_down(246.499, 3), rounded_up(246.401, 3)) == (246, 247)
    assert (rounded_down(0.3), rounded_up(0.3), rounded_up(1.0 + 2**-40)) == (0.3, 0.3, 1.001)
    for value in (0.0, math.inf):
        assert rounded_down(value) == rounded_up(value) == value
    assert math.isnan(rounded_up(math.nan))
    for value in np.random.default_rng(0).uniform(0, 9, 50):
        assert float(f"{rounded_down(value):.4g}") <= value <= float(f"{rounded_up(value):.4g}")
