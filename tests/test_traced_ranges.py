"""Ranges that operations allow: values lie within them, and they are as narrow as they can be."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from intriguing_tf.traced_ranges import value_range

POINTS = np.random.default_rng(0).normal(size=(500, 3)).astype("float32") * 4


def p(x):
    return ops.sigmoid(x)


FUNCTIONS = {
    "linear": (lambda x: ops.matmul(x, x[:3]), (-np.inf, np.inf)),
    "complement": (lambda x: 1 - p(x), (0, 1)),
    "odds": (lambda x: p(x) / (1 - p(x)), (0, np.inf)),
    "inverse": (lambda x: -1 / (2 + ops.square(x)), (-0.5, 0)),
    "difference": (lambda x: p(x[:, :1]) - p(x[:, 1:2]), (-1, 1)),
    "bell": (lambda x: ops.exp(-ops.square(x)), (0, 1)),
    "clip": (lambda x: ops.clip(2 * ops.tanh(x), -1, 3), (-1, 2)),
    "maximum": (lambda x: ops.maximum(ops.minimum(x, 0.25), -0.5), (-0.5, 0.25)),
    "product": (lambda x: ops.prod(p(x), axis=1), (0, 1)),
    "sum": (lambda x: ops.sum(-ops.softplus(x), axis=1), (-np.inf, 0)),
    "mean": (lambda x: 3 * ops.mean(p(x), axis=1), (0, 3)),
    "scores": (lambda x: ops.einsum("ni,ni->n", p(x), p(x)), (0, np.inf)),
    "square": (lambda x: x * x, (0, np.inf)),
    "power": (lambda x: (ops.tanh(x)) ** 4, (0, 1)),
    "logarithm": (lambda x: ops.log(p(x)), (-np.inf, 0)),
    "chosen": (lambda x: ops.where(x > 0, p(x), -ops.exp(-ops.abs(x))), (-1, 1)),
    "written out": (lambda x: ops.where(x < 0, 0.0, ops.where(x > 1, 1.0, x)), (0, 1)),
    "sparse": (keras.activations.sparse_sigmoid, (0, 1)),
    "comparison": (lambda x: ops.cast(x > 0, "float32"), (0, 1)),
    "joined": (lambda x: ops.concatenate([p(x), 2 + p(x)], axis=1)[:, ::-1], (0, 3)),
    "integers": (lambda x: ops.cast(ops.cast(x, "int32") * 3 + 1, "float32"), (-np.inf, np.inf)),
    "by zero": (lambda x: x / np.zeros((1, 3), "float32"), (-np.inf, np.inf)),
    "logit": (lambda x: ops.log(p(x)) - ops.log(1 - p(x)), (-np.inf, np.inf)),
}


def traced(function):
    spec = tf.TensorSpec([None, 3], tf.float32)
    return tf.function(function, autograph=False).get_concrete_function(spec).outputs[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_lie_within_a_range_that_is_known(name):
    function, expected = FUNCTIONS[name]
    low, high, *_ = value_range(traced(function))
    np.testing.assert_allclose((low, high), expected, rtol=1e-6)
    values = np.asarray(function(POINTS))
    assert (values >= low).all() and (values <= high).all()


@pytest.mark.slow
def test_a_long_chain_of_branches_is_looked_through_once():
    def doubled(x):
        for _ in range(200):
            x = x / 4 + ops.tanh(x) / 4
        return p(x) + p(x)

    assert value_range(traced(doubled))[:2] == (0, 2)


def test_functions_that_hide_what_they_do_are_told():
    hidden = tf.function(lambda x: tf.sigmoid(x), autograph=False)
    found = value_range(traced(lambda x: 1 - hidden(x)))
    assert found.vague.endswith("PartitionedCall") and not found.is_free
