"""`.keras` files: written without dates, and opened from strangers.

`keras.saving.load_model(safe_mode=True)` stops Lambda layers; older releases of Keras were talked
into more than that by names in the configuration, and the HDF5 library trusts what a file says. So
neither sees the file: this module checks that the archive holds what Keras itself writes, that its
configuration names layers and parts of them only, that the weights are finite numbers, and that the
network has no more of them. Keras then makes the network and opens a new file of weights.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from intriguing_tf.files import naming
from intriguing_tf.zoo import configurations, foreign, hdf5, rehearsal
from intriguing_tf.zoo.errors import IntegrityError

WEIGHTS = "model.weights.h5"
MEMBERS = ("metadata.json", "config.json", WEIGHTS)
# Weights that were rounded to half precision and compressed have 1.8 times their file's bytes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_UNPACKED = 4

# What newer releases of Keras write for each layer, mostly as null, and older ones cannot read.
NEWER = {"quantization_config", "input_axes", "output_axes"}


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
            # Once more: a number may be too large for the precision of its variable.
            _check_finite(
                {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
            )
            return model


def to_bytes(model: keras.Model, *, compressed: bool = False) -> bytes:
    """Returns the model as Keras saves it, without an optimizer's state.

    Equal weights give equal bytes, which Keras from 3.10 on reads.

    Args:
        model: with weights.
        compressed: pack the members, unless they get so small that `load` would refuse the file.
            Only rounded weights get much smaller.

    Raises:
        IntegrityError: `load` would refuse the file.
    """
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        with naming(file):
            bare.save(file)
        members = _portable_members(file)
    content = _archive(members, METHODS[compressed])
    if sum(map(len, members.values())) > MOST_UNPACKED * len(content):
        content = _archive(members, zipfile.ZIP_STORED)
    _parse(content, f"The network {model.name!r}")
    return content


def check(file: Path) -> None:
    """Checks a `.keras` file without loading it.

    Raises:
        OSError: the file is not there, or cannot be read.
        IntegrityError: what was found that does not belong there.
    """
    _read(file)


def _reading(file: str | Path) -> contextlib.AbstractContextManager[None]:
    return foreign.reading(file, "a .keras file of layers and numbers")


def _read(file: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    return _parse(foreign.read_bytes(file), file)


def _parse(content: bytes, origin: str | Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """Returns what a file says: the network's configuration as JSON, and its arrays by path."""
    with _reading(origin):
        with foreign.archive(content, METHODS, MOST_UNPACKED * len(content)) as archive:
            if sorted(archive.namelist()) != sorted(MEMBERS):
                raise IntegrityError(f"its members must be {', '.join(MEMBERS)}")
            metadata, network, weights = map(archive.read, MEMBERS)
        configurations.check(foreign.json_values(metadata))
        configurations.check(foreign.json_values(network))
        arrays = hdf5.read_arrays(weights)
        _check_finite(arrays)
        _check_needs(rehearsal.rehearse(lambda: _network(network)), arrays)
    return network, arrays


def _network(text: bytes) -> keras.Model:
    """Returns a network as its configuration says, not compiled."""
    configuration = {**json.loads(text), "compile_config": None}
    network = keras.saving.deserialize_keras_object(configuration, safe_mode=True)
    if not isinstance(network, keras.Model):
        raise IntegrityError("it holds something else than a network")
    return network


def _check_needs(needs: rehearsal.Needs, arrays: dict[str, np.ndarray]) -> None:
    """The file holds as many numbers of each kind as the network has, which computes few others."""
    foreign.within(foreign.BUDGET.computed, needs.computed, "numbers computed beside its weights")
    held: Counter[str] = Counter()
    for array in arrays.values():
        held[rehearsal.kind(array.dtype.name)] += array.size
    for kind, size in needs.weights.items():
        foreign.within(held[kind], size, f"{kind} weights of its network")


def _check_finite(arrays: dict[str, np.ndarray]) -> None:
    for path, array in arrays.items():
        if rehearsal.kind(array.dtype.name) == "floating" and not np.isfinite(array).all():
            raise IntegrityError(f"its weights {path} are not finite")


def _write_weights(file: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(file, "w") as groups:
        for path, array in arrays.items():
            groups[path] = array


def _portable_members(file: Path) -> dict[str, bytes]:
    """A `.keras` file's members without the date, objects' addresses, what older Keras refuses."""
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
    return contents


def _archive(members: Mapping[str, bytes], method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()
