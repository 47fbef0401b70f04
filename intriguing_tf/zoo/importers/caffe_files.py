"""Reads `.caffemodel` files, protocol buffers of three generations, without Caffe.

The wire format is read here: of each message the fields that weights need, the rest is skipped
without being looked at, and arrays are views of the file's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.foreign import BUDGET, Budget
from intriguing_tf.zoo.importers import assignment

# Fields of NetParameter that hold layers, and of such layers those of name and arrays; from
# Caffe's caffe.proto. A V1 layer may hold a V0 layer in its field 1, which has both instead.
_LAYERS, _V1_LAYERS, _V0_LAYER = 100, 2, 1
_NAME_AND_BLOBS = {"today's": (1, 7), "V1": (4, 6), "V0": (1, 50)}
# Fields of BlobProto; the first four are a shape in files before `shape`.
_OLD_SHAPE, _DATA, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8
_DIMENSIONS = 1  # of BlobShape
_MOST_AXES = 32

# Wire types.
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5

# Classifiers half way up GoogLeNet that only its training uses.
_AUXILIARY = ("loss1/", "loss2/")


def caffe(file: str | Path, model: keras.Model) -> None:
    """Sets the weights of `model` from a `.caffemodel`.

    Layers correspond by name ("/" is "_" in Keras). Kernels are turned from channels first to
    channels last, inputs of a dense layer above maps reordered, and the first kernel turned from
    blue-green-red, Caffe's order, to red-green-blue.

    Args:
        file: a binary `NetParameter`; layers of the generations V0, V1 and today's.
        model: `itf.models.alexnet()`, `squeezenet_1_1()`, `googlenet()`, or one of your own whose
            layers are named so.

    Raises:
        TypeError: `model` is not a built Keras model.
        OSError: the file is not there, or cannot be read.
        ValueError: the file is not a `.caffemodel`, or does not hold exactly the model's weights.

    Example:

        model = itf.models.squeezenet_1_1()
        itf.zoo.importers.caffe("squeezenet_v1.1.caffemodel", model)
    """
    layers = assignment.layers_of(model)
    found = read_caffemodel(file)
    with assignment.importing(file, model):
        arrays: dict[str, dict[str, np.ndarray]] = {}
        for caffe_name, blobs in found.items():
            if not caffe_name.startswith(_AUXILIARY):
                name = caffe_name.replace("/", "_")
                for weight, array in _keras_weights(layers.get(name), name, blobs).items():
                    assignment.add(arrays, name, weight, array)
        assignment.reverse_colors(model, arrays)
        assignment.assign(model, arrays)


def _keras_weights(
    layer: keras.layers.Layer | None, name: str, blobs: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns kernel and bias of a layer in Keras's layout."""
    if len(blobs) > 2:
        raise IntegrityError(f"{name} has {len(blobs)} arrays, and a kernel and a bias are known")
    weights = dict(zip(("kernel", "bias"), blobs, strict=False))
    if layer is None:
        return weights
    kernel = weights["kernel"]
    if isinstance(layer, keras.layers.Dense) and kernel.ndim == 4:  # [1, 1, out, in] in old files
        kernel = kernel.reshape(kernel.shape[2:])
    weights["kernel"] = assignment.channels_last(layer, kernel, "Caffe")
    return {
        weight: array if weight == "kernel" else array.reshape(-1)
        for weight, array in weights.items()
    }


def read_caffemodel(file: str | Path) -> dict[str, list[np.ndarray]]:
    """Reads the arrays of a `.caffemodel`.

    Args:
        file: a binary `NetParameter`.

    Returns:
        For each layer that has arrays, its name and its arrays as stored, float32 (float64 if the
        file holds doubles), channels first.

    Raises:
        OSError: the file is not there, or cannot be read.
        IntegrityError: the file is not a `.caffemodel`, is cut short, or its sizes contradict its
            shapes.
    """
    content = foreign.read_bytes(file)
    with foreign.reading(file, "a .caffemodel with weights"):
        arrays: dict[str, list[np.ndarray]] = {}
        for name, blobs in _layers(_Message(memoryview(content), _Counter())):
            if not blobs:
                continue
            if name in arrays:
                raise IntegrityError(f"it has two layers named {name!r}")
            arrays[name] = [_array(blob, name) for blob in blobs]
        if not arrays:
            raise IntegrityError("it has no layer with arrays")
        return arrays


