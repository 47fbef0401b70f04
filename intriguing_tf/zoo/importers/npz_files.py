"""Reads `.npz` files whose arrays are named layer/weight."""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.importers import assignment

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_WIDEST = 16  # bytes of a number
# What NumPy writes before an array of numbers: magic, version, length, and a dictionary.
_HEADER = re.compile(
    rb"\x93NUMPY(?:\x01\0..|\x02\0....)"
    rb"\{'descr': '([<>|][biuf]\d\d?)', 'fortran_order': (True|False), "
    rb"'shape': (\((?:\d{1,18}, )*(?:\d{1,18},?)?\)), \} *\n",
    re.DOTALL,
)


def npz(file: str | Path, model: keras.Model, channel_order: Literal["rgb", "bgr"] = "rgb") -> None:
    """Sets the weights of `model` from a `.npz` file.

    Its arrays are floats of any precision in Keras's layout, named as the layer and the weight:
    "conv1/kernel", "fire2/squeeze1x1/bias" ("/" within a layer's name is "_" in Keras).

    Args:
        file: as `numpy.savez` or `savez_compressed` writes it; objects are refused.
        model: the model whose layers are named so.
        channel_order: what the first kernel was made for; "bgr" is turned around where the model
            takes colored images.

    Raises:
        TypeError: `model` is not a built Keras model.
        OSError: the file is not there, or cannot be read.
        ValueError: the file is not a `.npz`, holds objects, or does not hold exactly the model's
            weights.

    Example:

        itf.zoo.importers.npz("weights.npz", model)
    """
    if channel_order not in ("rgb", "bgr"):
        raise ValueError(f"`channel_order` must be 'rgb' or 'bgr'. Received: {channel_order!r}.")
    assignment.layers_of(model)  # which checks it
    found = read_npz(file, model.count_params())
    with assignment.importing(file, model):
        arrays: dict[str, dict[str, np.ndarray]] = {}
        for name, array in found.items():
            layer, _, weight = name.rpartition("/")
            assignment.add(arrays, layer.replace("/", "_"), weight, array)
        if channel_order == "bgr":
            assignment.reverse_colors(model, arrays)
        assignment.assign(model, arrays)


def read_npz(file: str | Path, numbers: int | None = None) -> dict[str, np.ndarray]:
    """Reads every array of a `.npz` file.

    Args:
        file: as `numpy.savez` or `savez_compressed` writes it.
        numbers: that it may hold together where it is compressed; by default as many as the
            budget for compressed files says.

    Returns:
        Arrays by name; they are views, not to be written to.

    Raises:
        OSError: the file is not there, or cannot be read.
        IntegrityError: the file is not a `.npz`, holds objects, or more numbers.
    """
    content = foreign.read_bytes(file)
    largest = None if numbers is None else len(content) + _WIDEST * numbers
    with (
        foreign.reading(file, "a .npz of plain arrays"),
        foreign.archive(content, _METHODS, largest) as archive,
    ):
        return {
            name.removesuffix(".npy"): _array(name, archive.read(name))
            for name in archive.namelist()
        }


def _array(name: str, content: bytes) -> np.ndarray:
    header = _HEADER.match(content)
    if header is None:
        raise IntegrityError(f"{foreign.shown(name)} is not an array of numbers")
    dtype, data = np.dtype(header[1].decode()), memoryview(content)[header.end() :]
    shape = tuple(map(int, re.findall(rb"\d+", header[3])))
    if math.prod(shape) * dtype.itemsize != len(data):
        raise IntegrityError(
            f"{foreign.shown(name)} has {len(data)} bytes of {dtype} for the shape {shape}"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if header[2] == b"True" else "C")
