"""Writes files of other frameworks byte by byte, as those frameworks lay them out."""

import pickle
import struct
import zipfile

import numpy as np


def _varint(value):
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _field(number, payload):
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _number(number, value):
    return _varint(number << 3) + _varint(value)


def _blob(array, generation, dtype="<f4"):
    data = _field(5 if dtype == "<f4" else 8, array.astype(dtype).tobytes())
    if generation == "LayerParameter":
        return _field(7, _field(1, b"".join(map(_varint, array.shape)))) + data
    shape = (1,) * (4 - array.ndim) + array.shape
    return b"".join(_number(i + 1, n) for i, n in enumerate(shape)) + data


def write_caffemodel(path, layers, generation="LayerParameter", dtype="<f4"):
    """`layers`: name → arrays. Layers without arrays stand between them, as in real files."""
    network = _field(1, b"a network")
    for name, arrays in layers.items():
        blobs = [_blob(array, generation, dtype) for array in arrays]
        kind = _field(2, b"Convolution")
        if generation == "LayerParameter":
            layer = _field(1, name.encode()) + kind + b"".join(_field(7, b) for b in blobs)
            network += _field(100, layer) + _field(100, _field(1, b"relu_" + name.encode()))
        elif generation == "V1LayerParameter":
            layer = _field(2, b"data") + _field(4, name.encode()) + _number(5, 4)
            network += _field(2, layer + b"".join(_field(6, b) for b in blobs))
        else:
            inner = _field(1, name.encode()) + kind + b"".join(_field(50, b) for b in blobs)
            network += _field(2, _field(1, inner) + _field(2, b"data"))
    path.write_bytes(network)


class _Global:
    """Pickles as a reference to `module.name`, which need not exist here."""

    def __init__(self, module, name):
        self.path = module, name


class _Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class _Storage:
    def __init__(self, key, size):
        self.key, self.size = key, size


def _opcodes(value):
    """Protocol 2 opcodes of a small vocabulary, written out by hand."""
    if isinstance(value, _Global):
        return "c{}\n{}\n".format(*value.path).encode()
    if isinstance(value, _Call):
        return _opcodes(value.function) + _opcodes(value.arguments) + b"R"
    if isinstance(value, _Storage):
        kind = _Global("torch", "FloatStorage")
        return _opcodes(("storage", kind, value.key, "cpu", value.size)) + b"Q"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, dict):
        items = (_opcodes(key) + _opcodes(item) for key, item in value.items())
        return b"}(" + b"".join(items) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def tensors_pickle(arrays):
    """The pickle of a state dictionary whose storages are numbered in order."""
    tensors = {}
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(s // array.itemsize for s in array.strides)
        tensors[name] = _Call(
            _Global("torch._utils", "_rebuild_tensor_v2"),
            _Storage(str(key), array.size),
            0,
            array.shape,
            strides,
            False,
            _Call(_Global("collections", "OrderedDict")),
        )
    return b"\x80\x02" + _opcodes(tensors) + b"."


def write_pth(path, arrays, data_pickle=None):
    """`arrays`: name → contiguous float32. `data_pickle` replaces the pickle of the tensors."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data_pickle or tensors_pickle(arrays))
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(array).tobytes())
        archive.writestr("archive/version", "3\n")


def write_old_pth(path, arrays, data_pickle=None):
    """The same in the format before torch 1.6."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    content = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, facts))
    content += data_pickle or tensors_pickle(arrays)
    content += pickle.dumps([str(key) for key in range(len(arrays))], 2)
    for array in arrays.values():
        content += struct.pack("<q", array.size) + np.ascontiguousarray(array).tobytes()
    path.write_bytes(content)
