"""All of the paper's MNIST experiments as one report."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from intriguing_tf import __version__
from intriguing_tf.archives import JSON, read_json
from intriguing_tf.checks import check_positive_integer
from intriguing_tf.experiments.claims import claims
from intriguing_tf.experiments.claims import table as claims_table
from intriguing_tf.experiments.figure7 import Figure7
from intriguing_tf.experiments.figures1_2 import Figures1And2
from intriguing_tf.experiments.records import Estimate, to_json
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.seeds import Seeds
from intriguing_tf.experiments.table1 import Table1
from intriguing_tf.experiments.table2 import Table2
from intriguing_tf.experiments.table3 import Table3
from intriguing_tf.experiments.table4 import Table4
from intriguing_tf.experiments.workspace import Experiment, Workspace
from intriguing_tf.files import check_places, read_content, with_matches, write_atomically
from intriguing_tf.reporting import Report, Section, Table

NUMBER, QUICK_NUMBER = 1000, 128
_RESULTS = "results.json"


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """The experiments' results and the report on them.

    Attributes:
        results: by the experiment's name ("Table1").
        report: see `intriguing_tf.reporting.Report`.
    """

    results: dict[str, KeptResult]
    report: Report

    def scalars(self) -> dict[str, float]:
        """Returns every estimate by a path such as "Table1/rows/FC10(1e-4)/distortion".

        A record in a sequence is called by all that names it: its texts, and its yes and no.
        """
        found: dict[str, float] = {}
        for name, result in self.results.items():
            _collect(result, name, found)
        return found

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.results.values()))


def experiments(
    number: int = NUMBER, seed: int = 0, training_seeds: tuple[int, ...] = ()
) -> list[Experiment[Any]]:
    """Returns the experiments, in the order of the report.

    Args:
        number: images attacked per model and table, at least 8.
        seed: of targets, noise and directions.
        training_seeds: seeds to train Table 1's deep networks again with, at least 2 that differ;
            none by default.

    Raises:
        TypeError, ValueError: anything else than these.
    """
    check_positive_integer("number", number)
    if number < 8:
        raise ValueError(f"`number` must be at least 8. Received: {number!r}.")
    found: list[Experiment[Any]] = [
        Table1(number, nearest_number=max(4, number // 5), seed=seed),
        Table2(number, seed),
        Table3(number, seed),
        Table4(number, seed=seed),
        Figures1And2(min(10 * number, 10_000), seed=seed),
        Figure7(number, shown=min(15, number), seed=seed),
    ]
    if training_seeds:
        found.append(Seeds(tuple(training_seeds), min(number, 256), seed))
    return found


def reproduce(
    workspace: Workspace,
    number: int = NUMBER,
    seed: int = 0,
    training_seeds: tuple[int, ...] = (),
) -> Reproduction:
    """Runs what is missing in the workspace, and writes the report into its folder.

    The folder gets `report.html`, `report.md` with `figures/`, and `results.json`, which holds
    measurements only: started again after a kill, the run gives the same file as one that was
    not killed.

    Args:
        workspace: an entered `Workspace`.
        number, seed, training_seeds: as in `experiments`.

    Returns:
        A `Reproduction`.

    Raises:
        TypeError, ValueError: as `experiments`, more images than a split has, or files in the
            folder that would be replaced and are of no earlier report of this kind, before the
            work.

    Example:

        with Workspace("reproduction") as workspace:
            print(itf.experiments.reproduce(workspace, number=128))
    """
    to_run = experiments(number, seed, training_seeds)
    _check_folder(workspace.folder)
    _check_images(number, workspace, to_run)
    results = {type(each).__name__: workspace.result(each) for each in to_run}
    held = claims(*(results[n] for n in ("Table1", "Table2", "Table4", "Figures1And2")))
    sections = [
        Section("What holds", tables=[claims_table(held)]),
        *(result.section(workspace) for result in results.values()),
        _settings(workspace, to_run),
    ]
    report = Report(
        "The paper's MNIST experiments, paper and here",
        [
            "Tables 1 to 4 and Figures 1, 2 and 7 of “Intriguing properties of neural networks” "
            "(arXiv 1312.6199) beside what intriguing_tf measures. Numbers in brackets are 95 % "
            "bootstrap intervals over the images; the last column says whether the paper's value "
            "falls inside, above or below them. Distortion is the root mean square change per "
            "pixel, with pixels in [0, 1].",
        ],
        sections,
    )
    measurements = {name: to_json(result) for name, result in results.items()}
    write_atomically(
        workspace.folder / _RESULTS, json.dumps(measurements, indent=1, allow_nan=False)
    )  # first: beside measurements the report is of this kind
    report.save(workspace.folder)
    return Reproduction(results, report)


def _check_folder(folder: Path) -> None:
    """Raises if the report would take the place of what is no such report."""
    names = with_matches(folder, [_RESULTS, "report.md", "report.html", "figures/*.svg"])
    check_places(folder, names, own=_holds_measurements(folder / _RESULTS))


def _holds_measurements(file: Path) -> bool:
    """Whether a file is what `reproduce` writes of the experiments' results."""
    try:
        measured = read_json(read_content(file, JSON))
    except (OSError, ValueError):
        return False
    return isinstance(measured, dict) and {"Table1", "Figures1And2"} <= measured.keys()


