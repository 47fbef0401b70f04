"""What every layer must pass: saved, it computes the same; its gradient is its slope.

A file of tests imports these two, and names its layers in LAYERS: functions that make them.
"""

import keras
import numpy as np
import tensorflow as tf


def images(height=9, width=8, channels=4, n=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, height, width, channels))


def test_saved_layer_computes_the_same(make_layer, tmp_path):
    inputs = keras.Input((9, 8, 4))
    model = keras.Model(inputs, make_layer()(inputs))
    for weight in model.trainable_variables:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images()
    expected = model(x).numpy()
    np.testing.assert_array_equal(loaded(x), expected)
    assert model.output_shape == (None, *expected.shape[1:])
    assert np.ptp(expected) > 0


def test_gradient_is_the_slope(make_layer):
    layer, x = make_layer(), images()
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
