"""What rounding may change, and `jit_compile="auto"`, a fixed rule, recorded in the result."""

import keras
import numpy as np
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


ops = keras.ops
ENDINGS = {
    "none": (ops.softmax, 2**-17),
    "half": (lambda z: ops.cast(ops.softmax(z), "float16"), 2**-7),
    "bfloat16": (lambda z: ops.cast(ops.softmax(z), "bfloat16"), 2**-4),
    "there and back": (lambda z: ops.cast(ops.cast(ops.softmax(z), "float16"), "float32"), 2**-7),
    "clipped": (
        lambda z: ops.cast(ops.clip(ops.cast(ops.softmax(z), "float16"), 0, 1), "float32"),
        2**-7,
    ),
    "logits": (lambda z: ops.cast(z, "float16"), 2**-7),
    "before the last layer": (
        lambda z: keras.layers.Dense(3)(ops.cast(ops.cast(z, "bfloat16"), "float32")),
        2**-4,
    ),
    "one layer": (keras.layers.Softmax(dtype="float16"), 2**-7),
}


@pytest.mark.parametrize("ending, share", ENDINGS.values(), ids=ENDINGS)
def test_logits_are_rounded_as_the_coarsest_dtype_on_the_way(ending, share):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, ending(keras.layers.Dense(3)(inputs)))
    problem = Problem(Classifier(model), (3,))
    np.testing.assert_array_equal(problem.least_confidence(np.array([[4.0, -8.0, 1.0]])), 8 * share)


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