def _layers(network: _Message) -> Iterator[tuple[str, list[_Message]]]:
    """Yields names and arrays of the layers of all generations."""
    for layer in network.messages(_V1_LAYERS):
        older = layer.messages(_V0_LAYER)
        for each in older or [layer]:
            yield _name_and_blobs(each, "V0" if older else "V1")
    for layer in network.messages(_LAYERS):
        yield _name_and_blobs(layer, "today's")


def _name_and_blobs(layer: _Message, generation: str) -> tuple[str, list[_Message]]:
    name, blobs = _NAME_AND_BLOBS[generation]
    return str(layer.one(name), "utf-8"), layer.messages(blobs)


def _array(blob: _Message, layer: str) -> np.ndarray:
    shapes = blob.messages(_SHAPE)
    if shapes:
        shape = tuple(shapes[0].integers(_DIMENSIONS))
    else:
        shape = tuple(sum(blob.integers(number)) for number in _OLD_SHAPE)
    data, dtype = blob.one(_DATA), "<f4"
    if doubles := blob.one(_DOUBLES):
        data, dtype = doubles, "<f8"
    if min(shape, default=0) < 1 or math.prod(shape) * int(dtype[2]) != len(data):
        raise IntegrityError(f"{layer!r} has {len(data)} bytes of {dtype} for the shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape)


class _Counter:
    """Counts the fields of a file's messages up to the budget."""

    def __init__(self, budget: Budget = BUDGET):
        self._budget, self._found = budget, 0

    def add(self) -> None:
        self._found += 1
        foreign.within(self._budget.fields, self._found, "fields of its messages")


class _Message:
    """A message's fields by number: integers, or bytes that are not looked into."""

    def __init__(self, content: memoryview, counter: _Counter):
        self._counter = counter
        self._fields: dict[int, list[int | memoryview]] = {}
        for number, value in _fields(content):
            counter.add()
            self._fields.setdefault(number, []).append(value)

    def messages(self, number: int) -> list[_Message]:
        """Returns a field's messages."""
        return [_Message(content, self._counter) for content in self._bytes(number)]

    def one(self, number: int) -> memoryview:
        """Returns the bytes of a field that is there once at most."""
        values = self._bytes(number)
        if len(values) > 1:
            raise IntegrityError(f"its field {number} is there {len(values)} times")
        return values[0] if values else memoryview(b"")

    def integers(self, number: int) -> list[int]:
        """Returns a field's integers, packed or not."""
        found: list[int] = []
        for value in self._fields.get(number, []):
            found += [value] if isinstance(value, int) else _varints(value)
            foreign.within(_MOST_AXES, len(found), "axes of an array")
        return found

    def _bytes(self, number: int) -> list[memoryview]:
        values = self._fields.get(number, [])
        found = [value for value in values if isinstance(value, memoryview)]
        if len(found) < len(values):
            raise IntegrityError(f"its field {number} has another type")
        return found


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields number and content of a message's fields."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(content, at)
        if size is None:
            raise IntegrityError(f"a field has the type {kind}, which Caffe does not use")
        if at + size > len(content):
            raise IntegrityError("it is cut short")
        yield number, content[at : at + size]
        at += size


def _varints(content: memoryview) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(content):
        foreign.within(_MOST_AXES, len(found) + 1, "axes of an array")
        value, at = _varint(content, at)
        found.append(value)
    return found


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Returns the integer that begins at an offset, and the offset behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value, at
    raise IntegrityError("an integer has more than ten bytes")
