"""Local chains: exact where they must be, above every difference in the ball."""

from __future__ import annotations

import numpy as np
import pytest
from keras import activations

from intriguing_tf.lipschitz.local import LocalChain, Units, _Batch
from intriguing_tf.lipschitz.rules.activations import SLOPES
from intriguing_tf.lipschitz.steps import SIGMOID

RELU = SLOPES[activations.relu]
FUNCTIONS = {"relu": lambda z: np.maximum(z, 0), "sigmoid": lambda z: 1 / (1 + np.exp(-z))}
SLOPES_OF = {"relu": RELU, "sigmoid": SIGMOID}


class Network:
    """A random classifier of two hidden layers, and its numbers at some images."""

    def __init__(self, activation: str, images: int = 6, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.function = FUNCTIONS[activation]
        self.weights = [
            rng.normal(size=size) / np.sqrt(size[1]) * 2 for size in [(9, 6), (8, 9), (4, 8)]
        ]
        self.images = rng.normal(size=(images, 6))
        self.hidden = [self.images @ self.weights[0].T]
        self.hidden.append(self.function(self.hidden[0]) @ self.weights[1].T)
        logits = self.function(self.hidden[1]) @ self.weights[2].T
        self.predicted = logits.argmax(axis=1)
        self.margins = logits.max(axis=1, keepdims=True) - logits
        self.margins[np.arange(images), self.predicted] = np.inf
        slopes = [SLOPES_OF[activation]] * 2
        multipliers = [np.ones(len(each)) for each in self.weights[:-1]]
        self.chain = LocalChain(self.weights, [0.0] * 3, slopes, multipliers)
        self.units = [Units(each, np.zeros_like(each)) for each in self.hidden]

    def logits(self, images: np.ndarray) -> np.ndarray:
        for weights in self.weights[:-1]:
            images = self.function(images @ weights.T)
        return images @ self.weights[-1].T

    def radii(self) -> np.ndarray:
        start = np.full(len(self.images), 1e-3)
        return self.chain.radii(self.units, self.predicted, self.margins, start)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_nothing_in_the_ball_changes_the_class(activation):
    network = Network(activation)
    radii = network.radii()
    rng = np.random.default_rng(1)
    assert np.all(radii > 0.01 * network.margins.min(axis=1))
    for image, radius, predicted in zip(network.images, radii, network.predicted, strict=True):
        steps = rng.normal(size=(3000, 6))
        moved = image + radius * steps / np.linalg.norm(steps, axis=1, keepdims=True)
        assert np.all(network.logits(moved).argmax(axis=1) == predicted)


def test_bounds_lie_above_every_difference_and_near_the_gradient_in_small_balls():
    """Between an image and points in the ball, however small: then L is the gradient's length."""
    network = Network("sigmoid")
    batch = _Batch(network.chain, network.units, network.predicted)
    rng = np.random.default_rng(2)
    for radius, allowed in ((1e-4, 1.01), (0.3, np.inf)):
        unit = np.where(np.isfinite(network.margins), 1.0, np.inf)
        bounds = 1 / batch._certified(unit, np.full(len(network.images), radius))
        for image, bound, best in zip(network.images, bounds, network.predicted, strict=True):
            steps = rng.normal(size=(4000, 6))
            steps *= radius / np.linalg.norm(steps, axis=1, keepdims=True)
            change = network.logits(image + steps) - network.logits(image[None])
            slopes = np.abs(change[:, best : best + 1] - change).max() / radius
            assert slopes <= bound * (1 + 1e-7)
            assert bound <= allowed * slopes * 1.1


def test_a_linear_piece_has_its_exact_radius():
    """Where every ReLU stays on, the network is linear: the distance to the nearest class."""
    network = Network("relu", images=1)
    weights = [np.abs(each) for each in network.weights[:-1]] + network.weights[-1:]
    image = np.full((1, 6), 50.0)
    first = image @ weights[0].T
    second = first @ weights[1].T
    matrix = weights[2] @ weights[1] @ weights[0]
    logits = image @ matrix.T
    best = logits.argmax(axis=1)
    lengths = np.linalg.norm(matrix[best] - matrix, axis=1)
    margins = 1e-3 * (logits[0, best] - logits)  # so that the ball is small
    margins[0, best] = np.inf
    exact = np.min(margins[0] / np.where(lengths > 0, lengths, 1.0))
    chain = LocalChain(weights, [0.0] * 3, [RELU] * 2, [np.ones(9), np.ones(8)])
    units = [Units(each, np.zeros_like(each)) for each in (first, second)]
    (found,) = chain.radii(units, best, margins, np.array([exact / 10]))
    assert 0.98 * exact < found <= exact


def test_batches_and_errors_of_values_matter_as_they_should():
    network = Network("sigmoid")
    whole = network.radii()
    rows = np.array([3])
    units = [each.chosen(rows) for each in network.units]
    alone = network.chain.radii(
        units, network.predicted[rows], network.margins[rows], np.array([1e-3])
    )
    np.testing.assert_allclose(alone, whole[rows], rtol=1e-3)
    off = [Units(each.values, np.full_like(each.values, 2.0)) for each in network.units]
    start = np.full(len(whole), 1e-3)
    worse = network.chain.radii(off, network.predicted, network.margins, start)
    assert np.all(worse < 0.95 * whole)
    assert not network.chain.radii(off, network.predicted, network.margins, 0 * start).any()
