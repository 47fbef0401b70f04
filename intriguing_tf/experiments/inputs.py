"""What command lines name: models of the zoo or files, and MNIST images."""

from __future__ import annotations

import keras
import numpy as np

from .. import datasets, zoo


def load_model(name: str) -> keras.Model:
    """Returns a model by its name in the zoo, or from a `.keras` file.

    Raises:
        ValueError: an unknown name, or a file that is not a Keras model.
        FileNotFoundError: no such file.
    """
    if name.endswith(".keras"):
        return keras.models.load_model(name, safe_mode=True)
    return zoo.load(name)


def load_images(
    data: str, number: int | None = None, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first images and labels of the data that a command line names.

    Args:
        data: MNIST's "test" or "train", the bundled "sample", or a path to an `.npz` file with
            arrays "images" and "labels".
        number: how many; by default all.
        bounds: least and largest pixel value, finite, to which MNIST is scaled.

    Raises:
        ValueError: other data than these, or more images than there are.
        FileNotFoundError: no such file, or MNIST cannot be had.
    """
    if data.endswith(".npz"):
        images, labels = _load_npz(data)
    else:
        images, labels = datasets.mnist_sample() if data == "sample" else datasets.mnist(data)
        lower, upper = bounds
        if bounds != (0.0, 1.0):
            images = (lower + (upper - lower) * images).clip(lower, upper).astype(images.dtype)
    if number is not None and not 0 < number <= len(images):
        raise ValueError(
            f"`number` must be from 1 to {len(images)} for {data!r}. Received: {number}."
        )
    return images[:number], labels[:number]


def _load_npz(path: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        if not {"images", "labels"} <= set(stored):
            raise ValueError(
                f"{path} must hold arrays 'images' and 'labels'. Received: {sorted(stored)}."
            )
        return stored["images"], stored["labels"]
