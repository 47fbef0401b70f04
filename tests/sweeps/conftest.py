"""A small model, its data and finished sweeps of them."""

import shutil

import keras
import numpy as np
import pytest

from tests.sweeps.small_sweep import run


@pytest.fixture(scope="session")
def model():
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="scores")], name="m")
    model.set_weights([4 * random.normal(size=(4, 3)), random.normal(size=3)])
    return model


@pytest.fixture(scope="session")
def data():
    random = np.random.default_rng(1)
    return random.uniform(size=(10, 4)).astype(np.float32), random.integers(0, 3, 10)


@pytest.fixture(scope="session")
def done(model, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    targets = ["random", "least_likely", "nearest"]
    return run(model, data, folder, targets=targets)


@pytest.fixture(scope="session")
def template(model, data, tmp_path_factory):
    return run(model, data, tmp_path_factory.mktemp("template")).folder


@pytest.fixture
def folder(template, tmp_path):
    """A copy of a finished sweep of three shards."""
    return shutil.copytree(template, tmp_path / "sweep")
