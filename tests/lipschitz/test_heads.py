"""One output unit: a logit, a sigmoid, or a probability of which nobody can tell the middle."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf import LBFGSAdversary
from intriguing_tf.lipschitz import certified_radius


def sigmoid(x):
    return layers.Dense(1, "sigmoid")(x)


PROBABILITIES = {
    "mean of sigmoids": lambda x: layers.Average()([sigmoid(x), sigmoid(x)]),
    "one of two classes": lambda x: layers.Dense(2, "softmax")(x)[:, 1],
    "complement": lambda x: 1.0 - sigmoid(x),
    "mean over outputs": lambda x: ops.mean(layers.Dense(3, "sigmoid")(x), axis=-1, keepdims=True),
    "taken": lambda x: ops.take(layers.Dense(3, "sigmoid")(x), [1], axis=-1),
    "flat hard sigmoid": lambda x: layers.Flatten()(layers.Dense(1, "hard_sigmoid")(x)),
    "clipped": lambda x: ops.clip(layers.Dense(1)(x), 0.0, 1.0),
    "logarithm": lambda x: layers.Dense(1, "log_sigmoid")(x),
}
LOGITS = {
    "sum": lambda x: layers.Add()([layers.Dense(1)(x), layers.Dense(1)(x)]),
    "sum with a probability": lambda x: layers.Add()([layers.Dense(1)(x), sigmoid(x)]),
    "of probabilities": lambda x: layers.Dense(1)(sigmoid(x)),
    "flat sigmoid": lambda x: layers.Flatten()(sigmoid(x)),
    "tanh": lambda x: layers.Dense(1, "tanh")(x),
}
IMAGES = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def classifier(ending) -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, ending(x))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_probability_that_is_no_sigmoid_is_refused(name):
    with pytest.raises(ValueError, match=r"(?s)One output unit is a logit.*Received: one unit"):
        certified_radius(classifier(PROBABILITIES[name]), IMAGES, verbose=False)


@pytest.mark.parametrize("name", LOGITS)
def test_a_logit_is_certified(name):
    assert (certified_radius(classifier(LOGITS[name]), IMAGES, verbose=False) > 0).all()


@pytest.mark.parametrize(
    "disguise",
    [
        lambda z: 0.5 * (1 + ops.erf(z)),
        lambda z: (1 + ops.tanh(z)) / 2,
        lambda z: layers.Rescaling(0.5, 0.5)(ops.tanh(z)),
        lambda z: (keras.activations.softsign(z) + 1) * 0.5,
        lambda z: ops.arctan(z) / np.pi + 0.5,
        lambda z: (1 + keras.activations.hard_tanh(z)) / 2,
        lambda z: ops.minimum(ops.maximum(z, 0.0), 1.0),
        keras.activations.hard_sigmoid,
        lambda z: 1 - ops.sigmoid(z),
    ],
    ids=["probit", "tanh", "rescaled", "softsign", "arctan", "hard_tanh", "ends", "hard", "minus"],
)
def test_a_probability_in_disguise_is_refused_by_bounds_and_by_attacks(disguise):
    x = keras.Input((1,))
    model = keras.Model(x, disguise(layers.Dense(1)(x)))
    points = np.array([[0.1], [0.6]], np.float32)
    with pytest.raises(ValueError, match="One output unit"):
        certified_radius(model, points)
    with pytest.raises(ValueError, match="One output unit"):
        LBFGSAdversary(model)(points)


@pytest.mark.parametrize("head", [ops.tanh, lambda z: 2 * ops.tanh(z), lambda z: z + 1])
def test_what_is_divided_at_0_is_no_probability(head):
    x = keras.Input((1,))
    dense = layers.Dense(1)
    model = keras.Model(x, head(dense(x)))
    dense.set_weights([np.array([[10.0]]), np.array([-5.0])])
    points = np.array([[0.1], [0.9]], np.float32)
    assert (certified_radius(model, points) > 0).all()
    assert (LBFGSAdversary(model)(points).status == "found").all()
