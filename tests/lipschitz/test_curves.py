"""Slopes of secants, against many secants."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import activations

from intriguing_tf.lipschitz.rules.activations import SLOPES

CURVED = [function for function, slopes in SLOPES.items() if slopes.curve is not None]


@pytest.mark.parametrize("activation", CURVED, ids=lambda function: function.__name__)
def test_no_secant_within_reach_leaves_its_bounds_and_they_are_tight(activation):
    rng = np.random.default_rng(0)
    center, reach, error = rng.normal(size=(3, 500)) * [[3.0], [2.0], [0.1]]
    reach, error = np.abs(reach) + 0.01, np.abs(error)
    low, high = SLOPES[activation].secants(center, error, reach)
    least, largest = np.full(500, np.inf), np.full(500, -np.inf)
    for _ in range(300):
        start = center + error * rng.uniform(-1, 1, 500)
        end = start + reach * rng.choice([-1, 1], 500) * rng.uniform(0.01, 1, 500)
        values = [keras.ops.convert_to_numpy(activation(x)) for x in (start, end)]
        slopes = (values[1] - values[0]) / (end - start)
        least, largest = np.minimum(least, slopes), np.maximum(largest, slopes)
    assert np.all(low <= least + 1e-9) and np.all(largest - 1e-9 <= high)
    assert np.all(low >= SLOPES[activation].low) and np.all(high <= SLOPES[activation].high)
    spread = SLOPES[activation].high - SLOPES[activation].low
    assert np.mean((high - low) - (largest - least)) < 0.2 * spread


def test_the_slope_at_one_place_is_the_derivative():
    """Without reach or error both bounds are the derivative: sigmoid's is s(1 − s)."""
    places = np.linspace(-5, 5, 101)
    low, high = SLOPES[activations.sigmoid].secants(places, 0 * places, 0 * places)
    squashed = 1 / (1 + np.exp(-places))
    np.testing.assert_allclose(low, squashed * (1 - squashed), rtol=1e-6)
    np.testing.assert_allclose(high, low, rtol=1e-6)
