"""Slopes of activations against difference quotients."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import activations
from scipy.special import erf

from intriguing_tf.lipschitz import NoBoundError, bound, certified_radius
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


EXACT = {
    "max 0": (lambda x: keras.layers.ReLU(max_value=0.0)(x), 0.0),
    "max 0, slope": (lambda x: keras.layers.ReLU(max_value=0.0, negative_slope=0.25)(x), 0.25),
    "slope": (lambda x: keras.layers.LeakyReLU(negative_slope=1.5)(x), 1.5),
    "alpha": (lambda x: keras.layers.ELU(alpha=1.1)(x), 1.1),
    "clip": (lambda x: keras.ops.clip(x, 0.5, 0.5), 0.0),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_attained_is_not_above_the_truth(name):
    function, exact = EXACT[name]
    x = keras.Input((3,))
    row = bound(keras.Model(x, function(x)), verbose=False).rows[0]
    assert exact * (1 - 1e-6) <= row.attained <= exact <= row.bound


ODD = {
    "slope NaN": lambda x: keras.layers.LeakyReLU(negative_slope=math.nan)(x),
    "slope inf": lambda x: keras.layers.ReLU(negative_slope=math.inf)(x),
    "max NaN": lambda x: keras.layers.ReLU(max_value=math.nan)(x),
    "alpha NaN": lambda x: keras.layers.ELU(alpha=math.nan)(x),
    "alpha of elu NaN": lambda x: keras.ops.elu(x, math.nan),
    "alpha inf": lambda x: keras.ops.celu(x, math.inf),
    "b inf": lambda x: keras.ops.squareplus(x, math.inf),
    "threshold inf": lambda x: keras.ops.soft_shrink(x, math.inf),
    "clip NaN": lambda x: keras.ops.clip(x, math.nan, 1.0),
    "clip turned": lambda x: keras.ops.clip(x, 1.0, 0.0),
    "two axes": lambda x: keras.ops.log_softmax(keras.ops.expand_dims(x, 2), axis=(1, 2)),
    "no weights yet": keras.layers.Dense(4, keras.layers.LayerNormalization()),
}


@pytest.mark.parametrize("name", ODD)
def test_arguments_of_which_the_theorem_does_not_speak_are_refused(name):
    x = keras.Input((3,))
    with pytest.raises(NoBoundError):
        bound(keras.Model(x, ODD[name](x)), verbose=False)


def test_slopes_of_smooth_activations_are_the_closed_forms_rounded_up():
    root = math.sqrt(2)
    gelu = 0.5 * (1 + erf(1)) + root * math.exp(-1) / math.sqrt(2 * math.pi)
    assert gelu < SLOPES[activations.gelu].high < gelu + 1e-7
    selu = 1.0507009873554805 * 1.6732632423543772
    assert selu < SLOPES[activations.selu].high < selu + 1e-6
    assert SLOPES[activations.gelu].norm().lower < gelu
    assert SLOPES[activations.selu].norm().lower < selu


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


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.parametrize(
    "squash",
    [
        keras.layers.Dense(1, activation="softmax"),
        keras.layers.Dense(1, activation="log_softmax"),
        lambda x: keras.layers.Softmax(axis=(2, 3))(keras.layers.Reshape((4, 1, 1))(x)),
        lambda x: keras.ops.softmax(x[:, :1]),
        lambda x: keras.ops.log_softmax(x[:, :1]),
    ],
)
def test_a_softmax_of_one_number_is_constant(squash):
    x = keras.Input((4,))
    report = bound(keras.Model(x, squash(x)))
    assert report.total == 0
    assert all(row.attained == 0 for row in report.rows if row.bound == 0)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis", "error::RuntimeWarning")
@pytest.mark.parametrize("domain", [None, (-1, 1)])
def test_a_constant_model_has_the_bound_0_and_infinite_radii(domain):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(1, "softmax"), keras.layers.Dense(5, "relu")]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])
    assert bound(model, domain=domain).total == 0
    assert np.all(certified_radius(model, np.zeros((2, 4)), domain=domain) == np.inf)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_units_that_are_dead_on_the_domain_raise_no_warning():
    dead = keras.layers.Dense(5, "relu", bias_initializer=keras.initializers.Constant(-100))
    model = keras.Sequential([keras.Input((4,)), dead, keras.layers.Dense(3)])
    assert bound(model, domain=(0, 1)).total < 1e-200
