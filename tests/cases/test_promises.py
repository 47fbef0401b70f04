"""What every result promises, for random networks, bounds and options."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.adversary.margins import hard_margins
from tests.adversary.networks import confirm

BOUNDS = ((0, 1), (-1, 1), (0, 255), (-3.0, 7.0))


def dense(random, x, outputs):
    activation = str(random.choice(["relu", "tanh", "sigmoid", "gelu", "leaky_relu"]))
    hidden = keras.layers.Dense(12, activation)(x)
    return keras.layers.Dense(outputs, bias_initializer="random_normal")(hidden)


def convolutional(random, x, outputs):
    y = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Reshape((6, 6, 1))(x))
    y = keras.layers.MaxPooling2D()(y) if random.random() < 0.5 else y
    return keras.layers.Dense(outputs)(keras.layers.Flatten()(y))


def clipped(random, x, outputs):
    return keras.layers.Activation(str(random.choice(["relu", "relu6"])))(dense(random, x, outputs))


def probable(random, x, outputs):
    return keras.layers.Softmax()(dense(random, x, outputs))


def huge(random, x, outputs):
    return 1e8 * dense(random, x, outputs)


def drawn(seed):
    """A network with images, bounds, options of an adversary and of its call."""
    random = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    x, classes = keras.Input((36,)), int(random.integers(2, 6))
    ending = [dense, convolutional, clipped, probable, huge][seed % 5]
    model = keras.Model(x, ending(random, x, classes))
    low, high = BOUNDS[random.integers(4)]
    images = (low + (high - low) * random.random((4, 36))).astype(np.float32)
    images[random.random(images.shape) < 0.2] = low
    options = {"bounds": (low, high), "maxfun": int(random.choice([5, 20, 60, 100]))}
    options |= [{}, {"loss": "cross_entropy"}, {"solver": "scipy"}, {"starts": 2}][seed % 4]
    options |= [{}, {"levels": 256}, {"confidence": 0.3}][random.integers(3)]
    predictions = model.predict(images, verbose=0).argmax(axis=1)
    others = (predictions + random.integers(1, classes, 4)) % classes
    asked = {"targets": ["nearest", "random", "least_likely", others][random.integers(4)]}
    if random.random() < 0.4:
        asked["mask"] = random.random(36) < 0.6
    return model, images, options, asked


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.drawn(2)
def test_what_is_claimed_holds(seed):
    model, images, options, asked = drawn(seed)
    adversary = itf.LBFGSAdversary(model, jit_compile=False, **options)
    result = adversary(images, **asked)
    confirm(model, result, options["bounds"])
    found, (low, high) = result.status == "found", options["bounds"]
    predictions = model.predict(result.images, batch_size=4, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(result.predictions, predictions)
    assert found.any()
    moved = result.images != images
    assert not (moved & ~asked.get("mask", np.bool_(1))).any()
    assert np.isfinite(result.c[found]).all()
    if "confidence" in options:
        logits = adversary.classifier.predict_logits(result.images)
        assert (hard_margins(logits, result.targets)[found] <= -0.3).all()
    if "levels" in options:
        lattice = (result.images[moved] - low) / (high - low) * 255
        np.testing.assert_allclose(lattice, lattice.round(), atol=1e-2)
    np.testing.assert_array_equal(adversary(images, **asked).images, result.images)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["compiled", "scipy"])
def test_where_logits_are_clipped_to_nothing_points_are_found(solver):
    """ReLUs of 1 - s, s - 6: at the image, of eight pixels of 0.5, both logits are 0."""
    dense = keras.layers.Dense(2, "relu")
    model = keras.Sequential([keras.Input((8,)), dense])
    dense.set_weights([np.stack([-np.ones(8), np.ones(8)], axis=1), np.array([1.0, -6])])
    x = np.full((2, 8), 0.5, np.float32)
    result = itf.LBFGSAdversary(model, solver=solver, loss="cross_entropy")(x, targets=[1, 1])
    assert result.success.all() and (result.l2 < 0.8).all() and np.isfinite(result.c).all()
