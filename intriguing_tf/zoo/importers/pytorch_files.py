"""Reads PyTorch's `.pth` files, zip or older, without torch and without running their pickles.

`pickles` reads what the pickle says as data; here the names in it that a dictionary of tensors
needs are understood, each tensor is checked against the numbers that it refers to, and arrays are
made as views of the file's bytes.
"""

from __future__ import annotations

import dataclasses
import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.importers import assignment, pickles
from intriguing_tf.zoo.importers.pickles import Call, Name, Outside

_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Name("torch._utils", "_rebuild_parameter")
_MOST_AXES = 32

# Keras's name of a weight for PyTorch's.
_WEIGHTS = {
    "weight": "kernel",
    "bias": "bias",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def pytorch(file: str | Path, model: keras.Model) -> None:
    """Sets the weights of `model` from a PyTorch state dictionary.

    A layer's Keras name is its PyTorch name with "_" for "." and without leading underscores:
    "_blocks.0._bn1" is "blocks_0_bn1". Kernels are turned from channels first to channels last, and
    inputs of a dense layer above maps reordered. No code in the file is run.

    Args:
        file: as `torch.save` writes a state dictionary, today's zip or the format before 1.6.
        model: `itf.models.alexnet_one_tower()`, an `efficientnet_lite0()`, or one of your own whose
            layers are named so.

    Raises:
        TypeError: `model` is not a built Keras model.
        OSError: the file is not there, or cannot be read.
        ValueError: the file is not a state dictionary of plain tensors, asks for code to be run,
            or does not hold exactly the model's weights.

    Example:

        model = itf.models.alexnet_one_tower()
        itf.zoo.importers.pytorch("alexnet-owt-7be5be79.pth", model)
    """
    layers = assignment.layers_of(model)
    found = read_state_dict(file)
    with assignment.importing(file, model):
        arrays: dict[str, dict[str, np.ndarray]] = {}
        for full_name, array in found.items():
            *path, weight = full_name.split(".")
            if weight != "num_batches_tracked":
                name = "_".join(part.lstrip("_") for part in path)
                assignment.add(arrays, name, *_keras_weight(layers.get(name), weight, array))
        assignment.assign(model, arrays)


def _keras_weight(
    layer: keras.layers.Layer | None, weight: str, array: np.ndarray
) -> tuple[str, np.ndarray]:
    """Returns a weight of a layer by its Keras name and in Keras's layout."""
    name = _WEIGHTS.get(weight, weight)
    if isinstance(layer, keras.layers.BatchNormalization):
        return {"weight": "gamma", "bias": "beta"}.get(weight, name), array
    if layer is not None and name == "kernel":
        return name, assignment.channels_last(layer, array, "PyTorch")
    return name, array


def read_state_dict(file: str | Path) -> dict[str, np.ndarray]:
    """Reads a dictionary of tensors that `torch.save` wrote.

    Args:
        file: a zip (torch 1.6 and later) or the older format.

    Returns:
        Arrays by name, as stored, channels first; they are views, not to be written to.

    Raises:
        OSError: the file is not there, or cannot be read.
        IntegrityError: the file is neither, is damaged, holds anything but plain tensors by name,
            or asks for code to be run.
    """
    content = foreign.read_bytes(file)
    with foreign.reading(file, "a PyTorch state dictionary"):
        zipped = zipfile.is_zipfile(io.BytesIO(content))
        return _read_zip(content) if zipped else _read_old(content)


@dataclasses.dataclass(frozen=True, slots=True)
class _Storage:
    """Numbers in the file: `size` of them, in the record named `key`."""

    key: str
    dtype: np.dtype
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage, in numbers; it lies within the storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def view(self, content: memoryview) -> np.ndarray:
        """Returns the tensor's numbers; `content` are the storage's bytes."""
        dtype = self.storage.dtype
        strides = [stride * dtype.itemsize for stride in self.strides]
        return np.ndarray(self.shape, dtype, content, self.offset * dtype.itemsize, strides)


def _read_zip(content: bytes) -> dict[str, np.ndarray]:
    with foreign.archive(content) as archive:
        names = archive.namelist()
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise IntegrityError(f"a zip with {len(roots)} records data.pkl instead of one")
        (root,) = roots
        order = f"{root}byteorder"
        if order in names and archive.read(order) != b"little":
            raise IntegrityError("its numbers are not little-endian")
        tensors = _tensors(pickles.read(io.BytesIO(archive.read(f"{root}data.pkl"))))
        return _arrays(
            tensors, len(content), lambda storage: archive.read(f"{root}data/{storage.key}")
        )


def _read_old(content: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(content)
    if pickles.read(stream) != _OLD_MAGIC:
        raise IntegrityError("it starts with neither PyTorch's magic number nor a zip's")
    pickles.read(stream)  # version of the format
    facts = pickles.read(stream)
    if type(facts) is not dict or facts.get("little_endian") is not True:
        raise IntegrityError("its numbers are not little-endian")
    tensors = _tensors(pickles.read(stream))
    keys = pickles.read(stream)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise IntegrityError("it has no list of its storages")
    item_sizes = {t.storage.key: t.storage.dtype.itemsize for t in tensors.values()}
    if set(keys) != set(item_sizes) or len(keys) != len(item_sizes):
        raise IntegrityError("its list of storages is not that of its tensors")
    contents: dict[str, memoryview] = {}
    at, view = stream.tell(), memoryview(content)
    for key in keys:
        size = int.from_bytes(view[at : at + 8], "little") * item_sizes[key]
        contents[key] = view[at + 8 : at + 8 + size]
        at += 8 + size
    return _arrays(tensors, len(content), lambda storage: contents[storage.key])


def _arrays(
    tensors: dict[str, _Tensor], largest: int, numbers: Callable[[_Storage], bytes | memoryview]
) -> dict[str, np.ndarray]:
    """Returns the tensors as views; `numbers` gives a storage's bytes, `largest` all the file's."""
    foreign.within(largest, sum(t.nbytes for t in tensors.values()), "bytes of its tensors")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    contents = {}
    for key, storage in storages.items():
        contents[key] = memoryview(numbers(storage))
        if len(contents[key]) != storage.size * storage.dtype.itemsize:
            raise IntegrityError(
                f"its storage {key} has {len(contents[key])} bytes for {storage.size} numbers"
            )
    arrays = {}
    for name, tensor in tensors.items():
        if tensor.storage != storages[tensor.storage.key]:
            raise IntegrityError(f"it describes the storage {tensor.storage.key} in two ways")
        arrays[name] = tensor.view(contents[tensor.storage.key])
    return arrays


def _tensors(described: Any) -> dict[str, _Tensor]:
    """Returns the tensors that a pickle describes."""
    if type(described) is not dict or not described:
        raise IntegrityError("it does not hold tensors by name")
    return {name: _tensor(name, value) for name, value in described.items()}


def _tensor(name: str, described: Any) -> _Tensor:
    """Understands calls of `_rebuild_tensor_v2`, within `_rebuild_parameter` or not."""
    if type(described) is Call and described.name == _PARAMETER and described.arguments:
        described = described.arguments[0]
    if type(described) is Call and described.name != _TENSOR:
        asked = described.name
        raise IntegrityError(
            f"it asks for {asked.module}.{asked.name}, and only tensors by name are read, never "
            "code"
        )
    if type(described) is not Call or len(described.arguments) < 4:
        raise IntegrityError(f"it holds something else than a tensor under {name!r}")
    record, offset, shape, strides = described.arguments[:4]
    storage = _storage(record)
    if not _are_sizes((offset,)) or not _are_sizes(shape) or not _are_sizes(strides):
        raise IntegrityError(f"{name!r} is a tensor without a shape")
    reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    if 0 in shape or reach > storage.size:
        raise IntegrityError(f"{name!r} is a tensor outside its {storage.size} numbers")
    return _Tensor(storage, offset, shape, strides)


def _storage(record: Any) -> _Storage:
    """Understands ("storage", type, key, device, size) and, in old files, a view, which is none."""
    parts = record.description if type(record) is Outside else None
    if type(parts) is not tuple or not 5 <= len(parts) <= 6 or parts[5:] not in ((), (None,)):
        raise IntegrityError("it has a tensor without a storage, or with one of an unknown kind")
    kind, name, key, _, size = parts[:5]
    fits = type(name) is Name and type(key) is str and _are_sizes((size,))
    if kind != "storage" or not fits:
        raise IntegrityError("it has a storage of an unknown kind")
    if name.module != "torch" or name.name not in _DTYPES:
        raise IntegrityError(f"it has numbers of the type {name.module}.{name.name}")
    return _Storage(key, np.dtype(_DTYPES[name.name]), size)


def _are_sizes(values: Any) -> bool:
    fits = type(values) is tuple and len(values) <= _MOST_AXES
    return fits and all(type(value) is int and 0 <= value < 2**63 for value in values)
