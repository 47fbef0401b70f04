"""Grouped convolution against Keras's own."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from tests.layers.layer_checks import (  # noqa: F401 (what every layer must pass)
    images,
    test_gradient_is_the_slope,
    test_saved_layer_computes_the_same,
)

LAYERS = {
    "grouped": lambda: itf.layers.GroupedConv2D(6, 3, groups=2, strides=2, padding="same"),
}


@pytest.mark.parametrize("strides, padding", [(1, "same"), (2, "same"), (2, "valid")])
def test_grouped_convolution_is_keras_with_a_gradient(strides, padding):
    options = {"groups": 2, "strides": strides, "padding": padding}
    ours = itf.layers.GroupedConv2D(6, 3, **options)
    keras_own = keras.layers.Conv2D(6, 3, **options)
    x = images()
    ours.build(x.shape), keras_own.build(x.shape)
    keras_own.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), keras_own(x), rtol=1e-10, atol=1e-12)
