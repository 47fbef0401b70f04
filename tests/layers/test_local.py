"""Filters of each position against plain NumPy."""

import numpy as np
import pytest

import intriguing_tf as itf
from tests.layers.layer_checks import (  # noqa: F401 (what every layer must pass)
    images,
    test_gradient_is_the_slope,
    test_saved_layer_computes_the_same,
)

LAYERS = {
    "local": lambda: itf.layers.LocallyConnected2D(3, (4, 3), strides=(2, 1), activation="tanh"),
}


@pytest.mark.parametrize("strides", [1, (2, 3)])
def test_untied_filters_are_local_and_their_own(strides):
    layer = itf.layers.LocallyConnected2D(3, (4, 3), strides=strides, kernel_initializer="uniform")
    x = images()
    y = layer(x).numpy()
    layer.bias.assign(np.random.default_rng(5).normal(size=layer.bias.shape))
    row_step, column_step = layer.strides
    kernel = layer.kernel.numpy()
    expected = np.array(
        [
            [
                x[:, row : row + 4, column : column + 3].reshape(2, -1)
                @ kernel[row // row_step, column // column_step]
                for column in range(0, 8 - 2, column_step)
            ]
            for row in range(0, 9 - 3, row_step)
        ]
    ).transpose(2, 0, 1, 3)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer(x), y + layer.bias, rtol=1e-10, atol=1e-12)
    z = np.random.default_rng(6).normal(size=y.shape)
    back = layer.adjoint(z, x.shape[1:]).numpy()
    np.testing.assert_allclose((y * z).sum(), (x * back).sum(), rtol=1e-10)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: itf.layers.LocallyConnected2D(0, 3), "positive"),
        (lambda: itf.layers.LocallyConnected2D(2, 9)(images(5, 5)), "fit in the input"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
