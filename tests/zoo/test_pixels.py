"""Models of pixels in [0, 1], made of models of other pixels."""

import keras
import numpy as np
import pytest

from intriguing_tf import lipschitz
from intriguing_tf.classifier import Classifier
from intriguing_tf.zoo.pixels import UNIT, preprocessed, rescaled


def network():
    layers = [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential(layers)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 255.0), (2.0, 2.5)])
def test_pixels_are_scaled_to_what_the_model_takes(bounds):
    model, (lower, upper) = network(), bounds
    found = rescaled(model, bounds)
    pixels = np.random.default_rng(0).uniform(size=(2, 2, 2, 1)).astype("float32")
    expected = model(lower + (upper - lower) * pixels)
    np.testing.assert_allclose(found(pixels), expected, rtol=1e-4, atol=1e-4)
    total = (upper - lower) * lipschitz.bound(model).total
    assert lipschitz.bound(found).total == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("bounds", [UNIT, None])
def test_a_model_of_such_pixels_is_returned_itself(bounds):
    model = network()
    assert rescaled(model, bounds) is model


@pytest.mark.parametrize(
    "pixels_of", [lambda model: rescaled(model, (-1.0, 1.0)), lambda m: preprocessed(m, "pixels")]
)
def test_it_computes_in_the_precision_of_the_model(pixels_of, other_precision):
    model = network()
    other_precision()
    assert Classifier(pixels_of(model)).dtype == "float32"
