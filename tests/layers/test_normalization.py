"""Normalization across channels and across positions, against plain NumPy."""

import numpy as np
import pytest

import intriguing_tf as itf
from tests.layers.layer_checks import (  # noqa: F401 (what every layer must pass)
    images,
    test_gradient_is_the_slope,
    test_saved_layer_computes_the_same,
)

LAYERS = {
    "lrn": lambda: itf.layers.LocalResponseNormalization(3, alpha=0.5, beta=0.6, k=2.0),
    "lcn": lambda: itf.layers.LocalContrastNormalization(3, stddev=0.7, floor=0.1),
}


def test_local_response_normalization_is_caffes_formula():
    x = images(3, 2, channels=7)
    expected = np.empty_like(x)
    for i in range(7):
        window = x[..., max(i - 2, 0) : i + 3]
        expected[..., i] = x[..., i] / (1.5 + 0.3 / 5 * (window**2).sum(-1)) ** 0.75
    layer = itf.layers.LocalResponseNormalization(5, alpha=0.3, beta=0.75, k=1.5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)


def test_local_contrast_normalization_of_a_texture():
    layer = itf.layers.LocalContrastNormalization(5, floor=1e-3)
    assert layer.window.sum() == pytest.approx(1)
    x = images(20, 20, 3, n=1)
    y = layer(x).numpy()
    inside = (slice(None), slice(4, -4), slice(4, -4))
    # Neither an offset nor a scale of the texture is seen, away from the edge ...
    np.testing.assert_allclose(layer(7.0 * x + 3.0).numpy()[inside], y[inside], rtol=1e-9)
    # ... a flat map becomes zero ...
    np.testing.assert_allclose(layer(np.full((1, 20, 20, 3), 0.7)).numpy()[inside], 0, atol=1e-12)
    # ... and the weighted variance around each pixel is what it was divided by.
    window = layer.window[None, :, :, None] / 3
    patch = x[:, 5:14, 5:14]
    centred = np.stack(
        [
            [
                patch[0, i + 2, j + 2] - (patch[:, i : i + 5, j : j + 5] * window).sum()
                for j in range(5)
            ]
            for i in range(5)
        ]
    )
    deviation = np.sqrt((centred[None] ** 2 * window).sum())
    np.testing.assert_allclose(y[0, 9, 9], centred[2, 2] / deviation, rtol=1e-10)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: itf.layers.LocalResponseNormalization(4), "odd"),
        (lambda: itf.layers.LocalResponseNormalization(5, k=0.0), "positive"),
        (lambda: itf.layers.LocalContrastNormalization(2), "odd"),
        (lambda: itf.layers.LocalContrastNormalization(3, floor=0.0), "positive"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
