"""Reads PyTorch's `.pth` files, zip or older, without torch and without running their pickles.

A `.pth` is a pickle that may ask for any function to be called. Here it is read twice: first its
opcodes, of which a closed list is allowed, then its objects, where the only names that resolve
are those that a dictionary of tensors needs. They resolve to inert descriptions, and the numbers
are taken from the file afterwards.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from intriguing_tf.zoo.importers import assignment

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
# fmt: off
_OPCODES = frozenset(
    {
        "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
        "BINPERSID", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
        "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING",
        "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS",
        "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE",
        "BINGET", "LONG_BINGET", "POP", "POP_MARK",
    }
)
# fmt: on
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_LARGEST_PICKLE = 64 * 2**20

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
        model: `itf.models.alexnet_one_tower()`, `efficientnet_lite0()`, or one of your own whose
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
    assignment.check_model(model)
    layers = {layer.name: layer for layer in model.layers}
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for full_name, array in read_state_dict(file).items():
        *path, weight = full_name.split(".")
        if weight == "num_batches_tracked":
            continue
        name = "_".join(part.lstrip("_") for part in path)
        layer = layers.get(name)
        if isinstance(layer, keras.layers.BatchNormalization):
            keras_name = {"weight": "gamma", "bias": "beta"}.get(weight) or _WEIGHTS.get(weight)
        else:
            keras_name = _WEIGHTS.get(weight)
        if layer is not None and keras_name == "kernel":
            array = assignment.channels_last(layer, array, "PyTorch")
        arrays.setdefault(name, {})[keras_name or weight] = array
    assignment.assign(model, arrays)


def read_state_dict(file: str | Path) -> dict[str, np.ndarray]:
    """Reads a dictionary of tensors that `torch.save` wrote.

    Args:
        file: a zip (torch 1.6 and later) or the older format.

    Returns:
        Arrays by name, as stored, channels first.

    Raises:
        ValueError: the file is neither, is damaged, holds anything but plain tensors by name, or
            asks for code to be run.
    """
    try:
        file = Path(file)  # an integer would be an open file's number
        arrays = _read_zip(file) if zipfile.is_zipfile(file) else _read_old(file)
    except (
        ValueError,  # what is checked here
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        TypeError,  # the rest: a pickle that puts its objects together wrongly
        AttributeError,
        IndexError,
        KeyError,
    ) as error:
        raise ValueError(f"{file} is not a PyTorch state dictionary: {error}") from error
    return arrays


@dataclasses.dataclass(frozen=True, slots=True)
class _Storage:
    """Numbers in the file: `size` of them, in the record named `key`."""

    dtype: str
    key: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _RebuildTensor:
    """Stands for `torch._utils._rebuild_tensor_v2`."""

    __slots__ = ()  # nothing that a pickle could set

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        if not isinstance(storage, _Storage) or not isinstance(offset, int):
            raise ValueError("a tensor without a storage or an offset")
        for axes in (shape, strides):
            if not isinstance(axes, tuple) or not all(type(a) is int and a >= 0 for a in axes):
                raise ValueError(f"a tensor of shape {shape} with strides {strides}")
        reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
        if not 0 <= offset < reach <= storage.size or math.prod(shape) > storage.size:
            raise ValueError(f"a tensor of shape {shape} outside its {storage.size} numbers")
        return _Tensor(storage, offset, shape, strides)


class _RebuildParameter:
    """Stands for `torch._utils._rebuild_parameter`."""

    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


@dataclasses.dataclass(frozen=True, slots=True)
class _StorageType:
    """Stands for `torch.FloatStorage` and its like."""

    dtype: str


class _StateDictUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise ValueError(
            f"it asks for {module}.{name}, and only tensors by name are read, never code"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise ValueError(f"an unknown kind of record: {pid!r:.100}")
        _, kind, key, _, size, *view = pid
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or any(view):
            raise ValueError(f"an unknown kind of storage: {pid!r:.100}")
        if type(size) is not int or size < 0:
            raise ValueError(f"a storage of {size!r} numbers")
        return _Storage(kind.dtype, key, size)


def _next_pickle(stream: IO[bytes]) -> Any:
    """Reads one pickle from where the stream stands, and leaves it behind the pickle."""
    start = stream.tell()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name not in _OPCODES:
            raise ValueError(f"its pickle has the opcode {opcode.name}, which tensors do not need")
        # The unpickler makes room for as many objects as the largest index says.
        if opcode.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > stream.tell() - start:
            raise ValueError(f"its pickle numbers an object {argument}")
    size = stream.tell() - start
    if size > _LARGEST_PICKLE:
        raise ValueError(f"its pickle has {size} bytes, and {_LARGEST_PICKLE} are allowed")
    stream.seek(start)
    return _StateDictUnpickler(io.BytesIO(stream.read(size)), encoding="utf-8").load()


def _read_zip(file: str | Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        records = {info.filename: info for info in archive.infolist()}
        compressed = [name for name, r in records.items() if r.file_size != r.compress_size]
        if compressed:
            raise ValueError(f"its record {compressed[0]!r} is compressed, which torch never does")
        pickles = [name for name in records if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"a zip with {len(pickles)} records data.pkl instead of one")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in records and archive.read(order) != b"little":
            raise ValueError("its numbers are not little-endian")
        if records[pickles[0]].file_size > _LARGEST_PICKLE:
            raise ValueError(f"its pickle has {records[pickles[0]].file_size} bytes")
        tensors = _next_pickle(io.BytesIO(archive.read(pickles[0])))

        def numbers(storage: _Storage) -> bytes:
            return archive.read(f"{root}data/{storage.key}")

        return dict(_arrays(tensors, numbers))


def _read_old(file: str | Path) -> dict[str, np.ndarray]:
    with open(file, "rb") as stream:
        if _next_pickle(stream) != _OLD_MAGIC:
            raise ValueError("it starts with neither PyTorch's magic number nor a zip's")
        for _ in ("version of the format", "endianness and sizes of integers"):
            facts = _next_pickle(stream)
        if not isinstance(facts, dict) or facts.get("little_endian") is not True:
            raise ValueError("its numbers are not little-endian")
        tensors = _next_pickle(stream)
        keys = _next_pickle(stream)
        if not isinstance(keys, list):
            raise ValueError("it has no list of its storages")
        item_sizes = {
            t.storage.key: np.dtype(t.storage.dtype).itemsize for _, t in _named_tensors(tensors)
        }
        contents: dict[str, bytes] = {}
        for key in keys:
            if key not in item_sizes:
                raise ValueError(f"it has a storage {key!r} that no tensor uses")
            size = int.from_bytes(stream.read(8), "little") * item_sizes[key]
            if size > Path(file).stat().st_size - stream.tell():
                raise ValueError(f"it is cut short in the storage {key!r}")
            contents[key] = stream.read(size)
        return dict(_arrays(tensors, lambda storage: contents[storage.key]))


def _arrays(tensors: Any, numbers: Callable[[_Storage], bytes]) -> Iterator[tuple[str, np.ndarray]]:
    for name, tensor in _named_tensors(tensors):
        data = numbers(tensor.storage)
        dtype = np.dtype(tensor.storage.dtype)
        if len(data) != tensor.storage.size * dtype.itemsize:
            raise ValueError(
                f"the storage of {name!r} has {len(data)} bytes for {tensor.storage.size} numbers"
            )
        strides = [stride * dtype.itemsize for stride in tensor.strides]
        # Within the storage: _RebuildTensor has seen to that.
        yield (
            name,
            np.ndarray(tensor.shape, dtype, data, tensor.offset * dtype.itemsize, strides).copy(),
        )


def _named_tensors(tensors: Any) -> Iterator[tuple[str, _Tensor]]:
    if not isinstance(tensors, dict):
        raise ValueError(f"it holds a {type(tensors).__name__}, not tensors by name")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise ValueError(f"it holds a {type(tensor).__name__} under {name!r:.100}")
        yield name, tensor
