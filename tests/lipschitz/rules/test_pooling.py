"""Rules of pooling on the map that the layer really has."""

from __future__ import annotations

import pytest
from keras import layers

from tests.lipschitz.small_networks import total


def test_pooling_counts_the_windows_that_the_map_really_has():
    assert total(layers.MaxPooling2D(3, 2), shape=(3, 3, 1)) == 1.0


def test_same_average_pooling_can_exceed_one():
    """TensorFlow divides by the pixels that lie on the map, so corners weigh more."""
    assert total(layers.AveragePooling2D(3, 1, "same"), shape=(2, 2, 1)) == pytest.approx(1.0)
    assert total(layers.AveragePooling1D(2, 1, "same"), shape=(3, 1)) > 1.0


@pytest.mark.parametrize("layer", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_channels_first_is_as_channels_last(layer):
    totals = [
        total(layer(3, 2, data_format=f"channels_{order}"), shape=shape)
        for order, shape in (("first", (3, 8, 7)), ("last", (8, 7, 3)))
    ]
    assert totals[0] == totals[1]
