"""A small model and data, and an evaluation of them that takes a second."""

import keras
import numpy as np

import intriguing_tf as itf

FAST = {"solver": "scipy", "loss": "cross_entropy", "maxfun": 25, "jit_compile": False}


def network(units=3, activation=None):
    """Softmax regression on four variables: distances have a closed form."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units, activation, name="scores")], name="m"
    )
    random = np.random.default_rng(0)
    model.set_weights([4 * random.normal(size=(4, units)), random.normal(size=units)])
    return model


def images(number=10):
    return np.random.default_rng(1).uniform(0.3, 0.7, (number, 4)).astype("float32")


def evaluate(model, data, labels=None, **options):
    return itf.evaluate(model, data, labels, verbose=False, **{"attack": FAST, **options})
