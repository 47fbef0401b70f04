"""Whether a model was changed is seen at once, and training it is no change."""

import keras
import numpy as np
import pytest

from intriguing_tf.model_structure import Structure


class Scaled(keras.layers.Layer):
    """Without a configuration, and it keeps what it was called on."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        self.last = x
        return self.factor * x

    def get_config(self):
        raise NotImplementedError


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [keras.layers.Dense(4), Scaled(2.0)]
        self.power = 1

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x**self.power


def network():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2), Scaled(2.0)]
    )


def subclassed():
    model = Subclassed()
    model(np.zeros([1, 3]))
    return model


def add_layer(model):
    model.add(keras.layers.Dense(2))


def set_activation(model):
    model.layers[0].activation = keras.activations.tanh


def set_factor(model):
    model.layers[-1].factor = 3.0


def set_on_the_model(model):
    model.power = 2


def replace_a_layer(model):
    model.blocks[0] = keras.layers.Dense(4)


@pytest.mark.parametrize(
    ("build", "change"),
    [
        (network, lambda model: model.pop()),
        (network, add_layer),
        (network, set_activation),
        (network, lambda model: model.layers[0].enable_lora(1)),
        (network, lambda model: model.layers[0].quantize("int8")),
        (network, set_factor),
        (subclassed, set_on_the_model),
        (subclassed, replace_a_layer),
    ],
)
def test_a_change_is_seen(build, change):
    model = build()
    before = Structure(model)
    assert before.equals(Structure(model))
    change(model)
    assert not before.equals(Structure(model))


@pytest.mark.parametrize("build", [network, subclassed])
def test_training_and_predicting_are_no_change(build):
    model, x = build(), np.zeros([2, 3], "float32")
    model.compile("sgd", "mse")
    model.train_on_batch(x, model.predict(x, verbose=0))
    before = Structure(model)
    model.compile("adam", "mae", metrics=["mse"])
    model.fit(x, model.predict(x, verbose=0), verbose=0)
    model.evaluate(x, x[:, :2] if build is network else np.zeros([2, 4]), verbose=0)
    model.set_weights([each + 1 for each in model.get_weights()])
    model.trainable = False
    assert before.equals(Structure(model))
