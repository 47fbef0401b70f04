"""Reads `.caffemodel` files, protocol buffers of three generations, without Caffe."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.zoo.importers import assignment

# Message: field, number, type, repeated. Field numbers from Caffe's caffe.proto. The floats are
# packed, which on the wire is a string of bytes, and bytes go to NumPy without a list between.
_MESSAGES = {
    "BlobShape": [("dim", 1, "int64", True)],
    "BlobProto": [
        ("num", 1, "int32", False),
        ("channels", 2, "int32", False),
        ("height", 3, "int32", False),
        ("width", 4, "int32", False),
        ("data", 5, "bytes", False),
        ("shape", 7, "BlobShape", False),
        ("double_data", 8, "bytes", False),
    ],
    "V0LayerParameter": [("name", 1, "string", False), ("blobs", 50, "BlobProto", True)],
    "V1LayerParameter": [
        ("layer", 1, "V0LayerParameter", False),
        ("name", 4, "string", False),
        ("blobs", 6, "BlobProto", True),
    ],
    "LayerParameter": [("name", 1, "string", False), ("blobs", 7, "BlobProto", True)],
    "NetParameter": [
        ("name", 1, "string", False),
        ("layers", 2, "V1LayerParameter", True),
        ("layer", 100, "LayerParameter", True),
    ],
}

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
    assignment.check_model(model)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    layers = {layer.name: layer for layer in model.layers}
    for caffe_name, blobs in read_caffemodel(file).items():
        if caffe_name.startswith(_AUXILIARY):
            continue
        name = caffe_name.replace("/", "_")
        weights = dict(zip(("kernel", "bias"), blobs, strict=False))
        if name in layers:
            weights["kernel"] = _keras_kernel(layers[name], weights["kernel"])
            if "bias" in weights:
                weights["bias"] = weights["bias"].reshape(-1)
        arrays[name] = weights
    assignment.reverse_colors(model, arrays)
    assignment.assign(model, arrays)


def _keras_kernel(layer: keras.layers.Layer, blob: np.ndarray) -> np.ndarray:
    if isinstance(layer, keras.layers.Dense) and blob.ndim == 4:  # [1, 1, out, in] in old files
        blob = blob.reshape(blob.shape[2:])
    return assignment.channels_last(layer, blob, "Caffe")


def read_caffemodel(file: str | Path) -> dict[str, list[np.ndarray]]:
    """Reads the arrays of a `.caffemodel`.

    Args:
        file: a binary `NetParameter`.

    Returns:
        For each layer that has arrays, its name and its arrays as stored, float32 (float64 if the
        file holds doubles), channels first.

    Raises:
        ValueError: the file is not a `.caffemodel`, is cut short, or its sizes contradict its
            shapes.
    """
    from google.protobuf.message import DecodeError

    network = _messages()["NetParameter"]()
    try:
        network.ParseFromString(Path(file).read_bytes())
    except DecodeError as error:
        raise ValueError(f"{file} is not a .caffemodel, or is cut short: {error}") from error
    layers = [layer.layer if layer.HasField("layer") else layer for layer in network.layers]
    arrays: dict[str, list[np.ndarray]] = {}
    for layer in [*layers, *network.layer]:
        if not layer.blobs:
            continue
        if layer.name in arrays:
            raise ValueError(f"{file} has two layers named {layer.name!r}.")
        arrays[layer.name] = [_array(blob, f"{file}: {layer.name}") for blob in layer.blobs]
    if not arrays:
        raise ValueError(f"{file} is not a .caffemodel with weights: it has no layer with arrays.")
    return arrays


def _array(blob: Any, where: str) -> np.ndarray:
    shape = (
        tuple(blob.shape.dim)
        if blob.HasField("shape")
        else (blob.num, blob.channels, blob.height, blob.width)
    )
    data, dtype = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if min(shape, default=0) < 1 or size != len(data):
        raise ValueError(f"{where}: {len(data)} bytes cannot be {dtype[1:]} of shape {shape}.")
    return np.frombuffer(data, dtype).reshape(shape)


@functools.cache
def _messages() -> dict[str, Any]:
    """Returns the message classes, made from `_MESSAGES`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    package = "intriguing_tf.caffe"
    field_type = descriptor_pb2.FieldDescriptorProto
    proto = descriptor_pb2.FileDescriptorProto(
        name="intriguing_tf/caffe.proto", package=package, syntax="proto2"
    )
    for message, fields in _MESSAGES.items():
        descriptor = proto.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = descriptor.field.add(name=name, number=number)
            field.label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))
        for message in _MESSAGES
    }
