"""Layers are tested in double precision, each of a file's LAYERS by what all must pass."""

import keras
import pytest


@pytest.fixture(autouse=True)
def double_precision():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def pytest_generate_tests(metafunc):
    if "make_layer" in metafunc.fixturenames:
        layers = metafunc.module.LAYERS
        metafunc.parametrize("make_layer", layers.values(), ids=layers)
