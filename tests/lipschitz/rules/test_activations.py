"""Slopes of activations against difference quotients."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import activations
from scipy.special import erf

from intriguing_tf.lipschitz import NoBoundError
from intriguing_tf.lipschitz.rules.activations import SLOPES, activation_steps


@pytest.mark.parametrize("function", list(SLOPES), ids=lambda function: function.__name__)
def test_activations_stay_within_their_slopes_and_nearly_reach_them(function):
    """Difference quotients in float64, on a grid that is fine where the activations bend."""
    x = np.concatenate([np.linspace(-12, 12, 480_001), np.linspace(-0.01, 0.01, 101)])
    x = np.sort(x)
    y = np.asarray(function(keras.ops.convert_to_tensor(x, "float64")))
    steps = np.diff(x) > 1e-9
    slopes = np.diff(y)[steps] / np.diff(x)[steps]
    found = SLOPES[function]
    assert slopes.max() <= found.high * (1 + 1e-9)
    assert slopes.min() >= found.low - 1e-9
    assert slopes.max() >= 0.99 * found.bound


def test_slopes_of_smooth_activations_are_the_closed_forms_rounded_up():
    root = math.sqrt(2)
    gelu = 0.5 * (1 + erf(1)) + root * math.exp(-1) / math.sqrt(2 * math.pi)
    assert gelu < SLOPES[activations.gelu].high < gelu + 1e-7
    selu = 1.0507009873554805 * 1.6732632423543772
    assert selu < SLOPES[activations.selu].high < selu + 1e-6


def test_every_activation_of_keras_has_an_answer():
    names = set(dir(activations)) - {"get", "serialize", "deserialize"}
    functions = [getattr(activations, name) for name in names if not name.startswith("_")]
    assert len(functions) >= 30
    for function in functions:
        try:
            steps = activation_steps(function, (None, 4))
        except NoBoundError as error:
            assert "not Lipschitz" in str(error)
        else:
            assert all(step.norm().upper > 0 for step in steps)
