"""A whole split made adversarial, kept as a dataset, and trained on again.

The simpler remedy that a reader of the paper proposed: change every image of the training set
minimally, so that the network misreads all of them, add them to the training set with their true
labels, train again, and attack what comes out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from intriguing_tf.publishing import Recipe, load_recipe, published_network, train_on

from ..adversary import AdversarialResult, LBFGSAdversary
from ..classifier import Classifier
from ..datasets import fingerprint
from ..files import write_atomically
from ..lipschitz import bound
from ..reporting import Table

_SHARD = 1024  # a power of four: one batch size for the compiled search


@dataclasses.dataclass(frozen=True)
class CorruptedSplit:
    """A split of images, each minimally changed for one network.

    Args:
        images: float32, like the images that were given; those that the network misread from the
            start, or for which nothing was found, are unchanged.
        labels: int64, the true labels.
        error_before, error_after: fraction that the network misreads.
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
    verbose: bool | str = "auto",
) -> CorruptedSplit:
    """Changes every image minimally so that the model misreads it; resumable.

    Finished shards of 1024 images are kept in `folder/shards`; a run that was stopped does only
    what is missing. The images and true labels are written to `folder/dataset`, whole or not at
    all.

    Args:
        model: classifier of images in [0, 1].
        images: float32 `[n, ...]`. labels: int64 `[n]`.
        folder: for this model, these images and settings only.
        targets, seed: as in `LBFGSAdversary`.
        verbose: True or False for the progress bar, or "auto": when stderr is a terminal.

    Raises:
        ValueError: the folder holds work on another model, other images or settings.

    Example:

        model = itf.zoo.load("mnist/fc10-1e-2")
        print(corrupt(model, *itf.datasets.mnist_sample(), "corrupted"))
        tf.data.Dataset.load("corrupted/dataset")
    """
    folder = Path(folder)
    _claim(folder, model, images, labels, {"targets": targets, "seed": seed})
    adversary = LBFGSAdversary(model)
    results = []
    hide = None if verbose == "auto" else not verbose
    with tqdm(total=len(images), unit="image", desc="corrupting", disable=hide) as bar:
        for start in range(0, len(images), _SHARD):
            part = slice(start, start + _SHARD)
            path = folder / "shards" / f"{start:06}.npz"
            if not path.is_file():
                result = adversary(
                    images[part], labels[part], targets, seed=seed + start, verbose=False
                )
                result.save(path)
            results.append(AdversarialResult.load(path))
            bar.update(len(results[-1]))
    changed = np.concatenate([result.images for result in results])
    moved = np.concatenate([result.distortion[result.status == "found"] for result in results])
    classifier = Classifier(model)
    dataset = folder / "dataset"
    if not dataset.is_dir():
        temporary = folder / ".dataset.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        tf.data.Dataset.from_tensor_slices((changed, labels)).save(str(temporary))
        os.replace(temporary, dataset)
    return CorruptedSplit(
        changed,
        labels,
        float((classifier.predict(images) != labels).mean()),
        float((classifier.predict(changed) != labels).mean()),
        float(moved.mean()) if len(moved) else 0.0,
        sum(result.settings["seconds"] for result in results),
        dataset,
    )


@dataclasses.dataclass(frozen=True)
class Network:
    """What a network measured before or after it was trained on the corrupted split.

    Args:
        test_error: fraction misread of the test images.
        error_on_corrupted: fraction misread of the corrupted training images.
        error_on_corrupted_test: fraction misread of test images that were distorted for the
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

    Both networks and the corrupted split are kept in the folder; a run that was stopped goes on.
    The first network is the zoo's, where this recipe made it from these images.

    Args:
        recipe: a recipe of the zoo, or its name.
        folder: for this recipe and these images only.
        train_set: images and labels. test_set: images and labels.
        attacked: test images that are attacked.
        verbose: True or False for progress bars, or "auto".

    Raises:
        ValueError: no such recipe; the folder holds other work.

    Example:

        sample = itf.datasets.mnist_sample()
        print(corrupt_and_retrain("mnist/fc10-1e-2", "work", sample, sample, attacked=32))
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder = Path(folder)
    before, _ = _trained(recipe, folder / "before.keras", *train_set, verbose)
    split = corrupt(before, *train_set, folder / "corrupted", verbose=verbose)
    images = np.concatenate([train_set[0], split.images])
    labels = np.concatenate([train_set[1], split.labels])
    after, seconds = _trained(recipe, folder / "after.keras", images, labels, verbose)
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


def _trained(
    recipe: Recipe, file: Path, images: np.ndarray, labels: np.ndarray, verbose: Any
) -> tuple[keras.Model, float]:
    """Returns the network of a file, or the zoo's, or trains it; and how long that took."""
    known = published_network(recipe, fingerprint(images, labels))
    if known is not None:
        return known
    made_from = {"recipe": recipe.json(), "data": fingerprint(images, labels)}
    record = file.with_suffix(".json")
    if record.is_file():
        known = json.loads(record.read_text("utf-8"))
        if known["made_from"] != json.loads(json.dumps(made_from)):
            raise ValueError(f"{file} was trained on other images or by another recipe.")
        return keras.models.load_model(file), known["seconds"]
    start = time.perf_counter()
    model = train_on(recipe, images, labels, verbose=verbose).model
    seconds = time.perf_counter() - start
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)
    # Last: it says that the file is whole.
    write_atomically(record, json.dumps({"made_from": made_from, "seconds": seconds}, indent=1))
    return model, seconds


def _claim(
    folder: Path, model: keras.Model, images: np.ndarray, labels: np.ndarray, settings: dict
) -> None:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    made_from = {"weights": digest.hexdigest(), "data": fingerprint(images, labels), **settings}
    record = folder / "made_from.json"
    if not record.is_file():
        write_atomically(record, json.dumps(made_from, indent=1))
    elif json.loads(record.read_text("utf-8")) != made_from:
        raise ValueError(
            f"{folder} holds images that were corrupted for another model, from other images or "
            "with other settings. Give another folder."
        )


def _error(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    return float((Classifier(model).predict(images) != labels).mean())
