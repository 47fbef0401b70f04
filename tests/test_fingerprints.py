"""Fingerprints: equal for equal content in any process, other for every change that matters."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf
from intriguing_tf import datasets
from intriguing_tf.fingerprints import (
    array_fingerprint,
    json_fingerprint,
    model_content,
    model_fingerprint,
    own_code,
    plain,
    source_fingerprint,
    versions,
)

IMAGES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_arrays_are_hashed_as_the_cards_of_the_zoo_hash_them():
    sample = datasets.mnist_sample()
    assert array_fingerprint(*sample) == datasets.fingerprint(*sample)


@pytest.mark.parametrize(
    "same",
    [IMAGES.copy(), np.asfortranarray(IMAGES), IMAGES.astype(">f4"), IMAGES[::-1][::-1]],
    ids=["copy", "columns first", "big endian", "negative strides"],
)
def test_layout_in_memory_does_not_count(same):
    assert array_fingerprint(same) == array_fingerprint(IMAGES)


def test_every_value_shape_and_dtype_counts():
    other = IMAGES.copy()
    other[1, 2, 3] += 1e-6
    arrays = [
        (IMAGES,), (IMAGES.reshape(3, 2, 4),), (IMAGES.astype(np.float64),), (IMAGES, IMAGES),
        (IMAGES.view(np.int32),), (IMAGES[:1],), (IMAGES[:0],), (),
    ]  # fmt: skip
    other[1, 2, 3] = np.nextafter(IMAGES[1, 2, 3], np.float32(np.inf))
    arrays.append((other,))
    assert len({array_fingerprint(*each) for each in arrays}) == len(arrays)


def test_large_arrays_are_hashed_in_parts(monkeypatch, tmp_path):
    whole = array_fingerprint(np.tile(IMAGES, (50, 1, 1)))
    copied = []
    contiguous = np.ascontiguousarray
    monkeypatch.setattr(np, "ascontiguousarray", lambda a: copied.append(a.nbytes) or contiguous(a))
    file = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (100, 3, 4))
    file[:] = np.tile(IMAGES, (50, 1, 1))
    assert array_fingerprint(file, chunk=3 * IMAGES[0].nbytes) == whole
    assert max(copied) == 3 * IMAGES[0].nbytes and len(copied) == 34


def test_scalars_strings_and_bfloat16_have_fingerprints():
    import ml_dtypes

    few = [np.float32(1), np.array(["a", "b"]), np.array([True]), np.ones(2, ml_dtypes.bfloat16)]
    assert len({array_fingerprint(each) for each in few}) == len(few)
    assert array_fingerprint(np.float32(1)) == array_fingerprint(np.ones(1, np.float32))
    with pytest.raises(TypeError, match="Received: dtype object"):
        array_fingerprint(np.array([object()]))


def dense(activation="relu", names=(None, None), units=4, seed=0):
    keras.utils.set_random_seed(seed)
    x = keras.Input((4,))
    y = keras.layers.Dense(units, activation=activation, name=names[0])(x)
    return keras.Model(x, keras.layers.Dense(2, name=names[1])(y))


@pytest.mark.slow
def test_models_of_equal_content_have_equal_fingerprints():
    first = model_fingerprint(dense())
    assert model_fingerprint(dense()) == first  # Keras has named its layers otherwise
    assert model_fingerprint(dense(names=("a", "b"))) == first
    compiled = dense()
    compiled.compile("adam", lambda y, scores: keras.losses.mean_squared_error(y, scores))
    assert model_fingerprint(compiled) == first
    trained = dense()
    trained.compile("sgd", "mse")
    trained.fit(np.zeros((1, 4)), np.zeros((1, 2)), verbose=0)
    trained.set_weights(dense().get_weights())
    assert model_fingerprint(trained) == first


def test_every_weight_and_every_key_of_the_configuration_count():
    first = model_fingerprint(dense())
    assert model_fingerprint(dense("tanh")) != first
    assert model_fingerprint(dense(units=5)) != first
    assert model_fingerprint(dense(seed=1)) != first
    for i in range(4):
        model = dense()
        weights = model.get_weights()
        weights[i].flat[0] = np.nextafter(weights[i].flat[0], np.float32(np.inf))
        model.set_weights(weights)
        assert model_fingerprint(model) != first


def test_a_name_is_not_taken_for_a_setting_of_the_same_spelling():
    def model(kind):
        return keras.Sequential([keras.Input((3,)), keras.layers.Activation(kind, name=kind)])

    assert model_fingerprint(model("relu")) != model_fingerprint(model("tanh"))


def test_the_wiring_of_layers_counts():
    def model(first, second):
        layers = {name: keras.layers.Rescaling(scale) for name, scale in (("a", 2), ("b", 3))}
        x = keras.Input((3,))
        a, b = layers["a"](x), layers["b"](x)
        return keras.Model(x, keras.layers.Subtract()([locals()[first], locals()[second]]))

    assert model_fingerprint(model("a", "b")) == model_fingerprint(model("a", "b"))
    assert model_fingerprint(model("a", "b")) != model_fingerprint(model("b", "a"))


def test_nested_models_and_shared_initializers_have_equal_fingerprints():
    def model():
        keras.utils.set_random_seed(0)
        shared = keras.initializers.HeNormal(seed=1)
        inner = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(4, kernel_initializer=shared)]
        )
        x = keras.Input((4,))
        return keras.Model(x, keras.layers.Dense(4, kernel_initializer=shared)(inner(inner(x))))

    assert model_fingerprint(model()) == model_fingerprint(model())


def freezable():
    """A model within a model, with a layer of one's own, one that holds another, and statistics."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((4,)), Trained(), keras.layers.BatchNormalization()])
    x = keras.Input((4,))
    y = keras.layers.Reshape((1, 4))(inner(x))
    y = keras.layers.TimeDistributed(keras.layers.Dense(2))(y)
    return keras.Model(x, keras.layers.Flatten()(y))