def _check_images(number: int, workspace: Workspace, to_run: list[Experiment[Any]]) -> None:
    """Raises unless each split has the images that each experiment takes of it."""
    for experiment in to_run:
        for which in experiment.image_sets:
            split = dataclasses.replace(which, number=None)
            there, taken = len(workspace.images(split)[0]), max(number, which.number or 0)
            if taken > there:
                raise ValueError(
                    f"`number` must be smaller: at {number}, {type(experiment).__name__} takes "
                    f"{taken} images of {which.subset or which.split!r}. Received: a split of "
                    f"{there}."
                )


def _settings(workspace: Workspace, to_run: list[Experiment[Any]]) -> Section:
    settings = [
        (type(each).__name__, ", ".join(f"{k} = {v}" for k, v in to_json(each).items()))
        for each in to_run
    ]
    packages = ("tensorflow", "keras", "numpy", "scipy")
    versions = [
        ("intriguing_tf", __version__),
        *((package, importlib.metadata.version(package)) for package in packages),
        ("Python", platform.python_version()),
        ("machine", f"{platform.machine()}, {os.cpu_count()} cores"),
    ]
    seconds = [(piece.rpartition("-")[0], f"{s:.1f}") for piece, s in workspace.seconds.items()]
    weights = (
        "from the zoo"
        if workspace.training_seed is None
        else f"trained by the zoo's recipes with seed {workspace.training_seed}"
    )
    return Section(
        "Settings, versions, time",
        [
            f"Weights: {weights}. All pieces together took "
            f"{sum(workspace.seconds.values()):.0f} seconds."
        ],
        [
            Table("Settings", ("experiment", "settings"), settings),
            Table("Versions", ("what", "version"), versions),
            Table("Time", ("piece", "seconds"), seconds),
        ],
    )


def _collect(record: Any, path: str, found: dict[str, float]) -> None:
    """Adds the values of all estimates in a result, by their path."""
    if isinstance(record, Estimate):
        found[path] = record.value
    elif dataclasses.is_dataclass(record):
        for field in dataclasses.fields(record):
            _collect(getattr(record, field.name), f"{path}/{field.name}", found)
    elif isinstance(record, tuple):
        names = [_name(each, i) for i, each in enumerate(record)]
        unique = len(set(names)) == len(names)
        for i, (name, each) in enumerate(zip(names, record, strict=True)):
            _collect(each, f"{path}/{name}" if unique else f"{path}/{name}/{i}", found)


def _name(record: Any, place: int) -> str:
    """Returns what tells a record from others of its kind; its place, if nothing does."""
    if not dataclasses.is_dataclass(record):
        return str(place)
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    texts = [value for value in values.values() if isinstance(value, str)]
    flags = {name: value for name, value in values.items() if isinstance(value, bool)}
    said = [name if value else f"not {name}" for name, value in flags.items()]
    return "/".join([*texts, *said]) or str(place)
