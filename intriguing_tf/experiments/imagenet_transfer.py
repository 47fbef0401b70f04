"""Table 2's question for ImageNet: do the other networks misclassify images distorted for one?"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.checks import check_kind, check_positive_integer
from intriguing_tf.classifier import check_model, input_dtype, input_shape
from intriguing_tf.experiments.networks import papers_options
from intriguing_tf.keras_graph import with_policy_of
from intriguing_tf.sweeps import sweep
from intriguing_tf.transfer import ErrorMatrix, amplify, error_matrix, gaussian_noise


@dataclasses.dataclass(frozen=True)
class ImagenetTransfer:
    """Distorts images for every network and shows them to all.

    Args:
        stddevs: the distortions are also magnified to these root mean squares per pixel, and
            Gaussian noise of the same size is set beside them.
        seed: of the random targets and of the noise.
        batch_size: images in one forward pass; bounds the memory.
        options: further keywords of `LBFGSAdversary`, without `bounds`.

    Example:

        models = {"lite0": lite0, "squeezenet": at_size(squeezenet, lite0.input_shape[1:3])}
        print(ImagenetTransfer().run(models, images, labels))
    """

    stddevs: tuple[float, ...] = (0.01, 0.03)
    seed: int = 0
    batch_size: int = 16
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def run(
        self,
        models: Mapping[str, keras.Model],
        images: np.ndarray,
        labels: np.ndarray,
        folder: str | Path | None = None,
    ) -> ErrorMatrix:
        """Attacks the images for every model and measures every model's error on every set.

        Args:
            models: ImageNet networks on pixels in [0, 1], all of one input size (see `at_size`).
            images: float32 `[n, height, width, 3]` in [0, 1].
            labels: int64 `[n]`, the true classes; targets are drawn from the others.
            folder: of a sweep (see `intriguing_tf.sweep`): attacks that are there are not repeated.

        Raises:
            TypeError: not Keras models by name, or options that are no dictionary.
            ValueError: models of several input sizes, images that they do not take, options with
                `bounds`, or a folder that holds attacks on other images, models or options.
        """
        check_kind("models", models, Mapping, "a dictionary of Keras models by name")
        for model in models.values():
            check_model(model)
        sizes = {name: input_shape(model) for name, model in models.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"The models must take images of one size. Received: {sizes}.")
        sets = {"undistorted": images}
        for name, result in self._attack(models, images, labels, folder).items():
            sets[f"for {name}"] = result.images
            for stddev in self.stddevs:
                sets[f"for {name}, amplified to {stddev}"] = amplify(result, stddev)
        for stddev in self.stddevs:
            sets[f"Gaussian noise {stddev}"] = gaussian_noise(images, stddev, self.seed)
        return error_matrix(models, sets, labels, originals=images, batch_size=self.batch_size)

    def _attack(
        self,
        models: Mapping[str, keras.Model],
        images: np.ndarray,
        labels: np.ndarray,
        folder: str | Path | None,
    ) -> dict[str, AdversarialResult]:
        with tempfile.TemporaryDirectory() as unkept:
            attacks = sweep(
                models,
                images,
                labels,
                folder=unkept if folder is None else folder,
                settings={"attack": papers_options(self.options)},
                seed=self.seed,
            )
            return {name: attacks.result(model=name) for name in models}


def at_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """Returns a network that scales images of another size, bilinearly, to what `model` wants.

    Distorted images must not be resized between the networks that they are shown to; so the
    resizing becomes part of the network.

    Args:
        model: takes `[n, height, width, 3]`.
        size: `(height, width)` that the new one takes.

    Raises:
        TypeError, ValueError: not a Keras model of images, or not two positive integers.
    """
    check_model(model)
    shape = input_shape(model) or ()
    if len(shape) != 3 or None in shape or shape[2] != 3:
        raise ValueError(
            "`model` must take images of one size, [n, height, width, 3]. Received: model "
            f"{model.name!r} with inputs of shape {shape or 'that it does not tell'}."
        )
    check_kind("size", size, (tuple, list), "a pair (height, width)")
    if len(size) != 2:
        raise ValueError(f"`size` must be a pair (height, width). Received: {size!r}.")
    for name, length in zip(("height", "width"), size, strict=True):
        check_positive_integer(name, length)
    wanted = shape[:2]
    if tuple(size) == wanted:
        return model
    dtype = input_dtype(model)
    images = keras.Input((*size, 3), name="image", dtype=dtype)
    resizing = keras.layers.Resizing(
        *wanted, interpolation="bilinear", name="resizing", dtype=dtype
    )
    whole = keras.Model(images, model(resizing(images)), name=model.name)
    return with_policy_of(model, whole)