class Trained(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones")

    def call(self, inputs):
        return self.scale * inputs


@pytest.mark.parametrize("frozen", [
    lambda model: model, lambda model: model.layers[1], lambda model: model.layers[1].layers[1],
    lambda model: model.layers[3],
], ids=["model", "nested model", "its layer", "wrapper"])  # fmt: skip
def test_frozen_layers_are_no_other_model(frozen, tmp_path):
    model = freezable()
    first = model_fingerprint(model)
    frozen(model).trainable = False
    assert model_fingerprint(model) == first
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", {"Trained": Trained})
    assert len(loaded.trainable_weights) < len(freezable().trainable_weights)
    assert model_fingerprint(loaded) == first


def test_fingerprints_from_before_frozen_layers_were_no_other_model_hold():
    model = freezable()
    counted = json.dumps(model_content(model).configuration).count('"trainable": true')
    assert counted == model.to_json().count('"trainable": true') > 5


def doubled():
    class Scaled(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    return Scaled()


def tripled():
    class Scaled(keras.layers.Layer):
        def call(self, inputs):
            return 3 * inputs

    return Scaled()


def test_the_code_of_layers_of_ones_own_counts():
    def model(layer):
        return keras.Sequential([keras.Input((4,)), layer])

    assert model_fingerprint(model(doubled())) == model_fingerprint(model(doubled()))
    assert model_fingerprint(model(doubled())) != model_fingerprint(model(tripled()))


def test_the_code_of_activation_functions_of_ones_own_counts():
    def once():
        def scaled(x):
            return 2 * x

        return scaled

    def thrice():
        def scaled(x):
            return 3 * x

        return scaled

    def model(layer, function):
        return keras.Sequential([keras.Input((4,)), layer(function())])

    def dense(function):
        return keras.layers.Dense(2, function, kernel_initializer="ones")

    for layer in (keras.layers.Activation, dense):
        assert model_fingerprint(model(layer, once)) == model_fingerprint(model(layer, once))
        assert model_fingerprint(model(layer, once)) != model_fingerprint(model(layer, thrice))


def test_subclassed_models_are_told_apart_by_their_weights():
    class Network(keras.Model):
        def __init__(self, start):
            super().__init__()
            self.head = keras.layers.Dense(2, kernel_initializer=start)
            self.something = object()

        def call(self, inputs):
            return self.head(inputs)

    def model(start):
        network = Network(start)
        network(np.zeros((1, 3)))
        return network

    assert model_fingerprint(model("ones")) == model_fingerprint(model("ones"))
    assert model_fingerprint(model("ones")) != model_fingerprint(model("zeros"))


class Scaled(keras.layers.Layer):
    """A layer whose `get_config` says nothing of its settings."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.calls = scale, 0

    def call(self, inputs):
        self.calls, self.last = self.calls + 1, inputs
        return inputs * self.scale

    def get_config(self):
        return {}


class Network(keras.Model):
    """A model without a `get_config`."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.head = scale, keras.layers.Dense(2, kernel_initializer="ones")

    def call(self, inputs):
        return self.head(inputs) * self.scale


@pytest.mark.parametrize("scales", [
    (2.0, 3.0), (True, False), ([1, 2], [1, 3]), (np.ones(3), np.zeros(3)), ("a", "b"),
    (tf.constant([1.0]), tf.constant([2.0])),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("own", [Scaled, Network])
def test_attributes_of_ones_own_count(own, scales):
    def model(scale):
        layer = own(scale)
        if own is Scaled:
            return keras.Sequential([layer])
        layer.head.build((None, 3))
        return layer

    first, other = scales
    assert model_fingerprint(model(first)) == model_fingerprint(model(first))
    assert model_fingerprint(model(first)) != model_fingerprint(model(other))


def test_what_a_run_changes_does_not_count():
    """A counter, and a tensor that was symbolic when the layer was traced."""
    model = keras.Sequential([keras.Input((3,)), Scaled(2.0)])
    before = model_fingerprint(model)
    model.predict(np.ones((4, 3)), verbose=0)
    assert model_fingerprint(model) == before and model.layers[0].calls > 1


@pytest.mark.slow
def test_what_keras_keeps_of_a_model_of_ones_own_does_not_count():
    x = np.ones((4, 3), np.float32)
    fresh, used = Network(2.0), Network(2.0)
    fresh(x), used(x)
    used.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
    used.fit(x, np.ones((4, 2)), verbose=0)
    used.evaluate(x, np.ones((4, 2)), verbose=0)
    used.predict(x, verbose=0)
    assert model_fingerprint(used) == model_fingerprint(fresh)


def with_activation(function):
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(2, function, kernel_initializer="ones")(x))


def with_layer(layer, after=None):
    """A model whose other layers are Keras's."""
    x = keras.Input((4,))
    y = keras.layers.Dense(2, after, kernel_initializer="ones")(layer(x))
    return keras.Model(x, y)


def closure(factor):
    return lambda x: x * factor


@dataclasses.dataclass
class Times:
    factor: float

    def __call__(self, x):
        return x * self.factor


class Bare(keras.layers.Layer):
    """A layer that Keras finds no configuration of."""

    def __init__(self, thing):
        super().__init__()

    def call(self, inputs):
        return inputs


class Silent(keras.layers.Layer):
    """A layer with a part that its configuration leaves out."""

    def __init__(self, kind):
        super().__init__()
        self.inner = keras.layers.Dense(2, kind, kernel_initializer="ones")

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        return {"name": self.name}


class Listed(keras.Model):
    """A model that keeps nothing of its arguments but the layers."""

    def __init__(self, *layers):
        super().__init__()
        self.chain = list(layers)

    def call(self, inputs):
        for layer in self.chain:
            inputs = layer(inputs)
        return inputs


class Global(keras.Model):
    FACTOR = 2.0

    def call(self, inputs):
        return inputs * Global.FACTOR


class Doubling(keras.Operation):
    def __init__(self, factor):
        super().__init__()
        self._kept = {"factor": factor}

    def call(self, x):
        return x * self._kept["factor"]

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def ran(model):
    model(np.ones((2, 4), np.float32))
    return model


def with_attribute(kind):
    model = Listed(keras.layers.Dense(2, kernel_initializer="ones"))
    model.chain[0].activation = keras.activations.get(kind)
    return ran(model)


def with_global(factor):
    Global.FACTOR = factor
    return ran(Global())


def with_call(factor):
    model = with_activation("linear")
    call = model.call
    model.call = lambda *args, **kwargs: factor * call(*args, **kwargs)
    return model


def with_operation(factor):
    x = keras.Input((4,))
    return keras.Model(x, Doubling(factor)(x))


def mapped(factor):
    x = keras.Input((4,))
    try:
        return keras.Model(x, keras.ops.vectorized_map(closure(factor), x))
    except ValueError:
        pytest.skip("this release of Keras has no such operation on symbolic tensors")


# Models of which no configuration and no source tells the one from the other.
UNTOLD = {
    "closure": (lambda a: with_activation(closure(a)), 1.0, -2.0),
    "partial": (
        lambda a: with_activation(partial(keras.activations.leaky_relu, negative_slope=a)),
        0.1,
        0.9,
    ),
    "callable object": (lambda a: with_activation(Times(a)), 1.0, 3.0),
    "traced function": (lambda a: with_activation(tf.function(closure(a))), 1.0, 3.0),
    "Lambda of a closure": (lambda a: with_layer(keras.layers.Lambda(closure(a))), 1.0, 3.0),
    "Lambda of an object": (lambda a: with_layer(keras.layers.Lambda(Times(a))), 1.0, 3.0),
    "beside one without": (lambda kind: with_layer(Bare(object()), kind), "relu", "tanh"),
    "slope beside one without": (
        lambda a: with_layer(Bare(object()), keras.layers.LeakyReLU(a)), 0.1, 0.9,
    ),
    "left out": (lambda kind: with_layer(Silent(kind)), "relu", "tanh"),
    "list of layers": (lambda a: ran(Listed(keras.layers.LeakyReLU(a))), 0.1, 0.9),
    "attribute": (with_attribute, "relu", "tanh"),
    "global": (with_global, 2.0, 3.0),
    "call of an object": (with_call, 2.0, 3.0),
    "operation": (with_operation, 2.0, 3.0),
    "given to an operation": (mapped, 2.0, 3.0),
}  # fmt: skip


class Summing(keras.Model):
    """Subclassed, called in a way that no configuration tells."""

    def __init__(self, inputs=None):
        super().__init__()
        self.dense, self.reads = keras.layers.Dense(2), inputs or (lambda x: x)

    def call(self, *inputs):
        return self.dense(self.reads(*inputs))


ODDLY_CALLED = {
    "a list": (lambda x: x[0] + x[1], lambda x: ([x, x],)),
    "a mapping": (lambda x: x["a"], lambda x: ({"a": x},)),
    "two arguments": (lambda x, y: x + y, lambda x: (x, x)),
    "a known batch": (lambda x: tf.reshape(x, [x.shape[0], -1]), lambda x: (x,)),
    "eagerly": (lambda x: x * float(np.sum(x.numpy() > 9)), lambda x: (x,)),
}


@pytest.mark.parametrize("kind", ODDLY_CALLED)
def test_models_that_cannot_be_traced_count_by_source_and_weights(kind):
    reads, call = ODDLY_CALLED[kind]
    model = Summing(reads)
    model(*call(tf.ones((3, 4))))
    first = model_fingerprint(model)
    assert model_fingerprint(model) == first
    model.dense.kernel.assign_add(tf.ones_like(model.dense.kernel))
    assert model_fingerprint(model) != first


@pytest.mark.filterwarnings("ignore:The object being serialized")
@pytest.mark.parametrize("kind", UNTOLD)
def test_what_a_model_computes_counts_however_it_came_about(kind):
    make, one, other = UNTOLD[kind]
    first = model_fingerprint(make(one))
    assert model_fingerprint(make(one)) == first != model_fingerprint(make(other))
    inputs = np.full((2, 4), -0.5, np.float32)
    assert np.abs(make(one)(inputs) - make(other)(inputs)).max() > 0.01


@pytest.mark.slow
def test_what_a_saved_model_computes_counts(tmp_path):
    """Its configuration is a path, and activations have no weights."""

    def found(kind):
        with_activation(kind).export(tmp_path / "saved", verbose=False)
        layer = keras.layers.TFSMLayer(tmp_path / "saved", call_endpoint="serve")
        return model_fingerprint(keras.Sequential([keras.Input((4,)), layer]))

    assert found("relu") == found("relu") != found("tanh")


def test_the_shape_of_inputs_is_taken_where_a_model_does_not_say_it():
    class Turned(keras.Model):
        def call(self, inputs):
            return inputs * Global.FACTOR

        def get_build_config(self):
            return None

    def found(factor, *shape):
        Global.FACTOR = factor
        return model_fingerprint(ran(Turned()), *shape)

    assert found(2.0, [4]) == found(2.0, [4]) != found(3.0, [4])
    assert found(2.0) == found(3.0)  # nobody knows how to call it
    assert model_fingerprint(with_global(2.0), (4,)) == model_fingerprint(with_global(2.0))


def test_models_of_layers_of_keras_are_told_apart_without_tracing(monkeypatch):
    """Their fingerprints stay what they were, whichever release would trace them."""

    def model(slope):
        keras.utils.set_random_seed(0)
        x = keras.Input((8, 8, 1))
        y = keras.layers.Conv2D(2, 3, activation="gelu", kernel_regularizer="l2")(x)
        y = keras.layers.TimeDistributed(keras.layers.Dense(3, "relu"))(y)
        y = keras.layers.BatchNormalization()(keras.layers.Activation(keras.ops.silu)(y))
        made = keras.Model(x, keras.ops.mean(keras.layers.LeakyReLU(slope)(y), axis=(1, 2)))
        made.compile("sgd", keras.losses.MeanSquaredError())
        made.predict_step = lambda inputs: inputs
        return made

    made = [model(slope) for slope in (0.1, 0.1, 0.2)]
    monkeypatch.setattr(tf, "function", None)
    one, same, other = map(model_fingerprint, made)
    assert one == same != other


def fingerprints_here():
    own = [UNTOLD[kind][0](UNTOLD[kind][1]) for kind in ("closure", "left out", "global")]
    own += [with_layer(keras.layers.Lambda(function)) for function in WITHIN]
    models = map(model_fingerprint, [dense(), *own])
    return [*models, array_fingerprint(IMAGES), json_fingerprint({"a": [1.5]})]


def test_functions_that_wrap_keras_own_are_ones_own():
    """`functools.wraps` gives them Keras's `__module__`."""

    def wrapping(function, factor):
        @functools.wraps(function)
        def wrapped(x):
            return factor * function(x)

        return wrapped

    def model(activation):
        dense = keras.layers.Dense(2, activation, kernel_initializer="ones")
        return keras.Sequential([keras.Input((4,)), dense])

    relu = keras.activations.relu
    halved, same, turned = (model(wrapping(relu, factor)) for factor in (0.5, 0.5, -1.0))
    found = [model_fingerprint(each) for each in (model("relu"), halved, turned)]
    assert len(set(found)) == 3 and found[1] == model_fingerprint(same)
    assert "factor * function(x)" in "".join(own_code(halved.layers))


# The same code at other places, and other code; the last has code and a set within.
TWICE = [lambda x: x * 2, lambda x: x * 3]
AGAIN = [lambda x: x * 2]
WITHIN = [lambda x: sum(x * n for n in (1, 2) if n in {"a", "b", 2})]


@pytest.mark.parametrize("layer", [
    keras.layers.Lambda, lambda f: keras.layers.Dense(4, f, kernel_initializer="ones"),
], ids=["Lambda", "activation"])  # fmt: skip
def test_where_a_lambda_stands_does_not_count(layer):
    first, other, same = (with_layer(layer(f)) for f in [*TWICE, *AGAIN])
    assert model_fingerprint(first) == model_fingerprint(same) != model_fingerprint(other)


@pytest.mark.parametrize(
    "function", [TWICE[0], *WITHIN, closure(2.5)], ids=["plain", "code within", "closure"]
)
def test_a_saved_lambda_is_loaded_with_its_fingerprint(function, tmp_path):
    model = with_layer(keras.layers.Lambda(function))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=False)
    assert model_fingerprint(loaded) == model_fingerprint(model)


def test_lambdas_of_what_cannot_be_traced_are_told_apart():
    one, other = (
        with_layer(keras.layers.Lambda(function, output_shape=(4,)))
        for function in (
            lambda x: tf.numpy_function(lambda y: y + 1, [x], tf.float32),
            lambda x: tf.numpy_function(lambda y: y + 2, [x], tf.float32),
        )
    )
    assert model_fingerprint(one) != model_fingerprint(other)


@pytest.mark.parametrize("epsilon", [1.0, 1e-3])
def test_another_epsilon_of_keras_counts(epsilon):
    model = dense()
    before = model_fingerprint(model)
    keras.config.set_epsilon(epsilon)
    try:
        assert model_fingerprint(model) != before
    finally:
        keras.config.set_epsilon(1e-7)
    assert model_fingerprint(model) == before


@pytest.mark.slow
def test_another_process_finds_the_same_fingerprints():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        f"from {__name__} import *;"
        "print(*fingerprints_here())"
    )
    environment = dict(os.environ, PYTHONHASHSEED="7")
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1])],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    assert done.stdout.split() == fingerprints_here()


