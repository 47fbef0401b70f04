"""The project's layers against plain NumPy, and saved and loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf

LAYERS = {
    "lrn": lambda: itf.layers.LocalResponseNormalization(3, alpha=0.5, beta=0.6, k=2.0),
    "lcn": lambda: itf.layers.LocalContrastNormalization(3, stddev=0.7, floor=0.1),
    "ceil max": lambda: itf.layers.CeilMaxPooling2D(3, strides=2, padding=1),
    "ceil average": lambda: itf.layers.CeilAveragePooling2D((3, 2), strides=2),
    "l2 pooling": lambda: itf.layers.L2Pooling2D(3, strides=2, epsilon=1e-3),
    "local": lambda: itf.layers.LocallyConnected2D(3, (4, 3), strides=(2, 1), activation="tanh"),
    "grouped": lambda: itf.layers.GroupedConv2D(6, 3, groups=2, strides=2, padding="same"),
}


def images(height=9, width=8, channels=4, n=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, height, width, channels))


@pytest.fixture(autouse=True)
def double_precision():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.parametrize("name", LAYERS)
def test_saved_layer_computes_the_same(name, tmp_path):
    inputs = keras.Input((9, 8, 4))
    model = keras.Model(inputs, LAYERS[name]()(inputs))
    for weight in model.trainable_variables:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images()
    expected = model(x).numpy()
    np.testing.assert_array_equal(loaded(x), expected)
    assert model.output_shape == (None, *expected.shape[1:])
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_is_the_slope(name):
    layer = LAYERS[name]()
    x = images()
    direction = images(seed=2)
    shape = layer(x).shape
    weights = np.random.default_rng(3).normal(size=shape)

    def value(at):
        return tf.reduce_sum(layer(at) * weights)

    with tf.GradientTape() as tape:
        point = tf.constant(x)
        tape.watch(point)
        loss = value(point)
    slope = tf.reduce_sum(tape.gradient(loss, point) * direction)
    step = 1e-6
    numeric = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-7)


def test_local_response_normalization_is_caffes_formula():
    x = images(3, 2, channels=7)
    expected = np.empty_like(x)
    for i in range(7):
        window = x[..., max(i - 2, 0) : i + 3]
        expected[..., i] = x[..., i] / (1.5 + 0.3 / 5 * (window**2).sum(-1)) ** 0.75
    layer = itf.layers.LocalResponseNormalization(5, alpha=0.3, beta=0.75, k=1.5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)


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


@pytest.mark.parametrize("strides, padding", [(1, "same"), (2, "same"), (2, "valid")])
def test_grouped_convolution_is_keras_with_a_gradient(strides, padding):
    options = {"groups": 2, "strides": strides, "padding": padding}
    ours = itf.layers.GroupedConv2D(6, 3, **options)
    keras_own = keras.layers.Conv2D(6, 3, **options)
    x = images()
    ours.build(x.shape), keras_own.build(x.shape)
    keras_own.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), keras_own(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: itf.layers.LocalResponseNormalization(4), "odd"),
        (lambda: itf.layers.LocalResponseNormalization(5, k=0.0), "positive"),
        (lambda: itf.layers.LocalContrastNormalization(2), "odd"),
        (lambda: itf.layers.LocalContrastNormalization(3, floor=0.0), "positive"),
        (lambda: itf.layers.CeilMaxPooling2D(3, padding=3), "smaller than `pool_size`"),
        (lambda: itf.layers.CeilMaxPooling2D(0), "at least 1"),
        (lambda: itf.layers.CeilMaxPooling2D(3)(keras.Input((None, None, 3))), "height and width"),
        (lambda: itf.layers.L2Pooling2D(3, epsilon=0.0), "positive"),
        (lambda: itf.layers.LocallyConnected2D(0, 3), "positive"),
        (lambda: itf.layers.LocallyConnected2D(2, 9)(images(5, 5)), "fit in the input"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
