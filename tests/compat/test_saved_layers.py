"""A file that version 0.1 saved still loads and computes the same: names, configurations, weights.

`fixtures/every_layer.keras` holds one branch per layer of the package, `every_layer.npz` its input
and what each branch computed.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

import intriguing_tf as itf

FIXTURES = Path(__file__).parent / "fixtures"


PUBLIC = {getattr(itf.layers, name) for name in dir(itf.layers) if name[0].isupper()}


@pytest.fixture(scope="module")
def saved(load_saved):
    model = load_saved("every_layer.keras")
    values = dict(np.load(FIXTURES / "every_layer.npz"))
    return model, values.pop("images"), values


def test_every_layer_of_the_version_that_saved_is_in_the_file(saved):
    newer = {itf.layers.GroupSort}
    assert {type(layer) for layer in saved[0].layers} - {keras.layers.InputLayer} == PUBLIC - newer


def test_every_layer_computes_what_it_computed(saved):
    model, images, expected = saved
    outputs = model(images)
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        assert np.ptp(expected[name]) > 0
        np.testing.assert_allclose(output, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
