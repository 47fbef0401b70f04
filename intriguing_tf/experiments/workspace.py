"""A folder of finished work: whatever is in it is not done again, whatever is not is done whole."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import keras
import numpy as np

from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.checks import check_choice, check_kind, check_positive_integer, check_seed
from intriguing_tf.classifier import check_model
from intriguing_tf.datasets import mnist
from intriguing_tf.experiments import paper
from intriguing_tf.experiments.networks import trained
from intriguing_tf.experiments.records import from_json, to_json
from intriguing_tf.files import expanded, write_atomically
from intriguing_tf.fingerprints import array_fingerprint, model_fingerprint
from intriguing_tf.publishing import load_recipe
from intriguing_tf.store import Store
from intriguing_tf.sweeps.plan import adversary_settings
from intriguing_tf.zoo import load

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

    Subclasses are frozen dataclasses of JSON's types, whose integers are a `seed` or positive.
    `Workspace.result` keeps the record under these settings, the models' weights and the images,
    so it must depend on nothing else.

    Attributes:
        record: class of what is measured, a subclass of `results.KeptResult`.
        models: the paper's names of the models that the record depends on.
    """

    record: type[RecordT]
    models: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.name == "seed":
                check_seed(value)
            elif field.type == "int":
                check_positive_integer(field.name, value)

    @property
    @abc.abstractmethod
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the record depends on."""

    @abc.abstractmethod
    def run(self, workspace: Workspace) -> RecordT:
        """Measures."""


class Workspace:
    """Models, images, attacks and results for experiments, kept in a folder as they are made.

    Each piece is kept under a key of all that determines it (`intriguing_tf.store`): settings,
    architecture and weights, images, versions. So a run that is killed anywhere and started again
    does what is missing, and its results are those of a run that was not.

    Args:
        folder: made when it is not there.
        load_model: from a name of the zoo to a Keras model; by default the zoo's weights.
        training_seed: train every model by its recipe with this seed instead of loading it; what
            is trained is kept in the folder too.
        load_images: from a split and a subset to (images, labels); by default MNIST.
        verbose: show on stderr what is being done; "auto": if that is a terminal.

    Raises:
        RuntimeError: on entering: another process is at work in the folder.
        ValueError: on entering: the folder holds work of an earlier release.

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
        verbose: bool | str = "auto",
    ):
        self.folder = expanded(folder)
        self.verbose = verbose
        self.training_seed = training_seed
        self._store = Store(folder, verbose)
        self._load_model = load_model
        self._load_images = functools.cache(load_images)
        self._models: dict[str, keras.Model] = {}
        self._adversaries: dict[str, tuple[keras.Model, LBFGSAdversary]] = {}
        self._model_fingerprints: dict[str, str] = {}
        self._images_fingerprints: dict[ImageSet, str] = {}

    def __enter__(self) -> Workspace:
        self._store.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._store.__exit__()

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that each piece took which was used, by the name of its folder."""
        return self._store.seconds

    def model(self, name: str) -> keras.Model:
        """Returns the model of a name of the paper.

        Raises:
            TypeError: `load_model` returned no Keras model.
            ValueError: a name that `paper.ZOO` does not have, or a model that is no classifier.
        """
        check_choice("name", name, tuple(paper.ZOO))
        if name not in self._models:
            entry = paper.ZOO[name]
            self._models[name] = (
                self._loaded(entry)
                if self.training_seed is None
                else self._trained(entry, self.training_seed)
            )
        return self._models[name]

    def retrained(self, seed: int) -> Workspace:
        """Returns the same workspace with models trained by their recipes with that seed."""
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
        made_from = {
            "model": self._model_fingerprint(name),
            "images": self._images_fingerprint(which),
            "targets": targets,
            "seed": seed,
            "adversary": adversary_settings(adversary),
        }

        def attack(folder: Path) -> None:
            images, labels = self.images(which)
            result = adversary(images, labels, targets=targets, seed=seed, verbose=self.verbose)
            result.save(folder / "result.npz")

        label = f"{name}, {which}, {targets} targets"
        piece = self._store.make(f"attacks/{label}", made_from, attack)
        return AdversarialResult.load(piece.folder / "result.npz")

    def attacked_images(self, name: str, which: ImageSet, seed: int = 0) -> np.ndarray:
        """Returns the images that `attack` found with random targets."""
        return self.attack(name, which, seed=seed).images

    def result(self, experiment: Experiment[RecordT]) -> RecordT:
        """Returns an experiment's result, run unless it is there.

        Args:
            experiment: such as `Table1()`.
        """
        made_from = {
            "settings": to_json(experiment),
            "models": {model: self._model_fingerprint(model) for model in experiment.models},
            "images": [self._images_fingerprint(each) for each in experiment.image_sets],
        }

        def run(folder: Path) -> None:
            result = to_json(experiment.run(self))
            write_atomically(folder / "result.json", json.dumps(result, indent=1, allow_nan=False))

        piece = self._store.make(f"results/{type(experiment).__name__}", made_from, run)
        return from_json(
            experiment.record, json.loads((piece.folder / "result.json").read_text("utf-8"))
        )

    def _adversary(self, name: str) -> LBFGSAdversary:
        """Returns the adversary of a model, compiled once for all models of its architecture.

        Compiling takes longer than attacking hundreds of images, so networks that differ in
        nothing but their weights take turns in one of them.
        """
        model = self.model(name)
        architecture = _architecture(model)
        if architecture not in self._adversaries:
            network = keras.models.clone_model(model)
            adversary = LBFGSAdversary(network, loss="cross_entropy")
            self._adversaries[architecture] = network, adversary
        network, adversary = self._adversaries[architecture]
        network.set_weights(model.get_weights())
        return adversary

    def _loaded(self, entry: str) -> keras.Model:
        model = self._load_model(entry)
        check_kind(f"load_model({entry!r})", model, keras.Model, "a keras.Model of Keras 3")
        check_model(model)
        return model

    def _trained(self, entry: str, seed: int) -> keras.Model:
        recipe = load_recipe(entry).replace(seed=seed)
        train_set = self._load_images("train", recipe.subset)
        return trained(self._store, recipe, train_set, self.verbose)[0]

    def _model_fingerprint(self, name: str) -> str:
        if name not in self._model_fingerprints:
            self._model_fingerprints[name] = model_fingerprint(self.model(name))
        return self._model_fingerprints[name]

    def _images_fingerprint(self, which: ImageSet) -> str:
        if which not in self._images_fingerprints:
            self._images_fingerprints[which] = array_fingerprint(*self.images(which))
        return self._images_fingerprints[which]


def _architecture(model: keras.Model) -> str:
    """What decides how a model computes, besides its weights."""
    training_only = ("_initializer", "_regularizer", "_constraint", "trainable", "compile_config")

    def computing(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if not key.endswith(training_only)}

    return json.dumps(json.loads(model.to_json(), object_hook=computing), sort_keys=True)
