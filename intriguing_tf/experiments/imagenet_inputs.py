"""What command lines name for ImageNet: networks on pixels, and image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from .. import datasets, models
from .inputs import load_model

_APPLICATIONS = "applications/"


def load_imagenet_model(name: str) -> keras.Model:
    """Returns a network that takes RGB pixels in [0, 1].

    Args:
        name: an `imagenet/...` entry of the zoo, a `.keras` file, or `applications/` and the name
            of a network of `keras.applications`.

    Raises:
        ValueError: an unknown name, weights that cannot be had, or a model of another input.
    """
    if name.startswith(_APPLICATIONS):
        model = models.keras_application(name.removeprefix(_APPLICATIONS))
    else:
        model = load_model(name)
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or shape[2] != 3 or None in shape:
        raise ValueError(f"{name} must take images [height, width, 3]. It takes {shape}.")
    return model


def named_files(names: Sequence[str]) -> list[Path]:
    """Returns image files: those named, and those in the folders named (or in wnid folders there).

    Raises:
        ValueError: a folder without images.
        FileNotFoundError: a name that is neither file nor folder.
    """
    files: list[Path] = []
    for path in map(Path, names):
        if path.is_dir():
            files += datasets.image_files(path) or datasets.imagenet_files(path)
        elif path.is_file():
            files.append(path)
        else:
            raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
    return files
