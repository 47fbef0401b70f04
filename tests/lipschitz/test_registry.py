"""The table of rules: exact classes, rules of one's own, what they must return."""

from __future__ import annotations

import math

import pytest
from keras import layers
from small_networks import total

from intriguing_tf.lipschitz import LayerBound, NoBoundError, register


class Doubling(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class Renamed(layers.Dense):
    pass


def test_an_unknown_layer_is_refused_by_name_until_it_is_registered():
    with pytest.raises(NoBoundError, match=r"doubling.*register"):
        total(Doubling(name="doubling"))
    with pytest.raises(NoBoundError, match="Renamed"):
        total(Renamed(3))

    class Registered(Doubling):
        pass

    @register(Registered)
    def rule(layer, input_shapes):
        assert input_shapes == [(None, 6, 6, 4)]
        return LayerBound(2.0, attained=2.0, how="definition")

    assert total(Registered()) == 2.0


def test_rules_must_return_bounds():
    class Wrong(Doubling):
        pass

    register(Wrong)(lambda layer, input_shapes: 2.0)
    with pytest.raises(TypeError, match="LayerBound"):
        total(Wrong())
    with pytest.raises(TypeError, match="Layer classes"):
        register(lambda x: x)
    for arguments in ({"bound": -1.0}, {"bound": math.nan}, {"bound": 1.0, "attained": 2.0}):
        with pytest.raises(ValueError, match="Received"):
            LayerBound(**arguments)
