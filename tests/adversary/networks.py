"""Small networks with known weights, those of the zoo, and what every result must satisfy."""

import functools

import keras
import numpy as np

import intriguing_tf as itf


def small_network(
    size=8, hidden=12, classes=4, dtype="float32", activation="tanh", last=None, seed=0
):
    """A random network of two layers whose classes are all common on [0, 1]^size."""
    model = keras.Sequential(
        [
            keras.Input((size,), dtype="float64" if dtype == "float64" else "float32"),
            keras.layers.Dense(hidden, activation=activation, dtype=dtype, name="hidden"),
            keras.layers.Dense(classes, activation=last, dtype=dtype, name="scores"),
        ]
    )
    random = np.random.default_rng(seed)
    weights = random.normal(0, 1.5, (size, hidden))
    scores = random.normal(0, 1.5, (hidden, classes))
    inside = np.tanh(random.uniform(0, 1, (500, size)) @ weights - weights.sum(0) / 2)
    model.set_weights([weights, -weights.sum(0) / 2, scores, -(inside @ scores).mean(0)])
    return model


def points(n, size=8, seed=1):
    """Random points of [0, 1]^size."""
    return np.random.default_rng(seed).uniform(0, 1, (n, size)).astype("float32")


@functools.cache
def zoo_model(name):
    return itf.zoo.load(name)


@functools.cache
def zoo_adversary(name, loss="margin"):
    """An adversary of one of the zoo's, so that it is traced once."""
    return itf.LBFGSAdversary(zoo_model(name), loss=loss, jit_compile=False)


def confirm(model, result, bounds=(0.0, 1.0)):
    """What every result must satisfy, whatever the attack did."""
    found, failed = result.status == "found", result.status == "failed"
    flat = result.images.reshape(len(result), -1).astype(np.float64)
    change = flat - result.originals.reshape(len(result), -1)
    lower, upper = (np.asarray(bound, result.images.dtype) for bound in bounds)
    assert (result.images >= lower).all() and (result.images <= upper).all()
    assert (change[~found] == 0).all()
    assert np.isinf(result.distortion[failed]).all() and np.isinf(result.l2[failed]).all()
    assert np.isnan(result.c[~found]).all() and (result.c[found] > 0).all()
    assert (np.linalg.norm(change[found], axis=1) > 0).all()
    np.testing.assert_allclose(result.l2[found], np.linalg.norm(change[found], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(result.predictions[found], result.targets[found])
    assert (result.original_predictions[found] != result.targets[found]).all()
    np.testing.assert_array_equal(result.success, ~failed)
    for size in (1, len(result)):
        scores = model.predict(result.images, batch_size=size, verbose=0)
        scores = np.concatenate([0 * scores, scores], 1) if scores.shape[1] == 1 else scores
        np.testing.assert_array_equal(scores[found].argmax(1), result.targets[found])
