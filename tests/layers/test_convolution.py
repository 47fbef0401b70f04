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
    "channels first": lambda: itf.layers.GroupedConv2D(
        6, 3, groups=3, data_format="channels_first", activation="tanh"
    ),
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


@pytest.mark.parametrize("named", [True, False], ids=["argument", "of Keras"])
@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 8, 8, 8)], ids=str)
@pytest.mark.parametrize("strides", [1, 2])
def test_channels_may_come_first(strides, shape, named):
    """The same numbers in another order; a map as wide as it has channels shows which is which."""
    options = {"groups": 4, "strides": strides, "padding": "same", "bias_initializer": "normal"}
    before = keras.config.image_data_format()
    # Not 8 filters: Keras adds that many biases along the width.
    last = itf.layers.GroupedConv2D(12, 3, data_format="channels_last", **options)
    try:
        keras.config.set_image_data_format(before if named else "channels_first")
        own = {"data_format": "channels_first"} if named else {}
        first = itf.layers.GroupedConv2D(12, 3, **options, **own)
        x = np.random.default_rng(0).normal(size=shape)
        last.build(x.transpose(0, 2, 3, 1).shape), first.build(x.shape)
        first.set_weights(last.get_weights())
        y = first(x).numpy()
    finally:
        keras.config.set_image_data_format(before)
    assert y.shape == first.compute_output_shape(x.shape)
    expected = last(x.transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: itf.layers.L2Pooling2D(3),
        lambda: itf.layers.CeilMaxPooling2D(3, 2),
        lambda: itf.layers.CeilAveragePooling2D(3, 2),
        lambda: itf.layers.LocalContrastNormalization(3),
        lambda: itf.layers.LocallyConnected2D(2, 3, kernel_initializer="ones"),
    ],
)
def test_other_layers_have_channels_last_whatever_keras_has(make):
    before, x = keras.config.image_data_format(), images()
    expected = make()(x).numpy()
    try:
        keras.config.set_image_data_format("channels_first")
        np.testing.assert_array_equal(make()(x), expected)
    finally:
        keras.config.set_image_data_format(before)