@dataclasses.dataclass(frozen=True)
class Settings:
    loss: str = "margin"
    bounds: tuple = (0.0, np.float32(1))
    mask: np.ndarray | None = None


class Pair(NamedTuple):
    first: int
    second: int


def test_settings_become_json():
    settings = plain({"a": Settings(mask=np.ones(2, bool)), "b": [Pair(1, np.int64(2)), None]})
    assert settings == {
        "a": {"loss": "margin", "bounds": [0.0, 1.0], "mask": array_fingerprint(np.ones(2, bool))},
        "b": [{"first": 1, "second": 2}, None],
    }
    assert json_fingerprint({"a": 1, "b": 2}) == json_fingerprint({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="Received: <object"):
        plain({"a": object()})


def test_versions_are_those_of_what_computes(monkeypatch):
    found = versions()
    assert set(found) >= {"intriguing_tf", "tensorflow", "keras", "numpy", "scipy"}
    for package in (keras, np, intriguing_tf):
        with monkeypatch.context() as patch:
            patch.setattr(package, "__version__", "99")
            assert versions() != found


def checkout(folder, **files):
    package = folder / "package"
    for name, content in files.items():
        path = package / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return package


def test_in_a_checkout_the_source_counts(tmp_path):
    first = checkout(tmp_path / "1", a=b"x = 1\n", sub__b=b"y = 2\n")
    assert source_fingerprint(first) is None  # as installed: nothing beside it
    others = {
        "same": {"a": b"x = 1\r\n", "sub__b": b"y = 2\n"},
        "value": {"a": b"x = 2\n", "sub__b": b"y = 2\n"},
        "place": {"a": b"x = 1\n", "b": b"y = 2\n"},
        "more": {"a": b"x = 1\n", "sub__b": b"y = 2\n", "c": b""},
        "moved": {"a": b"x = 1\ny", "sub__b": b" = 2\n"},
    }
    found = {}
    for name, files in others.items():
        package = checkout(tmp_path / name, **files)
        (tmp_path / name / "pyproject.toml").touch()
        found[name] = source_fingerprint(package)
    same = checkout(tmp_path / "2", a=b"x = 1\n", sub__b=b"y = 2\n")
    (tmp_path / "2" / "pyproject.toml").touch()
    assert source_fingerprint(same) == found["same"]
    assert None not in found.values() and len(set(found.values())) == len(others)
