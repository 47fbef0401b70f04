"""A copy in float64 that is another function than the model is not followed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz import LayerBound, bound, certified_radius, copies, register
from intriguing_tf.lipschitz.evaluation import EvaluatedCall
from intriguing_tf.lipschitz.graph import calls_of


class Scaled(layers.Layer):
    """Times a number that its configuration does not have."""

    scale = 1.0

    def call(self, x):
        return x * self.scale


@register(Scaled)
def scaled(layer, input_shapes):
    return LayerBound(layer.scale, rounding=4.0)


def model_of(*kinds):
    return keras.Sequential([keras.Input((1,)), *kinds])


def shifted():
    """sigmoid(x − 8), where the configuration says sigmoid(x)."""
    normalization = layers.Normalization(mean=0.0, variance=1.0)
    model = model_of(normalization, layers.Activation("sigmoid"))
    normalization.mean = tf.constant([[8.0]])
    return model


def test_a_setting_that_was_changed_is_refused_on_a_domain():
    """Followed, sigmoid(x) on (7, 9) would be bounded by 0.0009; the model reaches 1/4."""
    with pytest.raises(ValueError, match=r"'normalization\w*' in float64 .* constructor"):
        bound(shifted(), domain=(7.0, 9.0), verbose=False)


def test_without_a_domain_the_model_itself_is_compared_with_its_bound():
    layer = Scaled()
    model = model_of(layer)
    layer.scale = 0.1
    assert bound(model, verbose=False).total == pytest.approx(0.1, rel=1e-6)
    with pytest.raises(ValueError, match="computes something else"):
        certified_radius(model, np.ones((1, 1)), verbose=False)


def test_layers_are_compared_one_by_one():
    """At the end nothing is seen of a factor 1.001: in float32, x + 10⁶ − 10⁶ hides it."""
    layer, up, down = Scaled(), layers.Dense(1), layers.Dense(2)
    model = model_of(layer, up, down)
    up.set_weights([np.ones((1, 1)), np.array([1e6])])
    down.set_weights([np.array([[1.0, 0.0]]), np.array([-1e6, 0.0])])
    layer.scale = 1.001
    with pytest.raises(ValueError, match=r"'scaled\w*' in float64"):
        certified_radius(model, np.ones((1, 1)), verbose=False)


def test_numbers_too_large_for_float32_are_not_compared():
    dense = layers.Dense(1)
    model = model_of(dense)
    (own,), (copied,) = calls_of(model).calls, calls_of(float64_copy(model)).calls
    dense.bias.assign([1.0])
    for size in (1e16, 1.0):
        tensors = [np.full((1, 1), size, np.float32)]
        if size > 1:
            copies.run_compared(own, EvaluatedCall(copied), tensors)
        else:
            with pytest.raises(ValueError, match="computes something else"):
                copies.run_compared(own, EvaluatedCall(copied), tensors)
