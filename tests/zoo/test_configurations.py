"""What the configuration of a network asks for: honest ones pass, bombs are refused unexploded."""

import json
import resource
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers

from intriguing_tf import zoo
from intriguing_tf.zoo import configurations, keras_files, rehearsal


def serialized(model):
    return json.loads(json.dumps(keras.saving.serialize_keras_object(model)))


def small_model(shape=(4,)):
    inputs = keras.Input(shape, name="pixels")
    return keras.Model(inputs, layers.Dense(2, name="dense")(inputs))


def archived(file, configuration):
    """A `.keras` file of a configuration and of 8 kB of weights."""
    keras.Sequential([keras.Input((40,)), layers.Dense(50)]).save(file)
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["config.json"] = json.dumps(configuration).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


def layer(class_name, /, *arguments, module="keras.layers", **config):
    """The configuration of a layer; `arguments` are of its one call."""
    nodes = [{"args": list(arguments), "kwargs": {}}] if arguments else []
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
        "name": config.get("name"),
        "inbound_nodes": nodes,
    }


def output_of(name, shape=(None, 4)):
    config = {"shape": list(shape), "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def with_layers(*more, shape=(4,)):
    """The small network with layers that are no part of it."""
    configuration = serialized(small_model(shape))
    configuration["config"]["layers"] += more
    return configuration


def chain(*more, shape=(4,)):
    """A network of layers one after the other."""
    names = ["pixels", *(each["name"] for each in more)]
    for each, source in zip(more, names, strict=False):
        each["inbound_nodes"] = [{"args": [output_of(source)], "kwargs": {}}]
    configuration = serialized(graph(shape, layers.Identity()))
    config = configuration["config"]
    config["layers"][0]["name"] = config["layers"][0]["config"]["name"] = "pixels"
    config["input_layers"] = [["pixels", 0, 0]]
    config["layers"][1:] = more
    config["output_layers"] = [[names[-1], 0, 0]]
    return configuration


def doubled(levels):
    """Networks that call the one in them twice, on another shape than theirs."""
    inputs = keras.Input((None,))
    model = keras.Model(inputs, layers.Activation("relu")(inputs))
    for _ in range(levels):
        inputs = keras.Input((None,))
        model = keras.Model(inputs, model(model(inputs)))
    text = json.dumps(serialized(model))
    return json.loads(text.replace('"batch_shape": [null, null]', '"batch_shape": [null, 4]'))


def in_sequence(levels):
    """Keras makes a `Sequential` again with each of its layers."""
    model = layer("ReLU", name="relu")
    for level in range(levels):
        pixels = layer("InputLayer", batch_shape=[None, 4], name=f"pixels{level}")
        last = layer("ReLU", name=f"relu{level}")
        model = layer("Sequential", module="keras", name=f"s{level}", layers=[pixels, model, last])
    return model


def both_ways(levels):
    """Keras copies the layer in a `Bidirectional` three times."""
    wrapped = layer("LSTM", units=2, return_sequences=True, name="lstm")
    for level in range(levels):
        wrapped = layer("Bidirectional", layer=wrapped, name=f"b{level}")
    return chain(wrapped, shape=(3, 4))


def backwards(length):
    """Keras puts off each layer whose input is not there yet, and tries it again."""
    configuration = chain(*(layer("ReLU", name=f"r{place}") for place in range(length)))
    configuration["config"]["layers"].reverse()
    return configuration


ONE = {"class_name": "__tensor__", "config": {"value": [[1.0]], "dtype": "float32"}}
TRULY_BUILT = {"build_config": {"input_shape": [1, 10**6]}}
BOMBS = {
    "networks called twice": (lambda: doubled(13), "calls of layers"),
    "sequences in sequences": (lambda: in_sequence(20), "calls of layers"),
    "both ways in both ways": (lambda: both_ways(20), "calls of layers"),
    "layers before their inputs": (lambda: backwards(300), "calls of layers"),
    "a layer called on a constant": (
        lambda: with_layers(layer("RepeatVector", ONE, n=10**7, name="x")),
        "on no tensor of the network",
    ),
    "a layer called on nothing": (
        lambda: with_layers(layer("RepeatVector", {}, n=10**7, name="x")),
        "on no tensor of the network",
    ),
    "a tensor within what is no tensor": (
        lambda: with_layers(
            layer(
                "RepeatVector",
                {"class_name": "__slice__", "config": {"start": output_of("pixels")}},
                n=10**7,
                name="x",
            )
        ),
        "on no tensor of the network",
    ),
    "a number of outputs": (
        lambda: chain(layer("RepeatVector", n=3 * 10**8, name="x")),
        "'n' of 'RepeatVector'",
    ),
    "a number of axes": (
        lambda: chain(
            layer(
                "BaseConv",
                module="keras.src.layers.convolutional.base_conv",
                rank=3 * 10**9,
                filters=1,
                kernel_size=1,
                name="x",
            )
        ),
        "'rank' of 'BaseConv'",
    ),
    "a pixel for each human": (
        lambda: chain(layer("Normalization", mean=0, variance=1, name="x"), shape=(8 * 10**9,)),
        "'batch_shape' of 'InputLayer'|'shape' of",
    ),
    "constants of a shape": (
        lambda: chain(
            layer("Normalization", axis=[1, 2], mean=0, variance=1, name="x"), shape=(10**7, 100)
        ),
        "numbers computed",
    ),
    "constants of a shape that grew": (
        lambda: chain(
            layer("RepeatVector", n=10**7, name="x"),
            layer("Normalization", axis=[1, 2], mean=0, variance=1, name="y"),
            shape=(1000,),
        ),
        "numbers computed",
    ),
    "a layer beside the network": (
        lambda: with_layers(layer("Dense", output_of("pixels"), units=10**7, name="x")),
        "leads to no output",
    ),
    "a layer that is only built": (
        lambda: with_layers(layer("Dense", units=10**6, name="x") | TRULY_BUILT),
        "leads to no output",
    ),
    "a layer under the name of another": (
        lambda: with_layers(layer("Dense", units=10**6, name="dense") | TRULY_BUILT),
        "the same name",
    ),
    "a layer in an initializer": (
        lambda: chain(
            layer(
                "Dense",
                units=2,
                kernel_initializer=layer(
                    "Constant",
                    module="keras.initializers",
                    value=layer("Dense", units=10**6) | TRULY_BUILT,
                ),
                name="x",
            )
        ),
        "where no layer belongs",
    ),
    "a layer in a call": (
        lambda: with_layers(
            layer(
                "Dense",
                output_of("pixels"),
                layer("Dense", units=10**6) | TRULY_BUILT,
                units=2,
                name="x",
            )
        ),
        "where no layer belongs",
    ),
    "a kernel that is orthogonalized": (
        lambda: chain(
            layer("Dense", units=10**7, kernel_initializer="orthogonal", name="x"),
            layer("Dense", units=10**7, kernel_initializer="identity", name="y"),
        ),
        "floating weights of its network",
    ),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_are_refused_before_they_take_time_or_memory(what, tmp_path):
    make, words = BOMBS[what]
    file = archived(tmp_path / "model.keras", make())
    assert file.stat().st_size < 200_000
    seconds, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(zoo.IntegrityError, match=words):
        keras_files.load(file)
    assert time.process_time() - seconds < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100_000


def alternating():
    """Two layers that take turns, so that one of them is listed before its second input."""
    inputs = x = keras.Input((4,))
    first, second = layers.Dense(4), layers.Dense(4)
    for _ in range(3):
        x = second(first(x))
    return keras.Model(inputs, x)


def shared():
    inputs = keras.Input((4,))
    inner = small_model()
    inner = keras.Model(inner.input, layers.Dense(4)(inner.output))
    return keras.Model(inputs, layers.Add()([inner(inner(inputs)), inner(inputs)]))


def graph(shape, build):
    inputs = keras.Input(shape)
    return keras.Model(inputs, build(inputs))


HONEST = {
    "two layers in turn": alternating,
    "a network called thrice": shared,
    "a deep sequence": lambda: keras.Sequential(
        [keras.Input((2,)), *(layers.Activation("relu") for _ in range(30))]
    ),
    "sequences in one another": lambda: keras.Sequential(
        [keras.Input((4,)), keras.Sequential([layers.Dense(3), layers.Dropout(0.1)])]
    ),
    "both ways": lambda: keras.Sequential(
        [keras.Input((5, 3)), layers.Bidirectional(layers.LSTM(2))]
    ),
    "a network on each row": lambda: graph((3, 4), layers.TimeDistributed(small_model())),
    "a layer as activation": lambda: graph((4,), layers.Dense(3, layers.LeakyReLU(0.2))),
    "an addend": lambda: graph((4,), lambda x: keras.ops.add(x, np.arange(4.0, dtype="float32"))),
    "one less than": lambda: graph((4,), lambda x: 1 - x),
    "a part of an image": lambda: graph((4, 4, 1), lambda x: x[:, 1:, ..., :]),
    "every pixel normalized": lambda: graph(
        (8, 8, 3),
        layers.Normalization(
            axis=(1, 2, 3), mean=np.full((8, 8, 3), 0.5), variance=np.ones((8, 8, 3))
        ),
    ),
    "orthogonal kernels": lambda: graph(
        (4,), layers.Dense(4, kernel_initializer=keras.initializers.Orthogonal(seed=2**31))
    ),
    "attention": lambda: graph((5, 4), lambda x: layers.MultiHeadAttention(2, 3)(x, x)),
    "augmentation": lambda: graph((8, 8, 3), layers.RandomFlip(seed=2**31)),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HONEST)
def test_honest_networks_are_what_they_were(what, tmp_path):
    model = HONEST[what]()
    model.save(tmp_path / "model.keras")
    loaded = keras_files.load(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), "float32")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet152", "NASNetLarge", "ConvNeXtXLarge"])
def test_the_largest_networks_of_keras_pass(name):
    def configuration():
        with keras.StatelessScope(initialize_variables=False):
            return serialized(getattr(keras.applications, name)(weights=None))

    with ThreadPoolExecutor(1) as thread:  # as in a rehearsal: variables without values go with it
        configurations.check(thread.submit(configuration).result())


def test_what_making_a_network_takes_by_kind():
    needs = rehearsal.rehearse(small_model)
    assert needs == ({"floating": 10}, 0)

    def normalizing():
        return graph((5,), layers.Normalization(axis=-1))  # counts what it has seen

    assert rehearsal.rehearse(normalizing).weights == {"floating": 10, "integer": 1}
