"""`jit_compile="auto"` is a fixed rule, recorded in the result."""

import keras
import pytest

import intriguing_tf as itf
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.classifier import Classifier
from tests.adversary.networks import points

NETWORKS = {
    "dense": ([], False),
    "convolution": ([keras.layers.Conv2D(4, 3)], False),
    "grouped": ([keras.layers.Conv2D(4, 3), keras.layers.Conv2D(4, 3, groups=2)], True),
    "depthwise": ([keras.layers.DepthwiseConv2D(3)], False),
    "separable": ([keras.layers.SeparableConv2D(4, 3)], False),
    "depthwise and grouped": (
        [keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(4, 3, groups=2)],
        False,
    ),
    "nested": ([keras.Sequential([keras.layers.Conv2D(4, 3)])], False),
}


@pytest.mark.parametrize("layers, expected", NETWORKS.values(), ids=NETWORKS)
def test_xla_on_a_cpu_for_grouped_convolutions(layers, expected):
    model = keras.Sequential(
        [keras.Input((8, 8, 4)), *layers, keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    problem = Problem(Classifier(model), (8, 8, 4))
    assert problem.jit_compile("auto") is expected
    assert problem.jit_compile(True) is True and problem.jit_compile(False) is False


@pytest.mark.slow
def test_the_choice_is_recorded(network):
    few = {"solver": "scipy", "maxfun": 5}  # of which little is compiled
    for choice, compiled in {"auto": False, True: True}.items():
        result = itf.LBFGSAdversary(network, jit_compile=choice, **few)(points(2))
        assert result.settings["jit_compile"] is compiled
