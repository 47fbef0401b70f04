"""Pooling against Caffe's in plain NumPy, and L2 pooling."""

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
    "ceil max": lambda: itf.layers.CeilMaxPooling2D(3, strides=2, padding=1),
    "ceil average": lambda: itf.layers.CeilAveragePooling2D((3, 2), strides=2),
    "l2 pooling": lambda: itf.layers.L2Pooling2D(3, strides=2, epsilon=1e-3),
}


def caffe_pool(x, size, stride, pad, average):
    """Caffe's pooling_layer.cpp in words: windows rounded up, clipped to the padded map."""
    n, height, width, channels = x.shape
    lengths = []
    for length in (height, width):
        windows = int(np.ceil((length + 2 * pad - size) / stride)) + 1
        if pad and (windows - 1) * stride >= length + pad:
            windows -= 1
        lengths.append(windows)
    y = np.empty((n, *lengths, channels))
    for i in range(lengths[0]):
        for j in range(lengths[1]):
            top, left = i * stride - pad, j * stride - pad
            bottom, right = min(top + size, height + pad), min(left + size, width + pad)
            window = x[:, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            if average:
                y[:, i, j] = window.sum((1, 2)) / ((bottom - top) * (right - left))
            else:
                y[:, i, j] = window.max((1, 2))
    return y


@pytest.mark.parametrize("average", [False, True], ids=["max", "average"])
@pytest.mark.parametrize(
    "size, stride, pad", [(3, 2, 0), (3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 1)]
)
def test_ceil_pooling_is_caffes(size, stride, pad, average):
    pooling = itf.layers.CeilAveragePooling2D if average else itf.layers.CeilMaxPooling2D
    for height, width in [(7, 8), (6, 9), (5, 11), (3, 4)]:
        x = images(height, width) - 3.0
        np.testing.assert_allclose(
            pooling(size, stride, pad)(x), caffe_pool(x, size, stride, pad, average), rtol=1e-12
        )


@pytest.mark.parametrize("make", [itf.layers.CeilAveragePooling2D, itf.layers.CeilMaxPooling2D])
def test_ceil_pooling_leaves_out_windows_beyond_the_map(make):
    x = images(1, 2)
    np.testing.assert_array_equal(make(1, strides=3)(x), x[:, :, :1])


def test_l2_pooling_is_the_norm_of_each_window():
    x = images(5, 5, 2)
    y = itf.layers.L2Pooling2D(4, epsilon=0.5)(x).numpy()
    for i in range(2):
        for j in range(2):
            energy = (x[:, i : i + 4, j : j + 4] ** 2).sum((1, 2))
            np.testing.assert_allclose(y[:, i, j], np.sqrt(0.5 + energy), rtol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: itf.layers.CeilMaxPooling2D(3, padding=3), "smaller than `pool_size`"),
        (lambda: itf.layers.CeilMaxPooling2D(0), "at least 1"),
        (lambda: itf.layers.CeilMaxPooling2D(3)(keras.Input((None, None, 3))), "height and width"),
        (lambda: itf.layers.L2Pooling2D(3, epsilon=0.0), "positive"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
