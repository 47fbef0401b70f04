"""Layers with squares in half precision: what they compute in single precision, rounded."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from tests.layers.layer_checks import images

LAYERS: dict[str, Callable[..., keras.layers.Layer]] = {
    "l2 pooling": lambda **dtype: itf.layers.L2Pooling2D(3, **dtype),
    "lrn": lambda **dtype: itf.layers.LocalResponseNormalization(3, k=2.0, **dtype),
    "lcn": lambda **dtype: itf.layers.LocalContrastNormalization(3, **dtype),
}


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "bfloat16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_half_precision_does_not_overflow_in_squares(name, policy):
    layer = LAYERS[name](dtype=policy)
    x = tf.cast(1000.0 * images(), layer.compute_dtype)  # a square is beyond float16's 65 504
    y = layer(x)
    assert y.dtype.name == layer.compute_dtype
    expected = LAYERS[name](dtype="float32")(tf.cast(x, "float32")).numpy()
    spacing = 2.0**-8 if "bfloat16" in policy else 2.0**-11
    np.testing.assert_allclose(tf.cast(y, "float32"), expected, rtol=spacing, atol=1e-7)
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_precisions_are_kept(name, dtype):
    x = tf.constant(images(), dtype)
    assert LAYERS[name](dtype=dtype)(x).dtype == dtype
    inputs = keras.Input((9, 8, 4), dtype=dtype)
    assert LAYERS[name](dtype=dtype)(inputs).dtype == dtype
