"""Reads `.npz` files whose arrays are named layer/weight."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from intriguing_tf.zoo.importers import assignment


def npz(file: str | Path, model: keras.Model, channel_order: Literal["rgb", "bgr"] = "rgb") -> None:
    """Sets the weights of `model` from a `.npz` file.

    Its arrays are floats of any precision in Keras's layout, named as the layer and the weight:
    "conv1/kernel", "fire2/squeeze1x1/bias" ("/" within a layer's name is "_" in Keras).

    Args:
        file: as `numpy.savez` writes it; objects are refused.
        model: the model whose layers are named so.
        channel_order: what the first kernel was made for; "bgr" is turned around.

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
    assignment.check_model(model)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for name, array in read_npz(file).items():
        layer, _, weight = name.rpartition("/")
        arrays.setdefault(layer.replace("/", "_"), {})[weight] = array
    if channel_order == "bgr":
        assignment.reverse_colors(model, arrays)
    assignment.assign(model, arrays)


def read_npz(file: str | Path) -> dict[str, np.ndarray]:
    """Reads every array of a `.npz` file.

    Raises:
        ValueError: the file is not a `.npz` or holds objects.
    """
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is not a .npz of plain arrays: {error}") from error
