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
    "softsign": lambda x: layers.Dense(1, "softsign")(x),
    "leaky": lambda x: layers.LeakyReLU()(layers.Dense(1)(x)),
    "normalized": lambda x: layers.BatchNormalization()(layers.Dense(1)(x)),
    "difference": lambda x: (lambda z: z[:, 1:] - z[:, :1])(layers.Dense(2)(x)),
    "residual": lambda x: (lambda z: z + 0.1 * z)(layers.Dense(1)(x)),
}
# Ends of networks that bounds have no rules for.
ENDINGS = {
    "recurrent": lambda x: layers.Dense(1)(layers.LSTM(2)(layers.Reshape((2, 2))(x))),
    "attention": lambda x: layers.Dense(1)(
        layers.Flatten()(
            layers.MultiHeadAttention(1, 2)(layers.Reshape((2, 2))(x), layers.Reshape((2, 2))(x))
        )
    ),
    "convolution": lambda x: layers.GlobalAveragePooling1D()(
        layers.Conv1D(1, 2)(layers.Reshape((4, 1))(x))
    ),
    "normalized": lambda x: layers.Dense(1)(layers.LayerNormalization()(x)),
}
DISGUISES = {
    "probit": lambda z: 0.5 * (1 + ops.erf(z)),
    "tanh": lambda z: (1 + ops.tanh(z)) / 2,
    "rescaled": lambda z: layers.Rescaling(0.5, 0.5)(ops.tanh(z)),
    "softsign": lambda z: (keras.activations.softsign(z) + 1) * 0.5,
    "arctan": lambda z: ops.arctan(z) / np.pi + 0.5,
    "hard_tanh": lambda z: (1 + keras.activations.hard_tanh(z)) / 2,
    "ends": lambda z: ops.minimum(ops.maximum(z, 0.0), 1.0),
    "hard": keras.activations.hard_sigmoid,
    "minus": lambda z: 1 - ops.sigmoid(z),
    "written out": lambda z: 1 / (1 + ops.exp(-z)),
    "powers": lambda z: ops.sqrt(ops.sigmoid(z)) ** 3,
    "Gaussian": lambda z: 1 - ops.exp(-ops.square(z)),
    "softplus": ops.softplus,
    "softmax": ops.softmax,
    "slice": lambda z: ops.softmax(ops.concatenate([z, 2 * z], axis=1))[:, 1:],
    "max": lambda z: ops.max(ops.sigmoid(ops.concatenate([z, -z], axis=1)), axis=1, keepdims=True),
    "ReLUs": lambda z: ops.minimum(ops.relu(0.2 * z + 0.5), 1.0),
    "ReLU of a sigmoid": lambda z: ops.relu(ops.sigmoid(z)),
    "twice turned": lambda z: 1 - ops.relu(1 - ops.relu(z)),
    "ELU": lambda z: ops.elu(z) + 1,
    "leaky": lambda z: layers.LeakyReLU()(ops.sigmoid(z)),
    "parametric": lambda z: layers.PReLU()(ops.sigmoid(z)),
    "padded": lambda z: ops.max(ops.pad(ops.sigmoid(z), [[0, 0], [1, 1]]), axis=1, keepdims=True),
    "rolled": lambda z: ops.roll(ops.sigmoid(z), 1, axis=1),
    "softplus by hand": lambda z: ops.logaddexp(z, 0.0),
    "difference": lambda z: ops.diff(ops.pad(ops.sigmoid(z), [[0, 0], [1, 0]]), axis=1),
    "part of a row": lambda z: ops.concatenate([z, ops.sigmoid(z)], axis=1)[:, 1:],
    "median": lambda z: ops.median(ops.sigmoid(z), axis=1, keepdims=True),
    "absolute by hand": lambda z: ops.where(z > 0, z, -z),
    "largest of two": lambda z: ops.maximum(z, -z),
    "largest of joined": lambda z: ops.max(ops.concatenate([z, -z], axis=1), axis=1, keepdims=True),
    "one branch back": lambda z: z + ops.relu(-z),
    "scaled": lambda z: layers.BatchNormalization()(ops.sigmoid(z)),
    "mean over a length": lambda z: (
        ops.sum(ops.sigmoid(z), axis=1, keepdims=True) / ops.cast(ops.shape(z)[1], "float32")
    ),
    "resized": lambda z: ops.image.resize(
        ops.reshape(ops.sigmoid(z), (-1, 1, 1, 1)), (2, 2), interpolation="bilinear"
    )[:, 0, 0],
    "noisy or": lambda z: 1 - ops.prod(1 - ops.sigmoid(ops.concatenate([z, z], axis=1)), axis=1),
}
IMAGES = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def classifier(ending) -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, ending(x))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_probability_that_is_no_sigmoid_is_refused(name):
    with pytest.raises(ValueError, match="One output unit is a logit"):
        certified_radius(classifier(PROBABILITIES[name]), IMAGES, verbose=False)


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.drawn(6)
def test_a_logit_is_certified(name):
    assert (certified_radius(classifier(LOGITS[name]), IMAGES, verbose=False) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.drawn(2)
def test_logits_of_any_network_are_attacked(name):
    model = classifier(ENDINGS[name])
    result = LBFGSAdversary(model, bounds=(-9, 9), maxfun=20)(IMAGES)
    positive = np.ravel(model.predict(IMAGES, verbose=0)) > 0
    np.testing.assert_array_equal(result.original_predictions, positive)


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
def test_a_probability_in_disguise_is_refused_by_bounds_and_by_attacks(name):
    x = keras.Input((1,))
    model = keras.Model(x, DISGUISES[name](layers.Dense(1)(x)))
    points = np.array([[0.1], [0.6]], np.float32)
    with pytest.raises(ValueError, match=r"One output unit|No Lipschitz rule|divides by|hold for"):
        certified_radius(model, points)
    with pytest.raises(ValueError, match="One output unit"):
        LBFGSAdversary(model)(points)


@pytest.mark.slow
@pytest.mark.parametrize("head", [ops.tanh, lambda z: 2 * ops.tanh(z), lambda z: z + 1])
def test_what_is_divided_at_0_is_no_probability(head):
    x = keras.Input((1,))
    dense = layers.Dense(1)
    model = keras.Model(x, head(dense(x)))
    dense.set_weights([np.array([[10.0]]), np.array([-5.0])])
    points = np.array([[0.1], [0.9]], np.float32)
    assert (certified_radius(model, points) > 0).all()
    assert (LBFGSAdversary(model)(points).status == "found").all()


SHIFTS = np.array([0.0, 0.2, 0.0], np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        lambda z: ops.softmax(z) + SHIFTS,
        lambda z: ops.sigmoid(z) + SHIFTS,
        lambda z: (ops.sigmoid(z) - 1.0) + SHIFTS,
        lambda z: layers.Reshape((3,))(layers.Reshape((3, 1))(ops.softmax(z)) + SHIFTS[:, None]),
        lambda z: ops.softmax(z) - (1 - SHIFTS),
    ],
    ids=["softmax", "sigmoid", "twice", "reshaped", "subtracted"],
)
@pytest.mark.drawn(3)
def test_what_is_added_behind_a_softmax_moves_the_boundary(head):
    x = keras.Input((3,))
    dense = layers.Dense(3)
    model = keras.Model(x, head(dense(x)))
    dense.set_weights([np.eye(3), np.zeros(3)])
    image = np.array([[1.0, 0.0, 0.0]], np.float32)
    step = np.array([-1.0, 1.0, 0.0]) / np.sqrt(2)
    distances = np.linspace(0, 1, 201)
    line = (image + distances[:, None] * step).astype(np.float32)
    nearest = distances[model.predict(line, verbose=0).argmax(axis=1) == 1].min()
    assert nearest < 0.4  # without the shift .707
    for method in ("global", "local"):
        assert certified_radius(model, image, method=method) <= nearest
