"""Bounds of margins: of all inputs, and around one image."""

from __future__ import annotations

import numpy as np
import pytest
from keras import layers

from intriguing_tf.lipschitz import certified_radius
from intriguing_tf.lipschitz.margins import MarginBounds
from tests.lipschitz.small_networks import dense_network, sequential


def test_margins_of_one_matrix_are_the_lengths_of_differences_of_rows():
    model = dense_network(5, 4)
    weights = model.layers[0].kernel.numpy().astype(float).T
    lengths = np.linalg.norm(weights[:, None] - weights, axis=2)
    found = MarginBounds(model).values
    assert np.all(found >= lengths) and np.allclose(found, lengths, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, ends",
    [
        (dense_network(6, 9, 4), True),
        (sequential((4, 3), layers.Flatten(), layers.Dense(7, "tanh"), layers.Dense(1)), True),
        (dense_network(5, 4), False),
        (sequential((6, 6, 2), layers.Conv2D(3, 3), layers.GlobalAveragePooling2D()), False),
    ],
    ids=["dense", "one logit", "one matrix", "pooling at the end"],
)
def test_only_chains_of_matrices_have_local_radii(model, ends):
    assert (MarginBounds(model).local() is not None) is ends
    images = np.random.default_rng(0).normal(size=(5, *model.input_shape[1:])).astype("float32")
    whole = certified_radius(model, images)
    local = certified_radius(model, images, method="local")
    assert np.all(local >= whole)
    assert bool(np.median(local / whole) > 1.1) is ends


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softplus", "elu", "softsign", "selu"])
@pytest.mark.drawn(2)
def test_no_prediction_changes_within_the_local_radius(activation):
    """Below a convolution, with biases: along gradients of margins and at random."""
    model = sequential(
        (5, 5, 1),
        layers.Conv2D(3, 3, activation="tanh"),
        layers.Flatten(),
        layers.Dense(12, activation),
        layers.Dense(9),
        layers.BatchNormalization(),
        layers.Activation(activation),
        layers.Dense(3, "softmax"),
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 5, 5, 1)).astype(np.float32)
    radii = certified_radius(model, images, method="local")
    whole = certified_radius(model, images)
    assert np.all(radii >= whole)
    # SELU is steepest just below 0, where most of its inputs are: there is less to gain.
    gain = 1.02 if activation == "selu" else 1.05
    assert np.median(radii / whole) > gain
    steps = rng.normal(size=(8, 400, 25))
    steps *= 0.999 * radii[:, None, None] / np.linalg.norm(steps, axis=2, keepdims=True)
    moved = images[:, None] + steps.reshape(8, 400, 5, 5, 1)
    predicted = model(images).numpy().argmax(axis=1)
    classes = model(moved.reshape(-1, 5, 5, 1).astype(np.float32)).numpy().argmax(axis=1)
    assert np.all(classes.reshape(8, 400) == predicted[:, None])


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="Received: 'best'"):
        certified_radius(dense_network(5, 4), np.zeros((1, 5)), method="best")
