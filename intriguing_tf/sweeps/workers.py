"""A worker: models loaded once, an adversary for each cell, shards one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.checks import of_model
from intriguing_tf.sweeps.names import settings_of
from intriguing_tf.sweeps.plan import Cell


class Task(NamedTuple):
    """What a worker needs for one shard.

    Attributes:
        cell: model, targets and settings.
        slice: its number.
        targets: "least_likely", "nearest", or int64 [rows]; of random targets, how far each is
            from the true class.
        seed: of random targets, or `None` for others.
    """

    cell: Cell
    slice: int
    targets: Any
    seed: int | None


Tasks = Iterator[tuple[Task, np.ndarray, np.ndarray | None]]  # with images and labels
Results = Generator[tuple[Task, np.ndarray | None, AdversarialResult], None, None]  # with labels


def make_adversaries(
    models: Mapping[str, keras.Model],
    settings: Mapping[str, Mapping[str, Any]],
    cells: Iterable[Cell],
) -> dict[Cell, LBFGSAdversary]:
    """Returns the adversary of each cell; cells that differ in their targets alone share one.

    Raises:
        TypeError, ValueError: a model that cannot be attacked with the settings; it is named.
    """
    shared: dict[tuple[str, str], LBFGSAdversary] = {}
    adversaries = {}
    for cell in cells:
        key = cell.model, cell.settings
        if key not in shared:
            given = settings_of(cell.model, settings[cell.settings])
            with of_model(cell.model):
                shared[key] = LBFGSAdversary(models[cell.model], **given)
        adversaries[cell] = shared[key]
    return adversaries


def attack(
    adversary: LBFGSAdversary,
    task: Task,
    images: np.ndarray,
    labels: np.ndarray | None,
    verbose: bool | str = False,
) -> AdversarialResult:
    """Returns a shard's result, whatever the shards are, up to the tolerance of the search."""
    if task.seed is None:
        # Given classes are attacked whatever the labels are.
        truth = labels if isinstance(task.targets, str) else None
        return adversary(images, truth, targets=task.targets, verbose=verbose)
    logits, predictions = adversary.classifier.predict_both(images)
    truth = predictions if labels is None else np.asarray(labels, np.int64)
    targets = (truth + task.targets) % logits.shape[1]
    # As the adversary does with random targets: images that are misclassified have none. Where
    # outputs are not finite there is no class either to come back as.
    targets = np.where((predictions == truth) | (predictions < 0), targets, predictions)
    result = adversary(images, targets=targets, seed=task.seed, verbose=verbose)
    return dataclasses.replace(result, settings={**result.settings, "targets": "random"})


def run_here(
    adversaries: Mapping[Cell, LBFGSAdversary],
    tasks: Tasks,
    verbose: bool | str = False,
) -> Results:
    """Runs tasks in this process, one after another; `verbose` shows how each gets on."""
    for task, images, labels in tasks:
        yield task, labels, attack(adversaries[task.cell], task, images, labels, verbose)
