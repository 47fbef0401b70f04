"""Whether a model was changed is seen at once, and training it is no change."""

import functools
import types

import keras
import numpy as np
import pytest

from intriguing_tf.model_structure import Structure

CONSTANTS = {"unit": 1.0}


class Scaled(keras.layers.Layer):
    """Without a configuration."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.shifts = np.zeros(2)
        self._powers = [1]
        self.table = {0: "zero", "other": "many"}  # keys that cannot be sorted
        self.table["itself"] = self.table
        self._settings = types.SimpleNamespace(inner={"scale": 1.0})

    offset = 0.0

    def call(self, x):
        return sum(self.scaled(part) for part in [x]) + self.offset

    def scaled(self, x):
        return self.factor * next(CONSTANTS["unit"] for _ in range(1)) * x

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


@functools.wraps(keras.activations.relu)  # so that its `__module__` is Keras's
def relu(x):
    return CONSTANTS["unit"] * keras.activations.relu(x)


def with_a_wrapped_function():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, relu)])


SHIFT = np.zeros([1, 2], "float32")


def with_a_constant():
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.ops.add(inputs, SHIFT))


def set_in_a_constant(model):
    SHIFT[0, 0] += 1


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


def set_in_an_array(model):
    model.layers[-1].shifts[1] = 1


def set_in_a_private_list(model):
    model.layers[-1]._powers[0] = 2


def set_in_an_object_of_ones_own(model):
    model.layers[-1]._settings.inner["scale"] = 2.0


def set_what_is_outside(model):
    CONSTANTS["unit"] += 1.0


def set_on_a_class(model):
    type(model.layers[-1]).offset += 1.0


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
        (network, set_in_an_array),
        (network, set_in_a_private_list),
        (network, set_in_an_object_of_ones_own),
        (network, set_what_is_outside),
        (network, set_on_a_class),
        (with_a_wrapped_function, set_what_is_outside),
        (with_a_constant, set_in_a_constant),
        (subclassed, set_on_the_model),
        (subclassed, replace_a_layer),
    ],
)
def test_a_change_is_seen(build, change):
    model = build()
    before = Structure(model)
    assert not before.changes(Structure(model))
    change(model)
    assert before.changes(Structure(model))


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
    assert not before.changes(Structure(model))
