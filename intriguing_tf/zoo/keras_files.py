"""`.keras` files: written without dates, and opened from strangers.

`keras.saving.load_model(safe_mode=True)` stops Lambda layers; older releases of Keras were talked
into more than that by names in the configuration. So before Keras sees a file, this module checks
that the archive holds what Keras itself writes, that every class named in it is a layer or a part
of one, and that the weights are arrays stored as they are.
"""

from __future__ import annotations

import importlib
import json
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from intriguing_tf.zoo.errors import IntegrityError

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
LARGEST_JSON = 64 << 20  # bytes
DEEPEST = 100  # nested groups of weights

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
        IntegrityError: the file holds anything but layers and their weights, or Keras cannot
            read it.
    """
    check(file)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for one cause: the file is wrong
        raise IntegrityError(f"Keras cannot load {file}: {error}") from error


def to_bytes(model: keras.Model) -> bytes:
    """Returns the model as Keras saves it, without an optimizer's state.

    Equal weights give equal bytes, which Keras from 3.10 on reads.
    """
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        bare.save(file)
        _make_portable(file)
        check(file)
        return file.read_bytes()


def check(file: Path) -> None:
    """Checks a `.keras` file without loading it.

    Raises:
        IntegrityError: what was found that does not belong there.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive)
            for member in ("metadata.json", "config.json"):
                with archive.open(member) as stream:
                    _check_configuration(json.load(stream))
            with archive.open("model.weights.h5") as stream:
                _check_weights(stream)
    except IntegrityError as error:
        raise IntegrityError(f"{file} is refused: {error}") from None
    except (zipfile.BadZipFile, ValueError, RecursionError, NotImplementedError, OSError) as error:
        raise IntegrityError(f"{file} is not a .keras file: {error}.") from error


def _check_members(archive: zipfile.ZipFile) -> None:
    """Three regular, uncompressed members with the names that Keras gives them."""
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted(MEMBERS):
        found = sorted(member.filename for member in members)[:10]
        raise IntegrityError(f"its members must be {sorted(MEMBERS)}, but they are {found}")
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise IntegrityError(f"{member.filename} is a link or another special file")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise IntegrityError(
                f"{member.filename} is compressed ({member.compress_size:,} to "
                f"{member.file_size:,} bytes); Keras stores it as it is"
            )
        if member.filename.endswith(".json") and member.file_size > LARGEST_JSON:
            raise IntegrityError(f"{member.filename} has {member.file_size:,} bytes")


def _check_configuration(configuration: Any) -> None:
    """Every object that the configuration names is a layer, or a part of a layer, as data."""
    parts = (
        keras.Operation,  # layers and models are operations
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
        keras.dtype_policies.DTypePolicy,
    )
    for named in _named_objects(configuration):
        module, name = named.get("module"), named["class_name"]
        if name in PLAIN and module is None:
            continue
        if name == "function":
            if module in ("builtins", "keras.activations") and hasattr(
                keras.activations, str(named.get("config"))
            ):
                continue
            raise IntegrityError(f"it names the function {named.get('config')!r} of {module!r}")
        if not isinstance(module, str) or not MODULES.fullmatch(module) or name in FOREIGN:
            raise IntegrityError(f"it names {name!r} of {module!r}, which may run foreign code")
        if named.get("registered_name") not in (None, name, f"intriguing_tf>{name}"):
            raise IntegrityError(f"it names {named['registered_name']!r} in place of {name!r}")
        try:
            found = getattr(importlib.import_module(module), str(name), None)
        except ImportError:
            found = None
        if not (isinstance(found, type) and issubclass(found, parts)):
            raise IntegrityError(f"it names {name!r} of {module!r}, which is no part of a network")


def _named_objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yields every mapping that Keras would make an object of."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _named_objects(item)


def _check_weights(stream: Any) -> None:
    """The HDF5 file refers to nothing outside itself and stores every number that it declares."""
    with h5py.File(stream, "r") as file:
        todo, seen = [(file["/"], 0)], set()
        while todo:
            group, depth = todo.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or depth > DEEPEST:
                raise IntegrityError(f"its weights have a loop at {group.name}")
            seen.add(address)
            for key in group:
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise IntegrityError(f"its weights have a link at {group.name}/{key}")
                item = group[key]
                if isinstance(item, h5py.Group):
                    todo.append((item, depth + 1))
                else:
                    _check_array(item)


def _check_array(array: Any) -> None:
    kind = getattr(array.dtype, "kind", "O")
    if kind not in "biuf":
        raise IntegrityError(f"its weights {array.name} have type {array.dtype}, not numbers")
    if array.external or array.is_virtual:
        raise IntegrityError(f"its weights {array.name} lie in another file")
    if array.nbytes > array.id.get_storage_size():
        raise IntegrityError(
            f"its weights {array.name} declare {array.nbytes:,} bytes and store "
            f"{array.id.get_storage_size():,}"
        )


def _make_portable(file: Path) -> None:
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
            archive.writestr(zipfile.ZipInfo(name), content)
