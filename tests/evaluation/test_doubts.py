"""Warnings that help."""

import keras
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


def by_a_function(units=3):
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.ops.sigmoid(keras.layers.Dense(units)(inputs)))


def by_heads():
    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(1, "sigmoid")(inputs) for _ in range(3)]
    return keras.Model(inputs, keras.layers.Concatenate()(heads))


def given(model, outputs, classes=3):
    values = np.array([outputs] * 4)
    return list(doubts(model, classes, LABELS, LABELS, (0, 1), (0, 1), values))


@pytest.mark.parametrize(
    "outputs, apart",
    [([0.9, 0.8, 0.1], True), ([0.7, 0.2, 0.1], False), ([0.9, 0.8, -0.1], False)],
    ids=["sigmoids", "softmax", "logits"],
)
def test_where_no_activation_is_seen_outputs_say_what_they_are(outputs, apart):
    found = given(by_heads(), outputs)
    assert len(found) == apart and all("multi-label" in doubt for doubt in found)


@pytest.mark.parametrize("activation", [None, "tanh", "relu", "softmax"])
def test_other_outputs_may_lie_between_0_and_1(activation):
    assert given(network(3, activation), [0.9, 0.8, 0.1]) == []


def test_one_probability_is_no_regression():
    assert given(by_a_function(1), [0.3], classes=2) == []
    (doubt,) = given(network(1, "relu"), [0.3], classes=2)
    assert "regression" in doubt


def test_infinite_bounds_are_filled_by_nothing():
    assert not list(doubts(network(), 3, LABELS, LABELS, (0, 1), (-np.inf, np.inf)))


def test_a_few_labels_say_nothing():
    assert found(labels=LABELS[:5], predictions=LABELS[1:6]) == []


def test_the_last_activation():
    assert last_activation(network(3, "softmax")) == "softmax"
    assert last_activation(network()) == "linear"
    assert last_activation(by_a_function()) == "sigmoid" and last_activation(by_heads()) == ""
    ends = [keras.layers.Softmax(), keras.layers.Activation("linear"), keras.layers.Reshape((3, 1))]
    inputs = keras.Input((4,))
    assert last_activation(keras.Model(inputs, keras.Sequential([network(), *ends])(inputs))) == (
        "softmax"
    )


def test_the_last_layer_of_a_model_without_a_graph_is_not_known():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return keras.ops.sigmoid(self.dense(inputs))

    model = Own()
    model(np.zeros((1, 4)))
    assert last_activation(model) == ""


@pytest.mark.slow
def test_units_that_differ_are_doubted():
    data = images() * np.array([1, 1, 1000, 1], "float32")
    (doubt,) = evaluate(network(), data, bounds=(-1e3, 1e3)).doubts
    assert "With the bounds 'data'" in doubt


@pytest.mark.slow
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
