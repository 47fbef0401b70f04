"""Kernels towards orthogonal matrices."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import training


def singular_values(kernel):
    return np.linalg.svd(np.asarray(kernel), compute_uv=False)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)], ids=str)
def test_one_step_squares_the_distance_of_the_singular_values_from_1(shape):
    random = np.random.default_rng(0)
    u, _, v = np.linalg.svd(random.normal(size=shape), full_matrices=False)
    values = np.linspace(0.9, 1.1, min(shape))
    kernel = training.OrthogonalConstraint()(tf.constant(u * values @ v))
    moved = values * (3 - values**2) / 2
    np.testing.assert_allclose(kernel, u * moved @ v, atol=1e-12)
    assert np.abs(moved - 1).max() < 0.017


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_any_kernel_becomes_the_nearest_orthogonal_one(scale):
    start = scale * np.random.default_rng(1).normal(size=(9, 6))
    u, _, v = np.linalg.svd(start, full_matrices=False)
    kernel = training.OrthogonalConstraint(iterations=40)(tf.constant(start))
    np.testing.assert_allclose(kernel, u @ v, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e20])
@pytest.mark.parametrize("shape", [(64, 64), (96, 128)], ids=str)
def test_steps_of_training_lead_there_whatever_the_size(shape, scale):
    """Square kernels of so many units have singular values near 0, which each step raises by half.

    None may be shortened on the way, or they never arrive.
    """
    step = tf.function(training.OrthogonalConstraint())
    kernel = scale * keras.initializers.GlorotUniform(0)(shape)
    for _ in range(50):
        kernel = step(kernel)
    np.testing.assert_allclose(singular_values(kernel), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("initializer", ["GlorotUniform", "HeNormal"])
def test_the_largest_layers_get_there(initializer):
    step = tf.function(training.OrthogonalConstraint())
    kernel = getattr(keras.initializers, initializer)(0)((512, 512))
    for _ in range(60):
        kernel = step(kernel)
    np.testing.assert_allclose(singular_values(kernel), 1, atol=1e-5)


def test_near_orthogonal_kernels_are_not_shortened():
    """Björck's step and nothing else, also where Frobenius norms are far above the norm."""
    shape = (200, 200)
    random = np.random.default_rng(2)
    kernel = np.linalg.qr(random.normal(size=shape))[0] + 4e-3 * random.choice([-1, 1], shape)
    gram = kernel.T @ kernel
    assert np.linalg.norm(gram - np.eye(200)) < 2
    expected = kernel @ (1.5 * np.eye(200) - 0.5 * gram)
    np.testing.assert_allclose(training.OrthogonalConstraint()(kernel), expected, atol=1e-12)
    both = 1.2 * kernel @ (1.5 * np.eye(200) - 0.5 * 1.44 * gram)
    assert 1 + np.linalg.norm(1.44 * gram - np.eye(200)) > 3
    assert np.linalg.norm(kernel, 2) < 1.15
    moved = training.OrthogonalConstraint()(1.2 * kernel)
    np.testing.assert_allclose(moved, both, atol=1e-12)


@pytest.mark.parametrize("number", [0.0, 1e-38, 3e38])
def test_kernels_of_extreme_numbers_stay_finite(number):
    kernel = training.OrthogonalConstraint(iterations=3)(tf.fill([70, 70], number))
    assert np.isfinite(kernel).all()
    assert singular_values(kernel).max() < 1.01


@pytest.mark.slow
def test_a_layer_keeps_to_it_in_training(points):
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(
                8,
                kernel_initializer="orthogonal",
                kernel_constraint=training.OrthogonalConstraint(),
            ),
            keras.layers.Dense(3),
        ]
    )
    before = model.get_weights()[0]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    model.fit(*points, epochs=3, verbose=0)
    assert np.abs(model.get_weights()[0] - before).max() > 0.01
    np.testing.assert_allclose(singular_values(model.get_weights()[0]), 1, atol=0.02)
    again = keras.constraints.deserialize(
        keras.constraints.serialize(training.OrthogonalConstraint(iterations=3))
    )
    assert again.iterations == 3


def test_only_matrices():
    with pytest.raises(ValueError, match=r"shape \(3, 3, 1, 2\)"):
        training.OrthogonalConstraint()(tf.zeros([3, 3, 1, 2]))
    with pytest.raises(ValueError, match="`iterations` must be a positive integer"):
        training.OrthogonalConstraint(0)
