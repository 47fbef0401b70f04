"""Rules of normalization."""

from __future__ import annotations

import math

import pytest
from keras import layers

from tests.lipschitz.small_networks import total


def test_batch_normalization_is_the_steepest_channel():
    layer = layers.BatchNormalization(epsilon=1e-3)
    layer.build((None, 6, 6, 4))
    layer.gamma.assign([1.0, -8.0, 2.0, 0.5])
    layer.moving_variance.assign([1.0, 4.0, 0.01, 1.0])
    exact = max(8 / math.sqrt(4.001), 2 / math.sqrt(0.011))
    assert total(layer) == pytest.approx(exact, rel=1e-6)
