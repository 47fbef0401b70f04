"""A folder of finished work: whatever is in it is not done again, whatever is not is done whole."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import filelock
import keras
import numpy as np

from intriguing_tf import publishing

from .. import __version__
from ..adversary import AdversarialResult, LBFGSAdversary
from ..datasets import fingerprint, mnist
from ..files import write_atomically
from ..zoo import load
from . import paper
from .records import from_json, to_json

_UNFINISHED = ".unfinished"
RecordT = TypeVar("RecordT")


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """The first images of a split of MNIST.

    Args:
        split: "train" or "test".
        number: how many, from the first on; `None` for all.
        subset: "p1" or "p2" for a half of "train".
    """

    split: str
    number: int | None = None
    subset: str | None = None

    def __str__(self) -> str:
        number = "all" if self.number is None else self.number
        return f"{number} {self.subset or self.split} images"


class Experiment(abc.ABC, Generic[RecordT]):
    """One table or figure of the paper: settings, from which a workspace measures a record.

    Subclasses are frozen dataclasses of JSON's types. `Workspace.result` keeps the record under
    these settings, the models' weights and the images, so it must depend on nothing else.

    Attributes:
        record: class of what is measured, a subclass of `results.Record`.
        models: the paper's names of the models that the record depends on.
    """

    record: type[RecordT]
    models: ClassVar[tuple[str, ...]]

    @property
    @abc.abstractmethod
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the record depends on."""

    @abc.abstractmethod
    def run(self, workspace: Workspace) -> RecordT:
        """Measures."""


