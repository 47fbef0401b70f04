"""Files that call themselves `.keras`: networks are loaded, everything else is refused."""

import io
import json
import os
import pickle
import stat
import zipfile

import h5py
import keras
import numpy as np
import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import keras_files


def small_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu", name="dense")])


def save(model, file):
    model.save(file)
    return file


def members(file):
    with zipfile.ZipFile(file) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def rewritten(file, **changes):
    """Writes the archive anew; `changes` are members, by name with `_` for `.`."""
    contents = members(file) | {key.replace("_", "."): value for key, value in changes.items()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


@pytest.fixture
def keras_file(tmp_path):
    return save(small_model(), tmp_path / "model.keras")


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_said_of_the_file():
    with pytest.raises(OSError, match=r"No space left on device: .*model\.keras"):
        keras_files.to_bytes(small_model())


def with_configuration(file, change):
    configuration = json.loads(members(file)["config.json"])
    change(configuration["config"]["layers"])
    return rewritten(file, config_json=json.dumps(configuration).encode())


def with_weights(file, change):
    buffer = io.BytesIO(members(file)["model.weights.h5"])
    with h5py.File(buffer, "r+") as weights:
        change(weights)
    return rewritten(file, model_weights_h5=buffer.getvalue())


def refused(file, word):
    with pytest.raises(zoo.IntegrityError, match=word):
        keras_files.load(file)


def test_good_files_are_accepted(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation=keras.activations.swish, padding="same")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Add()([x, keras.layers.SeparableConv2D(4, 3, padding="same")(x)])
    x = keras.ops.relu(x)[:, 1:]
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm")(x)
    model = keras.Model(inputs, outputs)
    loaded = keras_files.load(save(model, tmp_path / "model.keras"))
    images = np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_a_rewritten_good_file_is_accepted(keras_file):
    assert keras_files.load(rewritten(keras_file)).count_params() == 8


class Payload:
    def __reduce__(self):
        return os.mkdir, ("/tmp/intriguing_tf_payload_was_run",)


def payload_ran():
    return os.path.exists("/tmp/intriguing_tf_payload_was_run")


@pytest.mark.parametrize("kind", ["pickle", "npy", "npz"])
def test_pickles_with_a_payload(tmp_path, kind):
    file = tmp_path / "model.keras"
    with open(file, "wb") as stream:
        if kind == "pickle":
            pickle.dump(Payload(), stream)
        elif kind == "npy":
            np.save(stream, np.array([Payload()], dtype=object), allow_pickle=True)
        else:
            np.savez(stream, kernel=np.array([Payload()], dtype=object))
    refused(file, "refused|not a .keras file")
    assert not payload_ran()


def test_rounded_weights_are_packed_in_two_thirds_of_the_bytes(tmp_path):
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300)])
    model.set_weights([w.astype(np.float16).astype(np.float32) for w in model.get_weights()])
    packed = keras_files.to_bytes(model, compressed=True)
    assert len(packed) < 0.67 * len(keras_files.to_bytes(model))
    (file := tmp_path / "packed.keras").write_bytes(packed)
    for read in (keras_files.load, keras.saving.load_model):
        for before, after in zip(model.get_weights(), read(file).get_weights(), strict=True):
            np.testing.assert_array_equal(after, before)


def test_weights_that_would_be_packed_too_well_are_stored(tmp_path):
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100, name="few")])
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    (file := tmp_path / "zeros.keras").write_bytes(keras_files.to_bytes(model, compressed=True))
    assert keras_files.load(file).count_params() == 10_100
    model.set_weights([weights + np.inf for weights in model.get_weights()])
    with pytest.raises(zoo.IntegrityError, match=rf"^The network '{model.name}' is not .* finite"):
        keras_files.to_bytes(model)


@pytest.mark.slow
def test_a_zip_bomb(keras_file):
    with zipfile.ZipFile(keras_file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", b"{}")
        archive.writestr("config.json", b" " * 50_000_000)
        archive.writestr("model.weights.h5", b"\0" * 50_000_000)
    assert keras_file.stat().st_size < 200_000
    refused(keras_file, "unpacked")


def test_a_false_size_in_the_archive(keras_file):
    content = keras_file.read_bytes()
    size = len(members(keras_file)["config.json"]).to_bytes(4, "little")
    assert content.count(size) >= 2
    keras_file.write_bytes(content.replace(size, (2**31).to_bytes(4, "little")))
    refused(keras_file, "refused|not a .keras file")


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "assets/vocabulary.txt", "model.py"])
def test_members_that_do_not_belong(keras_file, name):
    with zipfile.ZipFile(keras_file, "a") as archive:
        archive.writestr(name, b"evil")
    refused(keras_file, "members")


def test_a_member_twice(keras_file):
    with zipfile.ZipFile(keras_file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")
    refused(keras_file, "members")


def test_a_link_in_the_archive(keras_file):
    contents = members(keras_file)
    with zipfile.ZipFile(keras_file, "w") as archive:
        link = zipfile.ZipInfo("model.weights.h5")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"/etc/passwd")
        for name in ("config.json", "metadata.json"):
            archive.writestr(name, contents[name])
    refused(keras_file, "link")


def test_a_truncated_archive(keras_file):
    content = keras_file.read_bytes()
    for share in (0.1, 0.5, 0.99):
        keras_file.write_bytes(content[: int(len(content) * share)])
        refused(keras_file, "not a .keras file")


