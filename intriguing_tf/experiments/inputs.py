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


def load_images(data: str, number: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first images and labels of MNIST's "test" or "train", or the bundled "sample".

    Raises:
        ValueError: other data than these, or more images than there are.
        FileNotFoundError: MNIST cannot be had.
    """
    images, labels = datasets.mnist_sample() if data == "sample" else datasets.mnist(data)
    if number is not None and not 0 < number <= len(images):
        raise ValueError(
            f"`number` must be from 1 to {len(images)} for {data!r}. Received: {number}."
        )
    return images[:number], labels[:number]
