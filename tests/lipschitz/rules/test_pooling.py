"""Rules of pooling on the map that the layer really has."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from intriguing_tf.lipschitz import bound
from tests.lipschitz.small_networks import total


def test_pooling_counts_the_windows_that_the_map_really_has():
    assert total(layers.MaxPooling2D(3, 2), shape=(3, 3, 1)) == 1.0


def test_same_average_pooling_can_exceed_one():
    """TensorFlow divides by the pixels that lie on the map, so corners weigh more."""
    assert total(layers.AveragePooling2D(3, 1, "same"), shape=(2, 2, 1)) == pytest.approx(1.0)
    assert total(layers.AveragePooling1D(2, 1, "same"), shape=(3, 1)) > 1.0


def test_channels_first_is_refused():
    model = keras.Sequential(
        [keras.Input((3, 8, 8)), layers.MaxPooling2D(data_format="channels_first")]
    )
    with pytest.raises(ValueError, match="channels_last"):
        bound(model)
