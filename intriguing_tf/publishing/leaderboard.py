"""Measures models for the leaderboard: the best attack there is, on the same digits for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf import datasets, lipschitz
from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.checks import check_between, check_kinds, check_positive_integer
from intriguing_tf.classifier import Classifier
from intriguing_tf.files import check_places, expanded
from intriguing_tf.fingerprints import json_fingerprint, model_fingerprint, versions
from intriguing_tf.publishing.evaluation import verified_robust_accuracy
from intriguing_tf.reporting import Report, Section, Table
from intriguing_tf.sweeps import sweep
from intriguing_tf.text import printable
from intriguing_tf.zoo import catalogue, locations, site
from intriguing_tf.zoo.leaderboard import (
    FILE,
    ROBUST,
    Attacked,
    leaderboard,
    read_attacked,
    standings,
    write_attacked,
)
from intriguing_tf.zoo.names import known_bounds, load_model, short_name
from intriguing_tf.zoo.pixels import rescaled
from intriguing_tf.zoo.records import Facts

STARTS = 5
NUMBER = 200
_PAGE = "report.html"
_WORK = "work"  # in the folder, while an attack runs
_SHARD = 16  # images between two saves


def rank(
    models: Iterable[str],
    folder: str | os.PathLike,
    *,
    number: int = NUMBER,
    starts: int = STARTS,
    verbose: bool | str = "auto",
) -> Table:
    """Attacks classifiers of digits and puts them on the leaderboard beside the zoo's.

    A call that was stopped is made again and resumes. What was measured with the same settings on
    the same weights is not measured again. Models of one name and other weights have a row each;
    an entry has one, of the weights on its card.

    Args:
        models: entries of the zoo in use, or models as `itf.load_model` takes their names, of
            pixels in [0, 1]: images [n, 28, 28, 1], ten classes. An entry may take another range;
            its distances are those of pixels in [0, 1].
        folder: gets `leaderboard.json` and the page `report.html`. If it is a zoo's, its index
            page is renewed instead.
        number: of the bundled images that are attacked, at most 1 000.
        starts: of the attack, on each image.
        verbose: True or False for progress bars, or "auto".

    Returns:
        The leaderboard: the zoo in use and what the folder holds.

    Raises:
        ValueError: a model of other images or classes, a number out of its range, or a folder
            with a report of something else, or with a catalogue or cards that are no zoo's.
        RuntimeError: another process measures the same model in the folder.

    Example:

        itf.publishing.rank(["my.keras"], "leaderboard")
    """
    models = list(models)
    check_kinds("models", models, str, "names")
    check_positive_integer("starts", starts)
    check_positive_integer("number", number)
    check_between("number", number, 0, 1001)
    folder = expanded(folder)
    _check_folder(folder)
    for name in models:
        row = _attacked(name, read_attacked(folder), folder / _WORK, number, starts, verbose)
        others = [each for each in read_attacked(folder) if not _replaces(row, each)]
        write_attacked(folder, [*others, row])  # read again: several calls may measure at once
    return write_pages(folder)


def page(folder: Path) -> Path:
    """Returns where the leaderboard of a folder is shown: its own page, or the index of a zoo."""
    return folder / (site.INDEX if (folder / locations.CATALOGUE).is_file() else _PAGE)


def write_pages(folder: Path) -> Table:
    """Writes the page of a folder's leaderboard, or the index of a zoo; returns the leaderboard."""
    if page(folder).name == site.INDEX:
        return leaderboard(site.refresh(folder), read_attacked(folder))
    table = standings(folder)
    _report(table).save(folder)
    return table


def _report(*tables: Table) -> Report:
    return Report("Robust classifiers of digits", [], [Section("Leaderboard", [], tables)])


def _check_folder(folder: Path) -> None:
    """Raises if the page would take the place of another report, or of what is no zoo's."""
    if page(folder).name == site.INDEX:
        site.check(folder)
    else:
        check_places(folder, [FILE, *_report().files], own=(folder / FILE).exists())


def _replaces(row: Attacked, earlier: Attacked) -> bool:
    """Whether a row takes an earlier one's place: many files of one's own have the same name."""
    is_same = row.sha256 == earlier.sha256 or row.name in catalogue.list()
    return row.name == earlier.name and is_same


def _line(name: str) -> str:
    """Returns a name as rows may hold it: one line, of a long one the end."""
    return printable(name).replace("\n", "\\n")[-500:]


def _attacked(
    name: str, known: list[Attacked], work: Path, number: int, starts: int, verbose: bool | str
) -> Attacked:
    """Returns what the attack finds; of `known` the row that was measured in the same way."""
    card = catalogue.info(name) if name in catalogue.list() else None
    model = rescaled(load_model(name), known_bounds(name))
    if tuple(model.input_shape[1:]) != (28, 28, 1) or model.output_shape[1:] != (10,):
        raise ValueError(
            "The leaderboard is of classifiers of digits, images [n, 28, 28, 1] → [n, 10]. "
            f"Received: {name!r}, {model.input_shape} → {model.output_shape}."
        )
    sha256 = model_fingerprint(model) if card is None else card.sha256
    assert sha256 is not None  # what has weights to load has a hash
    shown = _line(short_name(name)) if card is None else name
    for row in known:
        if (row.name, row.sha256, row.images, row.starts) == (shown, sha256, number, starts):
            return row
    images, labels = datasets.mnist_sample()
    images, labels = images[:number], labels[:number]
    now = json_fingerprint(versions())[:8]  # work of other versions is not continued
    is_own = not work.exists() or any(work.glob(f"{sha256[:16]}-*"))
    place = work / f"{sha256[:16]}-{number}-{starts}-{now}"
    result = _attack(model, images, labels, place, starts, verbose)
    found = result.status == "found"
    row = Attacked(
        name=shown,
        title=_line(name) if card is None else card.title,
        sha256=sha256,
        images=number,
        starts=starts,
        robust=tuple(_robust(result, labels, radius) for radius in ROBUST),
        mean_distance=float(result.l2[found].mean()) if found.any() else None,
        parameters=model.count_params(),
        metrics=Facts({} if card else _metrics(model)),
    )
    for done in work.glob(f"{sha256[:16]}-*"):
        shutil.rmtree(done)
    if is_own and not any(work.iterdir()):
        work.rmdir()
    return row


def _attack(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    place: Path,
    starts: int,
    verbose: bool | str,
) -> AdversarialResult:
    done = sweep(
        {"model": model},
        images,
        labels,
        folder=place,
        targets="nearest",
        settings={"best": {"loss": "margin", "starts": starts}},
        shard_size=_SHARD,
        verbose=verbose,
    )
    return done.result()


def _robust(result: AdversarialResult, labels: np.ndarray, radius: float) -> float:
    correct = result.original_predictions == labels
    return float((correct & (result.l2 > radius)).mean())


def _metrics(model: keras.Model) -> dict[str, Any]:
    """Accuracy, certificates and bound of a model that has no card."""
    try:
        images, labels = datasets.mnist("test")
        key = "test_error"
    except FileNotFoundError:
        images, labels = datasets.mnist_sample()
        key = "sample_error"
    metrics: dict[str, Any] = {key: float((Classifier(model).predict(images) != labels).mean())}
    try:
        metrics["lipschitz_total"] = float(lipschitz.bound(model).total)
        metrics |= verified_robust_accuracy(model, images, labels)
    except ValueError:
        pass  # a layer without a bound: nothing is certified, and the cells stay empty
    return metrics
