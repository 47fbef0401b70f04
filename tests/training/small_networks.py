"""A small network, one step of its training, its gradient by differences, a small pool."""

import keras
import numpy as np

from intriguing_tf import training

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(seed=0, activation="sigmoid", width=8, output=3):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(width, activation, name="hidden"),
            keras.layers.Dense(output, name="logits"),
        ],
        name="network",
    )


def trained(model, points, epochs=1, rate=0.1, loss=LOGITS, **options):
    model.compile(keras.optimizers.SGD(rate), loss, jit_compile=False)  # as XLA: in its own tests
    options = {"batch_size": 24, "shuffle": False, "verbose": 0, **options}
    return model.fit(*points, epochs=epochs, **options)


def one_step(points, penalty, rate=0.5):
    """The change of the weights in one step that the penalty alone makes, and the plain model."""
    with_penalty, without = (
        training.AdversarialModel(network(), penalties=parts) for parts in ([penalty], [])
    )
    for model in (with_penalty, without):
        trained(model, points, rate=rate, batch_size=240)
    return [
        (a - b) / -rate
        for a, b in zip(with_penalty.model.get_weights(), without.model.get_weights(), strict=True)
    ]


def numerical_gradient(value, model):
    gradients = []
    for weight in model.trainable_variables:
        start = weight.numpy()
        gradient = np.zeros(start.shape)
        for place in np.ndindex(*start.shape):
            values = []
            for sign in (1, -1):
                moved = start.copy()
                moved[place] += sign * 1e-3
                weight.assign(moved)
                values.append(value(model))
            weight.assign(start)
            gradient[place] = (values[0] - values[1]) / 2e-3
        gradients.append(gradient)
    return gradients


def pool(layer=None, **options):
    defaults = {"size": 64, "refresh": 16, "interval": 5, "attack": {"maxcor": 1}}
    return training.AdversarialPool(layer, **defaults | options)
