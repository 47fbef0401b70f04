"""Chains that are bounded as a whole, against all patterns of slopes and exact constants."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz import bound
from tests.lipschitz.random_layers import jacobian
from tests.lipschitz.small_networks import dense_network, sequential


@pytest.mark.parametrize("activation, largest", [("relu", 1.0), ("sigmoid", 0.25), ("selu", 1.76)])
def test_chains_beat_the_product_and_hold_every_pattern_of_slopes(activation, largest):
    """The bound covers W₃D₂W₂D₁W₁ for all diagonals of slopes, relu or not."""
    model = dense_network(8, 9, 7, 3, activation=activation)
    report = bound(model)
    assert report.total < 0.85 * report.product
    assert report.chains[0].bound == report.total
    weights = [layer.kernel.numpy().astype(float).T for layer in model.layers]
    rng = np.random.default_rng(0)
    steepest = 0.0
    for _ in range(4000):
        first, second = (largest * (rng.random(n) < rng.random()) for n in (9, 7))
        product = weights[2] @ (second[:, None] * weights[1]) @ (first[:, None] * weights[0])
        steepest = max(steepest, np.linalg.norm(product, 2))
    slack = 1.0 if activation != "selu" else 1.76**2 / 1.7580994**2
    assert 0.3 * report.total < steepest <= report.total * slack


def test_a_chain_of_positive_matrices_reaches_its_exact_constant():
    """With non-negative weights all slopes at 1 are the worst: ‖W₂W₁‖ is exact, and reached."""
    model = dense_network(5, 6, 4)
    for weight in model.weights:
        weight.assign(np.abs(weight.numpy()))
    first, second = (layer.kernel.numpy().astype(float) for layer in model.layers)
    exact = np.linalg.norm(first @ second, 2)
    assert exact <= bound(model).total <= exact * 1.01


@pytest.mark.slow
def test_chains_of_convolutions_hold_on_the_real_layer():
    model = sequential(
        (9, 8, 2),
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.Conv2D(4, 3, strides=2, activation="relu"),
        layers.Conv2D(3, (3, 2), padding="same", groups=1),
    )
    report = bound(model)
    assert report.total < 0.75 * report.product
    double = float64_copy(model)
    rng = np.random.default_rng(0)
    for scale in (0.0, 0.1, 1.0, 10.0):
        for _ in range(20):
            point = scale * rng.normal(size=(9, 8, 2))
            assert np.linalg.norm(jacobian(double, point), 2) <= report.total
    # All slopes at 1 is one of the covered patterns.
    linear = keras.Sequential([keras.Input((9, 8, 2), dtype="float64")])
    for layer in double.layers:
        config = layer.get_config() | {"activation": "linear"}
        linear.add(layers.Conv2D.from_config(config))
    linear.set_weights(double.get_weights())
    assert np.linalg.norm(jacobian(linear, np.zeros((9, 8, 2))), 2) <= report.total


@pytest.mark.parametrize("end", ["softmax", "sigmoid", "tanh"])
def test_what_is_bounded_together_is_what_the_rows_multiply_to(end):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Rescaling(3.0),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(4, end),
        ]
    )
    report = bound(model)
    (chain,) = report.chains
    assert chain.product > chain.bound and chain.product == pytest.approx(report.product)
    assert chain.bound == pytest.approx(report.total)
