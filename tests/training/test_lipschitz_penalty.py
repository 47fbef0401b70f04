"""The constraint and the regularizer of one kernel: in a layer, saved, refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import lipschitz, training


def random_kernel(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_model_with_operations_between_its_layers_is_penalized():
    x = keras.Input((4,))
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Model(x, dense(x / 0.5) * 3.0)
    norm = np.linalg.norm(dense.kernel.numpy(), 2)
    per_layer = training.LipschitzPenalty(target=norm / 2).prepare(model)
    total = training.LipschitzPenalty(total=6 * norm / 2).prepare(model)
    for penalty in (per_layer, total):
        assert float(penalty(None, None)) == pytest.approx(np.log(2) ** 2, rel=0.02)


def test_constraint_rescales_to_the_true_norm():
    kernel = tf.constant(random_kernel(3, 3, 4, 6))
    constraint = training.LipschitzConstraint(2.0, input_shape=(12, 12), padding="same")
    held = constraint(kernel).numpy()
    norm = lipschitz.conv_norm(held, (12, 12), padding="same")
    assert 1.9 <= norm <= 2.0 + 1e-6
    ratio = held / kernel.numpy()
    np.testing.assert_allclose(ratio, ratio.flat[0])  # rescaled, no spectrum is clipped
    np.testing.assert_array_equal(constraint(tf.constant(held / 3)), held / 3)


@pytest.mark.slow
def test_constraint_and_regularizer_work_in_a_layer_and_survive_saving(tmp_path):
    convolution = {"input_shape": (8, 8), "strides": 2, "padding": "same"}
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(
                4, 3, 2, "same", kernel_constraint=training.LipschitzConstraint(0.5, **convolution)
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_regularizer=training.LipschitzRegularizer(0.7, 0.1)),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
    model.fit(random_kernel(8, 8, 8, 2), random_kernel(8, 3), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    kernel, dense = loaded.layers[0].kernel.numpy(), loaded.layers[2].kernel.numpy()
    assert lipschitz.conv_norm(kernel, (8, 8), 2, "same") <= 0.5 + 1e-6
    expected = 0.7 * np.log(np.linalg.norm(dense, 2) / 0.1) ** 2
    loaded(np.zeros((1, 8, 8, 2)))
    assert float(loaded.losses[0]) == pytest.approx(expected, rel=0.01)
    assert loaded.layers[0].kernel_constraint.get_config()["strides"] == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: training.LipschitzRegularizer(0.0), "positive and finite. Received: 0.0"),
        (lambda: training.LipschitzConstraint(float("nan")), "Received: nan"),
        (lambda: training.LipschitzConstraint()(tf.ones((3, 3, 1, 1))), "needs `input_shape`"),
        (
            lambda: training.LipschitzConstraint(input_shape=(4, 4))(tf.ones((3, 3))),
            r"kernels of rank 4. Received: a kernel of shape \(3, 3\)",
        ),
        (lambda: training.LipschitzConstraint(input_shape=(2, 2))(tf.ones((3, 3, 1, 1))), "fits"),
        (
            lambda: training.LipschitzConstraint(input_shape=(4, 4), groups=2)(
                tf.ones((3, 3, 1, 3))
            ),
            "must divide",
        ),
        (
            lambda: training.LipschitzConstraint(input_shape=(4, 4), depthwise=True)(
                tf.ones((0, 0, 0, 0))
            ),
            r"must have numbers\. Received: shape \(0, 0, 0, 0\)",
        ),
        (lambda: training.LipschitzRegularizer(1e300), "finite in float32. Received: 1e"),
    ],
    ids=["weight", "bound", "no input shape", "rank", "window", "groups", "empty", "overflow"],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
