"""What `evaluate` returns: numbers by image, by radius, by class and by layer."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.checks import one_number
from intriguing_tf.evaluation import page
from intriguing_tf.evaluation.collecting import Collected
from intriguing_tf.evaluation.scaling import Ranges
from intriguing_tf.files import expanded, write_atomically
from intriguing_tf.lipschitz import LipschitzReport
from intriguing_tf.reporting import Picture, Report, ShownAsTable, Table
from intriguing_tf.sweeps import Sweep
from intriguing_tf.text import printable

_FIGURE = re.compile(r"\(figures/(\w+)\.svg\)")  # as a page refers to it


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Evaluation(ShownAsTable, Collected):
    """How robust a model is on a data set; prints as a table, `save` writes a page.

    Attributes:
        labels: of each image; so are predictions, adversarial_predictions, status, l2, distortion,
            survives_rounding, certified, why_not_certified, nearest, farthest, attack_seconds,
            evaluations and extent, as `Collected` has them.
        model: its name.
        classes: how many it tells apart.
        class_names: in the order of its outputs, or `None`.
        bounds: least and largest value of the data, (0, 1) where each has its own.
        ranges: of each value, where distances are in units of them; else `None`. Examples,
            `nearest`, `farthest` and `result`, are in the units of the data in any case.
        radii: float64 [m], l2 distances of the tables.
        lipschitz: bounds of the layers, or `None`.
        why_not_bounded: likewise.
        skipped: files that were left out, each with the reason.
        seconds: of the attack, and of all.
        doubts: what to look into before the numbers are believed.
        sweep_folder: where all examples lie, if they were kept in a folder; of values with
            `ranges` scaled to [0, 1].
        kept_result: all examples, if they were kept in the memory; `result` in any case.
    """

    model: str
    classes: int
    class_names: tuple[str, ...] | None
    bounds: tuple[float, float]
    ranges: Ranges | None
    radii: np.ndarray
    lipschitz: LipschitzReport | None
    why_not_bounded: str
    skipped: tuple[tuple[Path, str], ...]
    seconds: dict[str, float]
    doubts: tuple[str, ...]
    sweep_folder: Path | None
    kept_result: AdversarialResult | None

    def __len__(self) -> int:
        return len(self.l2)

    @property
    def result(self) -> AdversarialResult:
        """All adversarial examples with their model, read from the folder if they were kept there.

        Inputs are in the units of the data, as the model itself takes them; where values have
        `ranges`, l2 and distortion are in units of these, as everywhere in an evaluation.
        """
        found = self.kept_result
        if found is None:
            assert self.sweep_folder is not None
            found = Sweep(self.sweep_folder).result()[: len(self)]  # more may have joined
            found = found if self.ranges is None else self.ranges.restored(found)
        return dataclasses.replace(found, classifier=self.nearest.classifier)

    @property
    def correct(self) -> np.ndarray:
        """bool [n]: correctly classified; without labels all that have a class at all."""
        if self.labels is None:
            return self.predictions >= 0
        return self.predictions == self.labels

    @property
    def accuracy(self) -> float:
        """Share of the images that are correctly classified; NaN without labels."""
        return math.nan if self.labels is None else float(self.correct.mean())

    def robust_accuracy(self, radius: float) -> float:
        """Share of the images that are correctly classified and not fooled within a radius.

        An upper bound: another attack may find nearer examples. Without labels, the share of the
        predictions that were not changed; outputs that are not finite are none.

        Args:
            radius: l2 distance of at least 0, in the units of the data.
        """
        radius = _check_radius(radius)
        return float((self.correct & (self.l2 > radius)).mean())

    def certified_accuracy(self, radius: float) -> float:
        """Share of the images that are correctly classified and proven to be so within a radius.

        A lower bound of what any attack leaves; NaN where nothing can be certified.

        Args:
            radius: l2 distance of at least 0, in the units of the data.
        """
        radius = _check_radius(radius)
        if self.certified is None:
            return math.nan
        proven = self.certified >= radius if radius > 0 else np.ones(len(self), bool)
        return float((self.correct & proven).mean())

    def table(self) -> Table:
        """Returns the summary that `print` shows."""
        return page.summary(self)

    def curve(self) -> Table:
        """Returns a row for each radius: robust accuracy from above, certified from below."""
        return page.curve(self)

    def by_class(self) -> Table:
        """Returns a row for each class: accuracy, distances, and what its images become."""
        return page.by_class(self)

    def layers(self) -> Table:
        """Returns a row for each layer: its bound and its share of the product.

        Raises:
            ValueError: the model's layers are not bounded; the reason.
        """
        if self.lipschitz is None:
            raise ValueError(f"The layers are not bounded: {self.why_not_bounded}")
        return page.layers(self.lipschitz)

    def plot(self) -> Picture:
        """Draws robust and certified accuracy against the radius."""
        return page.curve_picture(self)

    def to_dataframe(self) -> Any:
        """Returns a pandas.DataFrame with a row per image.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A DataFrame needs pandas: pip install pandas.") from error
        return pandas.DataFrame(self.columns())

    def columns(self) -> dict[str, np.ndarray]:
        """Returns what is known of each image, by the name of its attribute."""
        names = (
            "labels", "predictions", "adversarial_predictions", "status", "l2", "distortion",
            "certified", "survives_rounding",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {name: values for name, values in found.items() if values is not None}

    def as_dict(self) -> dict[str, Any]:
        """Returns the numbers as JSON's types; what is infinite or unknown is `None`."""
        report = None if self.lipschitz is None else self.lipschitz.as_dict()
        return {
            "model": self.model,
            "images": len(self),
            "classes": self.classes,
            "class_names": self.class_names and list(self.class_names),
            "bounds": [_finite(bound) for bound in self.bounds],
            "ranges": self.ranges and [self.ranges.lower.tolist(), self.ranges.upper.tolist()],
            "accuracy": _finite(self.accuracy),
            "radii": self.radii.tolist(),
            "robust_accuracy": [self.robust_accuracy(r) for r in self.radii],
            "certified_accuracy": [_finite(self.certified_accuracy(r)) for r in self.radii],
            "why_not_certified": self.why_not_certified,
            "lipschitz": report,
            "why_not_bounded": self.why_not_bounded,
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "doubts": list(self.doubts),
            "skipped": [[printable(str(file)), reason] for file, reason in self.skipped],
            "settings": self.nearest.settings,
        }

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes one page, its figures as SVG and PNG, and the numbers as JSON and CSV.

        Args:
            folder: made when it is not there; files of these names in it are replaced, and
                figures of an earlier page that this one has not are removed.

        Returns:
            The path of `report.html`, which needs no other file and no network.

        Raises:
            OSError: the folder cannot be written to.
        """
        folder = expanded(folder)
        report = page.report(self)
        _remove_figures(folder, report)
        for section in report.sections:
            for picture in section.pictures:
                write_atomically(folder / "figures" / f"{picture.name}.png", picture.png())
        values = json.dumps(self.as_dict(), indent=1, allow_nan=False)
        write_atomically(folder / "evaluation.json", values + "\n")
        write_atomically(folder / "images.csv", _csv(self.columns()))
        accuracies = {"radius": self.radii, "robust_accuracy": [], "certified_accuracy": []}
        accuracies["robust_accuracy"] = [self.robust_accuracy(r) for r in self.radii]
        accuracies["certified_accuracy"] = [self.certified_accuracy(r) for r in self.radii]
        write_atomically(folder / "curve.csv", _csv(accuracies))
        return report.save(folder)


def _check_radius(radius: float) -> float:
    if not one_number("radius", radius) >= 0:  # NaN fails too
        raise ValueError(f"`radius` must be at least 0. Received: {radius!r}.")
    return float(radius)


def _remove_figures(folder: Path, report: Report) -> None:
    """Removes the figures of the evaluation in a folder, but for those of a new one."""
    page_there = folder / "report.md"
    if not (page_there.is_file() and (folder / "evaluation.json").is_file()):
        return
    shown = set(_FIGURE.findall(page_there.read_text(errors="replace"))) & set(page.FIGURES)
    kept = {picture.name for section in report.sections for picture in section.pictures}
    for name in sorted(shown - kept):
        for ending in ("svg", "png"):
            (folder / "figures" / f"{name}.{ending}").unlink(missing_ok=True)


def _csv(columns: dict[str, Any]) -> str:
    rows: list[Sequence[Any]] = [["row", *columns]]
    values = [np.asarray(each).tolist() for each in columns.values()]
    rows += [[i, *cells] for i, cells in enumerate(zip(*values, strict=True))]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
