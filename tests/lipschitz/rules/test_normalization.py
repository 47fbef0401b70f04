"""Rules of normalization."""

from __future__ import annotations

import math

import numpy as np
import pytest
from keras import layers

from intriguing_tf.lipschitz import NoBoundError, bound, certified_radius
from tests.lipschitz.small_networks import sequential, total


def test_batch_normalization_is_the_steepest_channel():
    layer = layers.BatchNormalization(epsilon=1e-3)
    layer.build((None, 6, 6, 4))
    layer.gamma.assign([1.0, -8.0, 2.0, 0.5])
    layer.moving_variance.assign([1.0, 4.0, 0.01, 1.0])
    exact = max(8 / math.sqrt(4.001), 2 / math.sqrt(0.011))
    assert total(layer) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    "layer",
    [layers.LayerNormalization(axis=1), layers.GroupNormalization(-1, axis=-1)],
    ids=["layer", "group"],
)
def test_a_single_number_less_its_mean_is_rounding_alone(layer):
    shape = (1, 3) if isinstance(layer, layers.LayerNormalization) else (3,)
    model = sequential(shape, layer, layers.Flatten(), layers.Dense(2))
    assert bound(model, verbose=False).total < 1e-12
    with pytest.raises(NoBoundError, match="no bound of its rounding errors"):
        certified_radius(model, np.ones((1, *shape), "float32"), verbose=False)
