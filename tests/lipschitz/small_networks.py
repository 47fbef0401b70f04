"""Small networks with random weights."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers

from intriguing_tf.lipschitz import bound


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape) / math.sqrt(max(1, math.prod(weight.shape[:-1])))
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return model


def sequential(shape, *stack, seed: int = 0) -> keras.Model:
    return randomised(keras.Sequential([keras.Input(shape), *stack]), seed)


def norm(layer) -> float:
    return float(np.linalg.norm(layer.kernel.numpy().astype(float), 2))


def dense_network(*widths: int, activation: str = "relu", seed: int = 0) -> keras.Model:
    hidden = [layers.Dense(width, activation) for width in widths[1:-1]]
    return sequential((widths[0],), *hidden, layers.Dense(widths[-1]), seed=seed)


def total(*stack, shape=(6, 6, 4)) -> float:
    """The bound of layers one after the other, as they are."""
    return bound(keras.Sequential([keras.Input(shape), *stack])).total
