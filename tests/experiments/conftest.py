"""An ImageNet-shaped network that is quick to attack, and images for it."""

import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def linear_network():
    """A thousand classes from pixels, one matrix: the adversary's problem is convex."""

    def build(seed=0, size=12, scale=3.0, name="linear"):
        model = keras.Sequential(
            [
                keras.Input((size, size, 3)),
                keras.layers.Flatten(name="pixels"),
                keras.layers.Dense(1000, name="logits"),
            ],
            name=name,
        )
        random = np.random.default_rng(seed)
        kernel = scale * random.normal(size=(size * size * 3, 1000))
        model.set_weights([kernel.astype("float32"), np.zeros(1000, "float32")])
        return model

    return build


@pytest.fixture(scope="session")
def images():
    def draw(n=4, size=12, seed=1):
        return np.random.default_rng(seed).uniform(0.2, 0.8, (n, size, size, 3)).astype("float32")

    return draw


@pytest.fixture(scope="session")
def quick():
    """Options of the adversary: to compile takes longer than to attack a few."""
    return {"solver": "scipy", "jit_compile": False}
