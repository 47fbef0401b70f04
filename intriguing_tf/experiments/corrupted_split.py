"""A whole split made adversarial, kept as a dataset, and trained on again.

The simpler remedy that a reader of the paper proposed: change every image of the training set
minimally, so that the network misclassifies all of them, add them to the training set with their
true labels, train again, and attack what comes out.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.checks import check_positive_integer
from intriguing_tf.classifier import Classifier
from intriguing_tf.experiments.networks import labelled, published_or_trained
from intriguing_tf.files import expanded
from intriguing_tf.lipschitz import bound
from intriguing_tf.publishing import Recipe, load_recipe
from intriguing_tf.reporting import Table
from intriguing_tf.store import Store, locked, write_folder_atomically
from intriguing_tf.sweeps import sweep
from intriguing_tf.text import printable


@dataclasses.dataclass(frozen=True)
class CorruptedSplit:
    """A split of images, each minimally changed for one network.

    Args:
        images: float32, like the images that were given; those that the network misclassified from
            the start, or for which nothing was found, are unchanged.
        labels: integers `[n]`, the true labels.
        error_before, error_after: fraction that the network misclassifies.
        distortion: average distortion of the changed images.
        seconds: that the searches took in all.
        dataset: folder that `tf.data.Dataset.load` reads: pairs of image and label.
    """

    images: np.ndarray
    labels: np.ndarray
    error_before: float
    error_after: float
    distortion: float
    seconds: float
    dataset: Path

    def __str__(self) -> str:
        return (
            f"{len(self.images)} images changed by {self.distortion:.4f} on average: error "
            f"{self.error_before:.2%} → {self.error_after:.2%}, {self.seconds:.0f} s; "
            f"dataset: {self.dataset}"
        )


def corrupt(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    folder: str | os.PathLike,
    *,
    targets: str = "nearest",
    seed: int = 0,
    shard_size: int = 1024,
    verbose: bool | str = "auto",
) -> CorruptedSplit:
    """Changes every image minimally so that the model misclassifies it; resumable.

    The folder is that of a sweep, so a run that was stopped does only what is missing. The images
    and true labels are written to `folder/dataset` in it, atomically. A call with more images, of
    which the first are those of before, does what is missing and writes the dataset again.

    Args:
        model: classifier of images in [0, 1].
        images: float32 `[n, ...]`.
        labels: integers `[n]`; they may come as a column or one-hot rows.
        folder: for this model, these images and settings only.
        targets, seed, shard_size: as in `intriguing_tf.sweep`.
        verbose: True or False for the progress bar, or "auto": when stderr is a terminal.

    Raises:
        ValueError: labels that are not one per image; the folder holds work on another model,
            other or fewer images or other settings, or of another version, or a `dataset` that
            is none of TensorFlow's.
        RuntimeError: another process is at work in the folder.

    Example:

        model = itf.zoo.load("mnist/fc10-1e-2")
        print(corrupt(model, *itf.datasets.mnist_sample(), "corrupted"))
        tf.data.Dataset.load("corrupted/dataset")
    """
    images, labels = labelled(images, labels)
    folder = expanded(folder)
    dataset = folder / "dataset"
    _check_dataset(dataset)
    result = sweep(
        {"network": model}, images, labels, folder=folder, targets=targets, seed=seed,
        settings={"default": {"loss": "cross_entropy"}}, shard_size=shard_size, verbose=verbose,
    ).result()  # fmt: skip
    with locked(folder):
        if _length(dataset) != len(result):
            pairs = tf.data.Dataset.from_tensor_slices((result.images, labels))
            write_folder_atomically(dataset, lambda part: pairs.save(str(part)))
    moved = result.distortion[result.status == "found"]
    return CorruptedSplit(
        result.images,
        labels,
        _error(model, images, labels),
        _error(model, result.images, labels),
        float(moved.mean()) if len(moved) else 0.0,
        result.settings["seconds"],
        dataset,
    )


@dataclasses.dataclass(frozen=True)
class Network:
    """What a network measured before or after it was trained on the corrupted split.

    Args:
        test_error: fraction misclassified of the test images.
        error_on_corrupted: fraction misclassified of the corrupted training images.
        error_on_corrupted_test: fraction misclassified of test images that were distorted for the
            network before.
        distortion: average minimal distortion of test images for this network itself.
        lipschitz: certified Lipschitz bound.
    """

    test_error: float
    error_on_corrupted: float
    error_on_corrupted_test: float
    distortion: float
    lipschitz: float


@dataclasses.dataclass(frozen=True)
class BeforeAndAfter:
    """The same network trained without and with the corrupted split; prints as a table."""

    recipe: str
    images: int
    attacked: int
    before: Network
    after: Network
    corrupting_seconds: float
    training_seconds: float

    def table(self) -> Table:
        """Returns one row per quantity."""
        rows = [
            ("test error, %", "test_error", 100),
            ("error on the corrupted training images, %", "error_on_corrupted", 100),
            ("error on test images distorted for 'before', %", "error_on_corrupted_test", 100),
            ("av. min. distortion of test images", "distortion", 1),
            ("Lipschitz bound", "lipschitz", 1),
        ]
        cells = [
            (title, scale * getattr(self.before, field), scale * getattr(self.after, field))
            for title, field, scale in rows
        ]
        note = (
            f"{self.images} training images corrupted in {self.corrupting_seconds:.0f} s, trained "
            f"again in {self.training_seconds:.0f} s; {self.attacked} test images attacked "
            "(nearest class, margin loss)."
        )
        return Table(
            f"{self.recipe}, a corrupted split added", ("", "before", "after"), cells, [note]
        )

    def __str__(self) -> str:
        return str(self.table())


def corrupt_and_retrain(
    recipe: Recipe | str,
    folder: str | os.PathLike,
    train_set: tuple[np.ndarray, np.ndarray],
    test_set: tuple[np.ndarray, np.ndarray],
    *,
    attacked: int = 256,
    verbose: bool | str = "auto",
) -> BeforeAndAfter:
    """Trains by a recipe, corrupts the training set, trains again with it added, and attacks both.

    Both networks and the corrupted split are kept in the folder; a run that was stopped resumes.
    The first network is the zoo's, where this recipe made it from these images.

    Args:
        recipe: a recipe of the zoo, or its name.
        folder: for this recipe and these images only.
        train_set: images and labels, as in `corrupt`; the recipe's `data` are not read.
        test_set: images and labels.
        attacked: how many test images are attacked, from the first on; all, if there are fewer.
        verbose: True or False for progress bars, or "auto".

    Raises:
        ValueError: no such recipe; labels that are not one per image; `attacked` is no positive
            integer; the folder holds other work, or that of an earlier release.
        RuntimeError: another process is at work in the folder.

    Example:

        sample = itf.datasets.mnist_sample()
        print(corrupt_and_retrain("mnist/fc10-1e-2", "work", sample, sample, attacked=32))
    """
    check_positive_integer("attacked", attacked)
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    train_set, test_set = labelled(*train_set), labelled(*test_set)
    folder = expanded(folder)
    with Store(folder, outdated=("before.json", "after.json")) as store:
        before, _ = published_or_trained(store, recipe, train_set, verbose)
        split = corrupt(before, *train_set, folder / "corrupted", verbose=verbose)
        images = np.concatenate([train_set[0], split.images])
        labels = np.concatenate([train_set[1], split.labels])
        after, seconds = published_or_trained(store, recipe, (images, labels), verbose)
    some, truth = test_set[0][:attacked], test_set[1][:attacked]
    results = [
        LBFGSAdversary(network, loss="margin")(some, truth, "nearest", verbose=verbose)
        for network in (before, after)
    ]
    measured = [
        Network(
            _error(network, *test_set),
            _error(network, split.images, split.labels),
            _error(network, results[0].images, truth),
            result.mean_distortion,
            float(bound(network).total),
        )
        for network, result in zip((before, after), results, strict=True)
    ]
    return BeforeAndAfter(
        recipe=recipe.name,
        images=len(split.images),
        attacked=len(some),
        before=measured[0],
        after=measured[1],
        corrupting_seconds=split.seconds,
        training_seconds=seconds,
    )


def _check_dataset(dataset: Path) -> None:
    """Raises if something that TensorFlow did not save would be replaced."""
    if os.path.lexists(dataset) and not (dataset / "dataset_spec.pb").is_file():
        raise ValueError(
            f"{printable(str(dataset))} must be a dataset as `tf.data.Dataset.save` writes it, or "
            "not be there: move it, or give another folder."
        )


def _length(dataset: Path) -> int | None:
    """Returns how many pairs a dataset holds; `None`, where there is none that can be read."""
    try:
        return int(tf.data.Dataset.load(str(dataset)).cardinality()) if dataset.is_dir() else None
    except tf.errors.OpError:
        return None


def _error(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    return float((Classifier(model).predict(images) != labels).mean())
