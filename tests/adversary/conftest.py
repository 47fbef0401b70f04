"""Small networks with known weights, and the networks of the zoo."""

import functools

import keras
import numpy as np
import pytest

import intriguing_tf as itf


def small_network(
    size=8, hidden=12, classes=4, dtype="float32", activation="tanh", last=None, seed=0
):
    """A random network of two layers whose classes are all common on [0, 1]^size."""
    model = keras.Sequential(
        [
            keras.Input((size,), dtype="float64" if dtype == "float64" else "float32"),
            keras.layers.Dense(hidden, activation=activation, dtype=dtype, name="hidden"),
            keras.layers.Dense(classes, activation=last, dtype=dtype, name="scores"),
        ]
    )
    random = np.random.default_rng(seed)
    weights = random.normal(0, 1.5, (size, hidden))
    scores = random.normal(0, 1.5, (hidden, classes))
    inside = np.tanh(random.uniform(0, 1, (500, size)) @ weights - weights.sum(0) / 2)
    model.set_weights([weights, -weights.sum(0) / 2, scores, -(inside @ scores).mean(0)])
    return model


def points(n, size=8, seed=1):
    """Random points of [0, 1]^size."""
    return np.random.default_rng(seed).uniform(0, 1, (n, size)).astype("float32")


@functools.cache
def zoo_model(name):
    return itf.zoo.load(name)


@pytest.fixture(scope="session")
def sample():
    return itf.datasets.mnist_sample()


@pytest.fixture(scope="session")
def network():
    return small_network()


@pytest.fixture(scope="session")
def adversary(network):
    """An adversary of the small network, so that it is traced once."""
    return itf.LBFGSAdversary(network, loss="margin", jit_compile=False)
