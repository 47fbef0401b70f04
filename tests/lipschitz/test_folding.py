"""Linear neighbours and linear branches as one operator."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz import bound
from tests.lipschitz.random_layers import jacobian
from tests.lipschitz.small_networks import randomised, sequential


def test_matrices_without_activation_between_are_multiplied_out():
    first, second = layers.Dense(30), layers.Dense(10)
    model = sequential((20,), first, layers.Dropout(0.5), second)
    exact = np.linalg.norm(first.kernel.numpy().astype(float) @ second.kernel.numpy(), 2)
    assert bound(model).total == pytest.approx(exact, rel=1e-6)
    assert bound(model).total >= exact


def test_batch_normalization_is_folded_on_both_sides_and_through_flatten():
    model = sequential(
        (6, 6, 2),
        layers.Conv2D(3, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(4),
    )
    report, plain = bound(model), bound(model, method="product")
    assert report.total < 0.9 * plain.total
    double = float64_copy(model)
    linear = keras.Model(double.inputs, double.layers[1].output)
    folded = np.linalg.norm(jacobian(linear, np.zeros((6, 6, 2))), 2)
    assert report.rows[0].bound == pytest.approx(folded, rel=1e-6)


def test_identity_plus_linear_is_one_operator():
    x = keras.Input((6,))
    branch = layers.Dense(6)
    model = keras.Model(x, layers.Add()([x, branch(x)]))
    branch.kernel.assign(-np.eye(6))
    assert bound(model).total < 1e-6
    assert bound(model, method="product").total == pytest.approx(2.0)
    image = keras.Input((7, 6, 3))
    for padding in ("same",):
        conv = layers.Conv2D(3, (3, 5), padding=padding)
        residual = randomised(keras.Model(image, layers.Add()([conv(image), image])))
        exact = np.linalg.norm(jacobian(float64_copy(residual), np.zeros((7, 6, 3))), 2)
        assert exact <= bound(residual).total <= exact * (1 + 1e-6)


def test_a_product_that_overflows_is_not_multiplied_out():
    first, second = (layers.Dense(2, use_bias=False, dtype="float64") for _ in range(2))
    model = sequential((2,), first, second)
    for layer in (first, second):
        layer.kernel.assign(1e200 * np.array([[1.0, 1.0], [1.0, -1.0]]))
    assert bound(model, verbose=False).total == np.inf
