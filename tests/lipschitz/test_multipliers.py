"""The recursion of a chain and its gradient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from intriguing_tf.lipschitz.multipliers import Recursion, optimize, through


@pytest.mark.parametrize("frequencies", [1, 5])
def test_gradient_of_the_multipliers_is_the_difference_quotient(frequencies):
    rng = np.random.default_rng(0)
    sizes = [3, 5, 4, 2]
    stages = [
        rng.normal(size=(frequencies, n, 1, m, 2)) @ [1, 1j if frequencies > 1 else 0]
        for m, n in itertools.pairwise(sizes)
    ]
    recursion = Recursion(stages, sharpness=1e9)
    point = [0.3 * rng.normal(size=n) for n in sizes[1:-1]]
    shares = [0.4, -0.3]

    def value(scales, shares):
        return recursion.gradient(recursion.forward(scales, shares), scales, shares)

    _, by_scale, by_share = value(point, shares)
    step = 1e-6
    for i, j in ((0, 1), (1, 3)):
        up, down = ([p.copy() for p in point] for _ in range(2))
        up[i][j] += step
        down[i][j] -= step
        quotient = (value(up, shares)[0] - value(down, shares)[0]) / (2 * step)
        assert by_scale[i][j] == pytest.approx(quotient, abs=1e-6)
        up_share, down_share = list(shares), list(shares)
        up_share[i] += step
        down_share[i] -= step
        quotient = (value(point, up_share)[0] - value(point, down_share)[0]) / (2 * step)
        assert by_share[i] == pytest.approx(quotient, abs=1e-6)


def test_optimized_multipliers_beat_eclipse_fast():
    rng = np.random.default_rng(0)
    stages = [rng.normal(size=(1, 30, 1, 30)) / 5 for _ in range(3)]
    recursion = Recursion(stages)
    assert recursion.largest(optimize(recursion, 60)) < 0.8 * recursion.largest(
        optimize(recursion, 0)
    )


def test_one_hidden_layer_with_one_unit_is_exact():
    """M₁ = λ(1 − λ w²/4) is largest at λ = 2/w²: L = |v||w|, the exact constant."""
    stages = [np.array([[[[3.0]]]]), np.array([[[[2.0]]]])]
    recursion = Recursion(stages)
    assert recursion.largest([np.array([2 / 9])]) == pytest.approx(36.0)
    assert recursion.largest([np.array([1.0])]) == np.inf
    assert through(stages[0], None)[0, 0, 0] == 9.0


@pytest.mark.parametrize("size", [1e200, 1e-200, np.nan], ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_floating_point_cannot_hold_has_no_multipliers(size):
    stages = [size * np.ones((1, 3, 1, 2)), np.ones((1, 2, 1, 3))]
    assert optimize(Recursion(stages), 5) is None
