"""Models as bytes: what comes out is what was put in, or it is said."""

import dataclasses
import functools
import re
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.fingerprints import model_fingerprint
from intriguing_tf.sweeps.packing import pack
from tests.faults.tampering import plan

pytest.importorskip("ray", reason="Ray is not installed")

HALF = 0.5
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def half(values):
    return HALF * values


def relu(values):
    """Not Keras's."""
    return tf.nn.relu(values) * HALF


@functools.wraps(keras.activations.gelu)
def wrapping(values):
    return HALF * keras.activations.gelu(values)


@keras.saving.register_keras_serializable("tests of packing")
def registered(values):
    return HALF * values


@keras.saving.register_keras_serializable("tests of packing")
class Activated(keras.layers.Layer):
    """Calls a function that it is given, as itself or by the name it is registered by."""

    function = None

    def __init__(self, function, **settings):
        super().__init__(**settings)
        self.function = function if isinstance(function, str) else keras.activations.get(function)

    def call(self, inputs):
        by_name = isinstance(self.function, str)
        function = keras.saving.get_registered_object(self.function) if by_name else self.function
        return function(inputs)

    def get_config(self):
        function = self.function
        if not isinstance(function, str):
            function = keras.activations.serialize(function)
        return {**super().get_config(), "function": function}


class Decay(keras.regularizers.Regularizer):
    def __call__(self, weights):
        return HALF * tf.reduce_sum(weights)

    def get_config(self):
        return {}


class Constant(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return tf.fill(shape, tf.cast(HALF, dtype))

    def get_config(self):
        return {}


class Shift(keras.layers.Layer):
    offset = 0.0

    def call(self, inputs):
        return inputs - self.offset


def shifted():
    layer = Shift(name="shift")
    layer.offset = 0.25
    return layer


def activated(function):
    class Activated(keras.layers.Layer):
        def call(self, inputs):
            return function(inputs)

    return Activated(name=function.__name__)


def network(*layers):
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])


def packed(model):
    sha256 = model_fingerprint(model, [4])
    models = {"m": {"sha256": sha256, "classes": 3}}
    its_plan = dataclasses.replace(plan(), models=models, data={**plan().data, "shape": [4]})
    return pack({"m": model}, {}, its_plan)["m"]


OWN = {
    "activation": lambda: [keras.layers.Dense(4, activation=half)],
    "registered": lambda: [keras.layers.Activation(registered)],
    "by Keras's name": lambda: [
        keras.layers.Dense(4, activation=relu),
        keras.layers.Dense(4, activation="relu"),
    ],
    "by Keras's name and module": lambda: [keras.layers.Dense(4, activation=wrapping)],
    "two lambdas": lambda: [
        keras.layers.Dense(4, activation=lambda x: half(x)),
        keras.layers.Lambda(lambda x: HALF * tf.nn.relu(x)),
    ],
    "regularizer": lambda: [keras.layers.Dense(4, kernel_regularizer=Decay())],
    "initializer": lambda: [keras.layers.Dense(4, kernel_initializer=Constant())],
    "layer": lambda: [Shift()],
    "in place of a class's attribute": lambda: [Activated(registered)],
    "by its registered name": lambda: [Activated("tests of packing>registered")],
}


@pytest.mark.filterwarnings("ignore:.*lambda")
@pytest.mark.parametrize("own", OWN)
def test_code_of_the_users_own_travels_with_the_model(own):
    model = network(*OWN[own]())
    names = half.__name__, relu.__name__
    np.testing.assert_array_equal(packed(model).unpack()(X), model(X))
    assert (half.__name__, relu.__name__) == names == ("half", "relu")


def test_a_model_that_comes_out_as_another_one_is_refused_with_its_layer():
    with pytest.raises(ValueError, match=r"Model 'm' must be the same.*layer 'shift'.*'offset'"):
        packed(network(shifted()))


def test_two_classes_of_one_name_are_refused():
    model = network(activated(tf.nn.relu), activated(tf.nn.sigmoid))
    with pytest.raises(ValueError, match=r"Model 'm' must be.*'Activated'.*layer 'sigmoid'"):
        packed(model)


class Twice(keras.Operation):
    def call(self, inputs):
        return 2.0 * inputs

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def with_an_operation():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(3)(Twice()(inputs)))


def with_a_compiled_model():
    class Slow(keras.optimizers.SGD):
        pass

    inner = network()
    inner.compile(Slow(0.1), lambda labels, outputs: half(outputs))
    return network(inner)


def with_lora():
    model = network(keras.layers.Dense(4))
    model.layers[0].enable_lora(2)
    model.set_weights([0.1 + weight for weight in model.get_weights()])
    return model


def holding_a_function():
    class Holding(keras.Model):
        def __init__(self, function=half, **settings):
            super().__init__(**settings)
            self.function = function

        def get_config(self):
            return {"function": keras.saving.serialize_keras_object(self.function)}

        @classmethod
        def from_config(cls, config):
            return cls(keras.saving.deserialize_keras_object(config["function"]))

        def call(self, inputs):
            return self.function(inputs)

    model = Holding()
    model(X)
    return model


@pytest.mark.parametrize(
    "make", [with_an_operation, with_a_compiled_model, with_lora, holding_a_function]
)
def test_models_come_out_as_they_went_in(make):
    model = make()
    np.testing.assert_array_equal(packed(model).unpack()(X), model(X))
    assert all(each.compiled for each in model.layers if isinstance(each, keras.Model))


def test_what_a_worker_imports_otherwise_is_seen(monkeypatch):
    model = packed(network(keras.layers.Activation(half)))
    assert model.computes(model.unpack())
    monkeypatch.setattr(f"{__name__}.HALF", -0.5)
    assert not model.computes(model.unpack())


class Needy(keras.layers.Layer):
    def __init__(self, needed, **settings):
        super().__init__(**settings)
        self.needed = needed

    def get_config(self):
        return super().get_config()

    def call(self, inputs):
        return inputs


def locked():
    lock = threading.Lock()

    def call(inputs):
        with lock:
            return inputs

    return network(keras.layers.Activation(call))


@pytest.mark.parametrize(
    ("make", "named"),
    [(lambda: network(Needy(3)), "Needy.*needed"), (locked, "pickle.*lock")],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(make, named):
    with pytest.raises(ValueError, match="Model 'm' must be one that Keras saves") as caught:
        packed(make())
    assert re.search(named, str(caught.value)) and "\n" not in str(caught.value)


def test_a_loss_that_cannot_be_pickled_is_refused():
    with pytest.raises(ValueError, match=r"`settings\['own'\]` must be.*pickle.*lock"):
        pack({}, {"own": {"loss": threading.Lock()}}, plan())


def test_what_this_process_registered_stays_registered():
    before = dict(keras.saving.get_custom_objects())
    packed(network(keras.layers.Activation(registered)))
    assert keras.saving.get_custom_objects() == before
