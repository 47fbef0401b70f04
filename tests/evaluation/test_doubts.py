"""Warnings that help."""

import numpy as np
import pytest

from intriguing_tf.evaluation.doubts import doubts, last_activation
from tests.evaluation.small import evaluate, images, network

LABELS = np.arange(12) % 3


def found(model=None, classes=3, labels=LABELS, predictions=LABELS, extent=(0.0, 1.0)):
    return list(doubts(model or network(), classes, labels, predictions, extent, (0.0, 1.0)))


def test_nothing_is_doubtful():
    assert found() == [] and found(labels=None) == []
    assert found(network(1, "sigmoid"), classes=2) == []
    assert found(network(3, "softmax")) == []


@pytest.mark.parametrize(
    "given, words",
    [
        ({"model": network(1), "classes": 2}, "regression"),
        ({"model": network(3, "sigmoid")}, "multi-label"),
        ({"extent": (0.2, 0.3)}, "fill little of the bounds 0 to 1"),
        ({"predictions": (LABELS + 1) % 3}, "0.0% of the images"),
    ],
    ids=["regression", "multi-label", "bounds", "labels"],
)
def test_each_doubt_by_itself(given, words):
    (doubt,) = found(**given)
    assert words in doubt


@pytest.mark.parametrize(
    "outputs, apart",
    [([0.9, 0.8, 0.1], True), ([0.7, 0.2, 0.1], False), ([0.9, 0.8, -0.1], False)],
    ids=["sigmoids", "softmax", "logits"],
)
def test_sigmoids_are_known_by_what_they_give(outputs, apart):
    """However they were built: by a function, or as heads of their own."""
    given = list(doubts(network(), 3, LABELS, LABELS, (0, 1), (0, 1), np.array([outputs] * 4)))
    assert len(given) == apart and all("multi-label" in doubt for doubt in given)


def test_a_few_labels_say_nothing():
    assert found(labels=LABELS[:5], predictions=LABELS[1:6]) == []


def test_the_last_activation():
    assert last_activation(network(3, "softmax")) == "softmax"
    assert last_activation(network()) == "linear"


@pytest.mark.slow
def test_units_that_differ_are_doubted():
    data = images() * np.array([1, 1, 1000, 1], "float32")
    (doubt,) = evaluate(network(), data, bounds=(-1e3, 1e3)).doubts
    assert "With the bounds 'data'" in doubt


def test_attacks_that_fail_are_doubted():
    """A constant model: there is no other class."""
    model = network()
    model.set_weights([np.zeros((4, 3)), np.array([3.0, -1.0, 0.0])])
    found = evaluate(model, images())
    assert (found.status == "failed").all() and "For 100% the attack found nothing" in str(found)


@pytest.mark.slow
def test_an_evaluation_says_them():
    with pytest.warns(UserWarning, match="fill less than 1 % of the bounds"):
        evaluation = evaluate(network(3, "sigmoid"), images(), bounds=(0.0, 100.0))
    assert len(evaluation.doubts) == 2 and "Doubt: The model has 3 sigmoid" in str(evaluation)