class Workspace:
    """Models, images, attacks and results for experiments, kept in a folder as they are made.

    Each piece is written under a temporary name and renamed when it is whole, under a name that
    holds a hash of all that determines it: settings, weights, images, the package's version. So a
    run that is killed anywhere and started again does what is missing, and its results are those
    of a run that was not.

    Args:
        folder: made when it is not there.
        load_model: from a name of the zoo to a Keras model; by default the zoo's weights.
        training_seed: train every model by its recipe with this seed instead of loading it; what
            is trained is kept in the folder too.
        load_images: from a split and a subset to (images, labels); by default MNIST.
        verbose: show what is being done.

    Raises:
        RuntimeError: another process is at work in the folder.

    Example:

        with Workspace("reproduction") as workspace:
            print(workspace.result(Table1(number=128)))
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        load_model: Callable[[str], keras.Model] = load,
        load_images: Callable[[str, str | None], tuple[np.ndarray, np.ndarray]] = mnist,
        training_seed: int | None = None,
        verbose: bool = True,
    ):
        self.folder = Path(folder)
        self.verbose = verbose
        self.seconds: dict[str, float] = {}  # of every piece that was used
        self._spent = [0.0]  # shared with `retrained`
        self.training_seed = training_seed
        self._load_model = load_model
        self._load_images = functools.cache(load_images)
        self._models: dict[str, keras.Model] = {}
        self._adversaries: dict[str, tuple[keras.Model, LBFGSAdversary]] = {}
        self._model_fingerprints: dict[str, str] = {}
        self._images_fingerprints: dict[ImageSet, str] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.folder / ".lock")

    def __enter__(self) -> Workspace:
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout as error:
            raise RuntimeError(
                f"Another process is at work in {str(self.folder)!r}. Wait for it, or choose "
                "another folder."
            ) from error
        for kind in ("attacks", "models", "results"):
            for leftover in self.folder.glob(f"{kind}/.*{_UNFINISHED}"):  # by a run that was killed
                shutil.rmtree(leftover)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._lock.release()

    def model(self, name: str) -> keras.Model:
        """Returns the model of a name of the paper (see `paper.ZOO`)."""
        if name not in self._models:
            entry = paper.ZOO[name]
            self._models[name] = (
                self._load_model(entry)
                if self.training_seed is None
                else self._trained(entry, self.training_seed)
            )
        return self._models[name]

    def retrained(self, seed: int) -> Workspace:
        """Returns the same workspace with models trained anew by their recipes with that seed."""
        other = copy.copy(self)
        other.training_seed = seed
        other._models, other._model_fingerprints = {}, {}
        return other

    def images(self, which: ImageSet) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images and labels of a set."""
        images, labels = self._load_images(which.split, which.subset)
        if which.number is not None and not 0 < which.number <= len(images):
            raise ValueError(
                f"`number` must be between 1 and {len(images)}, the images of {which.split!r}. "
                f"Received: {which.number}."
            )
        return images[: which.number], labels[: which.number]

    def attack(
        self, name: str, which: ImageSet, targets: str = "random", seed: int = 0
    ) -> AdversarialResult:
        """Returns the minimal adversarial examples for a model, made unless they are there."""
        adversary = self._adversary(name)
        settings = ("solver", "loss", "maxcor", "maxfun", "xtol")
        made_from = {
            "model": self._model_fingerprint(name),
            "images": self._images_fingerprint(which),
            "targets": targets,
            "seed": seed,
            "adversary": {setting: getattr(adversary, setting) for setting in settings},
            "version": __version__,
        }
        label = f"{name}, {which}, {targets} targets"
        folder = self.folder / "attacks" / _file_name(label, made_from)

        def attack(path: Path) -> None:
            images, labels = self.images(which)
            adversary(images, labels, targets=targets, seed=seed, verbose=self.verbose).save(
                path / "result.npz"
            )

        self._make(label, folder, made_from, attack)
        return AdversarialResult.load(folder / "result.npz")

    def attacked_images(self, name: str, which: ImageSet, seed: int = 0) -> np.ndarray:
        """Returns the images that `attack` found with random targets."""
        return self.attack(name, which, seed=seed).images

    def result(self, experiment: Experiment[RecordT]) -> RecordT:
        """Returns an experiment's result, run unless it is there.

        Args:
            experiment: such as `Table1()`.
        """
        name = type(experiment).__name__
        made_from = {
            "settings": to_json(experiment),
            "models": {model: self._model_fingerprint(model) for model in experiment.models},
            "images": [self._images_fingerprint(each) for each in experiment.image_sets],
            "version": __version__,
        }
        folder = self.folder / "results" / _file_name(name, made_from)

        def run(path: Path) -> None:
            result = to_json(experiment.run(self))
            write_atomically(path / "result.json", json.dumps(result, indent=1, allow_nan=False))

        self._make(name, folder, made_from, run)
        return from_json(experiment.record, json.loads((folder / "result.json").read_text()))

    def _make(
        self, label: str, folder: Path, made_from: dict, make: Callable[[Path], None]
    ) -> None:
        """Has `make` fill a folder, unless it is there; counts the seconds that it took."""
        if not folder.is_dir():
            if self.verbose:
                print(label, flush=True)
            start, within = time.perf_counter(), self._spent[0]
            temporary = folder.with_name(f".{folder.name}{_UNFINISHED}")
            temporary.mkdir(parents=True)
            make(temporary)
            # The pieces that were made for this one count their own time.
            own = time.perf_counter() - start - (self._spent[0] - within)
            self._spent[0] += own
            made = {"made_from": made_from, "seconds": own}
            write_atomically(temporary / "made.json", json.dumps(made, indent=1))
            os.replace(temporary, folder)
        self.seconds[folder.name] = json.loads((folder / "made.json").read_text())["seconds"]

    def _adversary(self, name: str) -> LBFGSAdversary:
        """Returns the adversary of a model, compiled once for all models of its architecture.

        Compiling takes longer than attacking hundreds of images, so networks that differ in
        nothing but their weights take turns in one of them.
        """
        model = self.model(name)
        architecture = _architecture(model)
        if architecture not in self._adversaries:
            network = keras.models.clone_model(model)
            self._adversaries[architecture] = network, LBFGSAdversary(network)
        network, adversary = self._adversaries[architecture]
        network.set_weights(model.get_weights())
        return adversary

    def _trained(self, entry: str, seed: int) -> keras.Model:
        recipe = publishing.load_recipe(entry).replace(seed=seed)
        label = f"{entry}, seed {seed}"
        made_from = {"recipe": recipe.json(), "version": __version__}
        folder = self.folder / "models" / _file_name(label, made_from)

        def train(path: Path) -> None:
            publishing.train(recipe, verbose=self.verbose).model.save(path / "model.keras")

        self._make(label, folder, made_from, train)
        return keras.models.load_model(folder / "model.keras")

    def _model_fingerprint(self, name: str) -> str:
        if name not in self._model_fingerprints:
            digest = hashlib.sha256()
            for weight in self.model(name).get_weights():
                digest.update(f"{weight.shape}".encode() + np.ascontiguousarray(weight).tobytes())
            self._model_fingerprints[name] = digest.hexdigest()
        return self._model_fingerprints[name]

    def _images_fingerprint(self, which: ImageSet) -> str:
        if which not in self._images_fingerprints:
            self._images_fingerprints[which] = fingerprint(*self.images(which))
        return self._images_fingerprints[which]


def _architecture(model: keras.Model) -> str:
    """What decides how a model computes, besides its weights."""
    training_only = ("_initializer", "_regularizer", "_constraint", "trainable")
    layers = [
        (
            type(layer).__name__,
            {k: v for k, v in layer.get_config().items() if not k.endswith(training_only)},
        )
        for layer in model.layers
    ]
    return json.dumps([model.name, layers], default=str, sort_keys=True)


def _file_name(label: str, made_from: dict) -> str:
    """A name that a reader knows and that changes with everything that determines the content."""
    readable = "".join(c if c.isalnum() or c in "-." else "_" for c in label.lower())
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return f"{readable}-{digest[:16]}"
