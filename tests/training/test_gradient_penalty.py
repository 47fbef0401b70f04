"""Gradient penalties against double back-propagation and whole Jacobians."""

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import training
from intriguing_tf.training.batch import Batch
from tests.training.small_networks import network, numerical_gradient, one_step


def jacobians(model, x):
    """d logits / d x of the one-hidden-layer sigmoid network, by hand, in float64."""
    w1, b1, w2, _ = (w.numpy().astype(np.float64) for w in model.trainable_variables)
    h = 1 / (1 + np.exp(-(x @ w1 + b1)))
    return np.einsum("ij,nj,jk->nik", w1, h * (1 - h), w2)


def probabilities(model, x):
    logits = model(x).numpy().astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.slow
def test_gradient_penalty_is_double_backpropagation(points):
    x, labels = points

    def value(model):
        residual = probabilities(model, x) - np.eye(3)[labels]
        gradient = np.einsum("nik,nk->ni", jacobians(model, x), residual)
        return 0.7 * np.mean(np.sum(gradient**2, 1))

    changes = one_step(points, training.GradientPenalty(0.7))
    expected = numerical_gradient(value, network())
    assert max(np.abs(g).max() for g in expected) > 1e-3
    for change, gradient in zip(changes, expected, strict=True):
        np.testing.assert_allclose(change, gradient, atol=1e-5)


@pytest.mark.slow
def test_random_projections_estimate_the_jacobian_norm(points):
    x, labels = points
    model = network()
    exact = 0.7 * np.mean(np.sum(jacobians(model, x) ** 2, axis=(1, 2)))
    term = training.GradientPenalty(0.7, of="jacobian", projections=4, seed=1).prepare(model)
    run = tf.function(lambda step: term(Batch(tf.constant(x), tf.constant(labels), None, 3), step))
    values = [float(run(tf.constant(step))) for step in range(20)]
    assert np.mean(values) == pytest.approx(exact, rel=0.02)
    assert np.std(values) > 0  # new directions in every step


def test_random_projections_of_one_output_leave_nothing_to_chance(points):
    x, labels = points
    model = network(output=1)
    exact = np.mean(np.sum(jacobians(model, x) ** 2, axis=(1, 2)))
    term = training.GradientPenalty(1.0, of="jacobian").prepare(model)
    value = float(term(Batch(tf.constant(x), tf.constant(labels), None, 1), tf.constant(3)))
    assert value == pytest.approx(exact, rel=1e-5)


@pytest.mark.slow
def test_random_projections_are_the_same_when_compiled(points):
    x, labels = points
    term = training.GradientPenalty(1.0, of="jacobian", seed=2).prepare(network())
    batch = Batch(tf.constant(x), tf.constant(labels), None, 3)
    values = [
        [
            float(tf.function(lambda step: term(batch, step), jit_compile=jit)(tf.constant(step)))
            for step in range(3)
        ]
        for jit in (False, True)
    ]
    np.testing.assert_allclose(*values, rtol=1e-5)
    assert np.ptp(values[0]) > 1e-3 * np.mean(values)
