"""The table of rules: exact classes, rules of one's own, what they must return."""

from __future__ import annotations

import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from intriguing_tf.lipschitz import LayerBound, NoBoundError, bound, register, registry
from tests.lipschitz.small_networks import total


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


@pytest.mark.slow
def test_a_users_rule_wins_when_registered_before_the_first_bound_of_a_process():
    code = (
        "import keras, intriguing_tf as itf\n"
        "itf.lipschitz.register(keras.layers.Dense)(lambda *_: itf.lipschitz.LayerBound(7.0))\n"
        "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])\n"
        "print(itf.lipschitz.bound(model).total)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "7.0"


def test_a_users_rule_wins_after_the_first_bound_too(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_arguments", registry.known_arguments())
    assert total(layers.Rescaling(3.0)) == pytest.approx(3.0)
    register(layers.Rescaling)(lambda layer, input_shapes: LayerBound(7.0))
    registry.built_in(layers.Rescaling)(registry._built_in[layers.Rescaling])
    assert total(layers.Rescaling(3.0)) == 7.0


def test_an_operation_of_ones_own_is_registered_like_a_layer():
    class Tripling(keras.Operation):
        def call(self, x):
            return 3.0 * x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    x = keras.Input((4,))
    model = keras.Model(x, Tripling()(x))
    with pytest.raises(NoBoundError, match="Tripling"):
        bound(model)
    register(Tripling)(lambda layer, input_shapes: LayerBound(3.0))
    assert bound(model).total == 3.0


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
    for value in ("x", None, True, np.array([2.0]), 1j):
        with pytest.raises(TypeError, match="`bound` must be one number"):
            LayerBound(value)


def test_a_rule_in_float32_does_not_round_what_it_multiplies():
    factor = 1.015625

    class Scaled(layers.Layer):
        def call(self, inputs):
            return factor * inputs

    for dtype, weight in ((np.float32, 2.01979660987854), (tf.constant, 1.2345678)):
        weight = np.float32(weight)
        register(Scaled)(lambda *_, dtype=dtype: LayerBound(dtype(factor)))
        dense = layers.Dense(1)
        model = keras.Sequential([keras.Input((1,)), Scaled(), dense])
        dense.set_weights([np.array([[weight]]), np.zeros(1)])
        report = bound(model, "product")
        assert type(report.total) is float and report.total >= factor * float(weight)


@pytest.mark.parametrize("method", ["best", "quick", "product"])
def test_a_users_rule_for_sums_wins_over_what_is_known_of_sums(method, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_arguments", registry.known_arguments())
    x = keras.Input((4,))
    model = keras.Model(x, layers.Add()([x, layers.Dense(4, kernel_initializer="identity")(x)]))
    assert bound(model, method).total == pytest.approx(2.0)
    register(layers.Add)(lambda *_: LayerBound(5.0, combine="sum"))
    for domain in (None, (0, 1)):
        assert bound(model, method, domain=domain).total == pytest.approx(10.0)
