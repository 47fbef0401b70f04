"""`.keras` files: written without dates, and opened from strangers.

`keras.saving.load_model(safe_mode=True)` stops Lambda layers; older releases of Keras were talked
into more than that by names in the configuration, and the HDF5 library trusts what a file says. So
neither sees the file: this module checks that the archive holds what Keras itself writes, that
every class named in it is a layer or a part of one, that the weights are finite numbers, and that
the network has no more of them. Keras then makes the network and opens a new file of weights.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from intriguing_tf.zoo import foreign, hdf5, rehearsal
from intriguing_tf.zoo.errors import IntegrityError

WEIGHTS = "model.weights.h5"
MEMBERS = ("metadata.json", "config.json", WEIGHTS)
# Weights that were rounded to half precision and compressed have 1.8 times their file's bytes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_UNPACKED = 4

# What newer releases of Keras write for each layer, mostly as null, and older ones cannot read.
NEWER = {"quantization_config", "input_axes", "output_axes"}

# Layers that run foreign code, or read files that the configuration names.
FOREIGN = {
    "FlaxLayer",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "StringLookup",
    "TextVectorization",
    "TFSMLayer",
    "TorchModuleWrapper",
}
# What Keras writes for plain values: tensors' places in the graph, slices and the like.
PLAIN = {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
MODULES = re.compile(r"(keras|intriguing_tf\.layers)(\.[a-z0-9_]+)*")


def load(file: Path) -> keras.Model:
    """Returns the `keras.Model` of a `.keras` file, checked first; it is not compiled.

    Raises:
        OSError: the file is not there, or cannot be read.
        IntegrityError: the file holds anything but layers and their weights, or Keras cannot
            read it.
    """
    network, arrays = _read(file)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS
        _write_weights(weights, arrays)
        del arrays  # Keras takes as much again
        with _reading(file):
            model = _network(network)
            model.load_weights(weights)
            return model


def to_bytes(model: keras.Model, *, compressed: bool = False) -> bytes:
    """Returns the model as Keras saves it, without an optimizer's state.

    Equal weights give equal bytes, which Keras from 3.10 on reads.

    Args:
        model: with weights.
        compressed: pack the members. Only rounded weights get much smaller.
    """
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        bare.save(file)
        _make_portable(file, METHODS[compressed])
        check(file)
        return file.read_bytes()


def check(file: Path) -> None:
    """Checks a `.keras` file without loading it.

    Raises:
        OSError: the file is not there, or cannot be read.
        IntegrityError: what was found that does not belong there.
    """
    _read(file)


def _reading(file: Path) -> contextlib.AbstractContextManager[None]:
    return foreign.reading(file, "a .keras file of layers and numbers")


def _read(file: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """Returns what a file says: the network's configuration as JSON, and its arrays by path."""
    content = foreign.read_bytes(file)
    with _reading(file):
        with foreign.archive(content, METHODS, MOST_UNPACKED * len(content)) as archive:
            if sorted(archive.namelist()) != sorted(MEMBERS):
                raise IntegrityError(f"its members must be {', '.join(MEMBERS)}")
            metadata, network, weights = map(archive.read, MEMBERS)
        _check_configuration(foreign.json_values(metadata))
        _check_configuration(foreign.json_values(network))
        arrays = hdf5.read_arrays(weights)
        _check_arrays(arrays)
        size = rehearsal.count_weights(lambda: _network(network))
        foreign.within(sum(array.size for array in arrays.values()), size, "weights of its network")
    return network, arrays


def _network(text: bytes) -> keras.Model:
    """Returns a network as its configuration says, not compiled."""
    configuration = {**json.loads(text), "compile_config": None}
    network = keras.saving.deserialize_keras_object(configuration, safe_mode=True)
    if not isinstance(network, keras.Model):
        raise IntegrityError("it holds something else than a network")
    return network


def _check_arrays(arrays: dict[str, np.ndarray]) -> None:
    for path, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise IntegrityError(f"its weights {path} are not finite")


def _write_weights(file: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(file, "w") as groups:
        for path, array in arrays.items():
            groups[path] = array


def _check_configuration(configuration: Any) -> None:
    """Every object that the configuration names is a layer, or a part of a layer, as data."""
    for named in _named_objects(configuration):
        name, module = named["class_name"], named.get("module")
        what = f"it names {foreign.shown(name)} of {foreign.shown(module)}"
        if type(name) is not str or type(module) not in (str, type(None)):
            raise IntegrityError(f"{what}, which are not names")
        if name in PLAIN and module is None:
            continue
        if name == "function":
            _check_function(module, named.get("config"))
            continue
        if module is None or not MODULES.fullmatch(module) or name in FOREIGN:
            raise IntegrityError(f"{what}, which may run foreign code")
        registered = named.get("registered_name")
        if registered not in (None, name, f"intriguing_tf>{name}"):
            raise IntegrityError(f"{what}, registered as {foreign.shown(registered)}")
        if not _is_part_of_network(module, name):
            raise IntegrityError(f"{what}, which is no part of a network")


def _check_function(module: str | None, name: Any) -> None:
    known = type(name) is str and hasattr(keras.activations, name)
    if module not in ("builtins", "keras.activations") or not known:
        raise IntegrityError(
            f"it names the function {foreign.shown(name)} of {foreign.shown(module)}"
        )


@functools.lru_cache(maxsize=1000)
def _is_part_of_network(module: str, name: str) -> bool:
    """Whether a name of a module is a layer, or what a layer is made of."""
    parts = (
        keras.Operation,  # layers and models are operations
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
        keras.dtype_policies.DTypePolicy,
    )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, parts)


def _named_objects(configuration: Any) -> Iterator[dict[str, Any]]:
    """Yields every mapping that Keras would make an object of."""
    todo = [configuration]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _make_portable(file: Path, method: int) -> None:
    """Takes the date, objects' addresses and what older Keras refuses out of a `.keras` file."""
    with zipfile.ZipFile(file) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    metadata = json.loads(contents["metadata.json"])
    contents["metadata.json"] = json.dumps(metadata | {"date_saved": ""}).encode()
    addresses: dict[int, int] = {}

    def portable(values: dict[str, Any]) -> dict[str, Any]:
        if "shared_object_id" in values:
            address = values["shared_object_id"]
            values["shared_object_id"] = addresses.setdefault(address, len(addresses))
        return {
            key: value for key, value in values.items() if value is not None or key not in NEWER
        }

    configuration = json.loads(contents["config.json"], object_hook=portable)
    contents["config.json"] = json.dumps(configuration).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
