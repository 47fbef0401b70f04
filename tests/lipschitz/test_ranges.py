"""Intervals of every tensor, against what the model gives within the domain."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf import layers as own
from intriguing_tf.lipschitz import NoBoundError, bound
from intriguing_tf.lipschitz.graph import calls_of
from intriguing_tf.lipschitz.propagation import Ranges
from intriguing_tf.lipschitz.ranges import CENTER, DOMAIN, Range, range_of
from tests.lipschitz.small_networks import randomised

MAPS = (6, 5, 4)
LAYERS = [
    layers.Conv2D(3, 3, padding="same", activation="gelu"),
    layers.Conv2D(3, 3, strides=2, activation="hard_silu"),
    layers.DepthwiseConv2D(3, activation="silu"),
    layers.SeparableConv2D(3, 2, activation="tanh"),
    layers.Conv2DTranspose(2, 3, strides=2),
    layers.Dense(3, "elu"),
    layers.BatchNormalization(),
    layers.LayerNormalization(),
    layers.MaxPooling2D(2),
    layers.AveragePooling2D(3, 1, "same"),
    layers.GlobalAveragePooling2D(),
    layers.ZeroPadding2D(1),
    layers.LeakyReLU(0.3),
    layers.PReLU(),
    layers.Softmax(),
    layers.Rescaling(-2.0, 1.0),
    layers.UpSampling2D(2, interpolation="bilinear"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_what_the_layer_gives_lies_in_its_range(layer):
    rng = np.random.default_rng(0)
    x = keras.Input(MAPS)
    model = randomised(keras.Model(x, type(layer).from_config(layer.get_config())(x)))
    low = rng.normal(size=MAPS)
    high = low + rng.random(MAPS)
    found = range_behind(model, (low, high))
    share = rng.random((40, *MAPS))
    share[20:] = np.round(share[20:])
    values = model(low + share * (high - low)).numpy()
    center = model((low + high)[None] / 2).numpy()
    assert np.all(found.low[DOMAIN] <= values) and np.all(values <= found.high[DOMAIN])
    assert np.all(found.low[CENTER] <= center) and np.all(center <= found.high[CENTER])
    assert np.max(found.high[CENTER] - found.low[CENTER]) < 1e-2
    width = np.max(found.high[DOMAIN] - found.low[DOMAIN])
    assert width < 20 * np.max(np.ptp(values, axis=0))


def range_behind(model: keras.Model, domain) -> Range:
    """The range of the output of a model of one layer."""
    ranges = Ranges(model, domain)
    graph = calls_of(model)
    for call in graph.calls:
        ranges.rule_of(call)
    (found,) = ranges._needed(graph.outputs)
    return found


def test_a_tensor_that_moves_little_has_a_small_range():
    whole = range_of(np.full(4, -10.0), np.full(4, 10.0))
    assert whole.spread == pytest.approx(20.0)
    near = whole.within(1.0)
    assert near.high[DOMAIN] == pytest.approx(np.ones(4))
    assert near.low[DOMAIN] == pytest.approx(-np.ones(4))
    assert near.length([0])[0] == pytest.approx(1.0)


def test_behind_an_unknown_range_products_are_refused_and_slopes_stay():
    x = keras.Input((4, 4, 2))
    y = own.LocalContrastNormalization(size=3)(x)  # no bound of its rounding errors
    assert bound(keras.Model(x, layers.Activation("silu")(y)), domain=(0, 1)).total < np.inf
    with pytest.raises(NoBoundError, match="no range on the domain"):
        bound(keras.Model(x, ops.square(y)), domain=(0, 1))