def test_lambda_layers(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2)])
    refused(save(model, tmp_path / "model.keras"), "Lambda")


def layer(module, class_name, /, **config):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


HOSTILE_LAYERS = {
    "a function of os": layer("os", "system", command="true"),
    "a builtin": layer("builtins", "eval"),
    "a function as a class": {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    },
    "a lambda": {"class_name": "__lambda__", "config": {"value": "x"}},
    "a type specification": {"class_name": "__typespec__", "config": ["os", "system"]},
    "Lambda under another module": layer("keras.src.layers.core.lambda_layer", "Lambda"),
    "a SavedModel": layer("keras.layers", "TFSMLayer", filepath="/etc/passwd"),
    "a torch module": layer("keras.layers", "TorchModuleWrapper", module="x"),
    "a vocabulary file": layer("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    "the parent of layers that read files": layer(
        "keras.src.layers.preprocessing.index_lookup", "IndexLookup", vocabulary="/etc/passwd"
    ),
    "Keras's own downloader": layer("keras.utils", "get_file", origin="http://127.0.0.1/"),
    "Keras's own switch": layer("keras.config", "enable_unsafe_deserialization"),
    "a module that does not exist": layer("keras.no_such_module", "Dense"),
    "a class that is no layer": layer("keras.utils", "Progbar", target=1),
    "an optimizer": layer("keras.optimizers", "Adam"),
    "another name registered": layer("keras.layers", "Dense", units=2)
    | {"registered_name": "users>Dense"},
    "no module": {"class_name": "Dense", "config": {"units": 2}},
    "a number as the name": layer("keras.layers", 7),
}


@pytest.mark.parametrize("what", HOSTILE_LAYERS)
@pytest.mark.parametrize("nested", [False, True])
def test_hostile_layers(keras_file, what, nested):
    hostile = HOSTILE_LAYERS[what]
    if nested:  # as a part of a layer that is harmless itself
        hostile = layer("keras.layers", "TimeDistributed", layer=hostile, name="wrapper")
    refused(with_configuration(keras_file, lambda layers: layers.append(hostile)), "it names")


def test_an_activation_that_is_none(keras_file):
    def change(layers):
        layers[1]["config"]["activation"] = {
            "module": "builtins",
            "class_name": "function",
            "config": "system",
            "registered_name": "function",
        }

    refused(with_configuration(keras_file, change), "system")


def test_deeply_nested_configuration(keras_file):
    refused(rewritten(keras_file, config_json=b"[" * 200_000), "not a .keras file")


def test_weights_in_another_file(keras_file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\1" * 100)

    def external(weights):
        group = weights["layers/dense/vars"]
        del group["1"]
        group.create_dataset("1", (2,), "float32", external=[(str(secret), 0, 8)])

    def link(weights):
        del weights["layers/dense/vars/1"]
        weights["layers/dense/vars/1"] = h5py.ExternalLink(str(secret), "/x")

    def soft_link(weights):
        del weights["layers/dense/vars/1"]
        weights["layers/dense/vars/1"] = h5py.SoftLink("/layers/dense/vars/0")

    def virtual(weights):
        del weights["layers/dense/vars/1"]
        layout = h5py.VirtualLayout((2,), "float32")
        layout[:] = h5py.VirtualSource(str(secret), "x", (2,))
        weights.create_virtual_dataset("layers/dense/vars/1", layout)

    original = keras_file.read_bytes()
    for change, word in ((external, "another file"), (link, "a link"), (soft_link, "a link"),
                         (virtual, "another file")):  # fmt: skip
        keras_file.write_bytes(original)
        refused(with_weights(keras_file, change), word)


def test_weights_that_declare_more_than_they_hold(keras_file):
    def huge(weights):
        weights.create_dataset("layers/dense/vars/2", (10**6, 10**6), "float32", chunks=(10, 10))

    def compressed(weights):
        weights.create_dataset("layers/x", data=np.zeros(10**6), compression="gzip")

    for change in (huge, compressed):
        refused(with_weights(keras_file, change), "declare")


def test_weights_that_are_no_numbers(keras_file):
    def objects(weights):
        weights.create_dataset("layers/x", data=["text"], dtype=h5py.string_dtype())

    refused(with_weights(keras_file, objects), "not numbers")


def test_a_loop_in_the_weights(keras_file):
    def loop(weights):
        weights["layers/dense/loop"] = weights["layers"]

    refused(with_weights(keras_file, loop), "loop")


def test_weights_that_are_not_hdf5(keras_file):
    refused(rewritten(keras_file, model_weights_h5=b"not HDF5"), "not a .keras file")
    assert not payload_ran()


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "uint32"])
def test_weights_of_another_kind_than_the_networks(keras_file, dtype):
    def change(weights):
        del weights["layers/dense/vars/1"]
        weights["layers/dense/vars/1"] = np.ones(2, dtype)

    refused(with_weights(keras_file, change), "8, and 6 are accepted")


def test_numbers_that_are_finite_in_the_file_only(keras_file):
    def change(weights):
        del weights["layers/dense/vars/1"]
        weights["layers/dense/vars/1"] = np.array([1.0, 1e300])

    refused(with_weights(keras_file, change), "not finite")


@pytest.mark.parametrize("dtype", ["float16", "float64", "mixed_bfloat16"])
def test_weights_of_every_precision(dtype, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
    loaded = keras_files.load(save(model, tmp_path / "model.keras"))
    for before, after in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
