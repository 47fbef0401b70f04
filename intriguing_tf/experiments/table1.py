"""Table 1: the MNIST models' errors, and the distortion that brings their accuracy to 0 %."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.records import Estimate, compared
from intriguing_tf.experiments.workspace import ImageSet, Workspace
from intriguing_tf.reporting import Picture, Section, Table, interval_chart
from intriguing_tf.transfer import error_matrix


@dataclasses.dataclass(frozen=True)
class Row:
    """A model's measurements.

    Attributes:
        model: the paper's name.
        train_error, test_error: over the whole training and test set.
        found: share of the attacked training images that could be made to be misread.
        distortion: mean over the attacked training images; those that are misread already need 0.
        distortion_of_read: the same over images that the model reads rightly.
        test_distortion: as `distortion`, of test images.
        nearest_distortion: as `distortion`, to the nearest other class of each image instead of a
            random one, over the first `nearest_number` training images.
        random_distortion_of_the_same: to random targets, over the same images as the nearest.
    """

    model: str
    train_error: Estimate
    test_error: Estimate
    found: float
    distortion: Estimate
    distortion_of_read: Estimate
    test_distortion: Estimate
    nearest_distortion: Estimate
    random_distortion_of_the_same: Estimate


@dataclasses.dataclass(frozen=True)
class Table1:
    """Attacks every model of Table 1 on training images, as the paper, and on test images.

    Args:
        number: training images, and as many test images, attacked per model with random targets.
        nearest_number: training images attacked per model towards every class.
        seed: of the random targets, which never are the true class.
    """

    number: int = 1000
    nearest_number: int = 200
    seed: int = 0

    models: ClassVar[tuple[str, ...]] = tuple(paper.TABLE_1)

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the result depends on."""
        return ImageSet("train"), ImageSet("test")

    def run(self, workspace: Workspace) -> Table1Result:
        """Measures all models."""
        models = {name: workspace.model(name) for name in self.models}
        wrong = {
            split: error_matrix(models, {split: images}, labels).wrong[0]
            for split in ("train", "test")
            for images, labels in [workspace.images(ImageSet(split))]
        }
        rows = [
            self._row(workspace, name, wrong["train"][i], wrong["test"][i])
            for i, name in enumerate(self.models)
        ]
        return Table1Result(self, tuple(rows))

    def _row(
        self, workspace: Workspace, name: str, train_wrong: np.ndarray, test_wrong: np.ndarray
    ) -> Row:
        train = workspace.attack(name, ImageSet("train", self.number), seed=self.seed)
        test = workspace.attack(name, ImageSet("test", self.number), seed=self.seed)
        nearest = workspace.attack(
            name, ImageSet("train", self.nearest_number), "nearest", seed=self.seed
        )
        read = train.success & ~train_wrong[: self.number]
        both = nearest.success & train.success[: self.nearest_number]
        return Row(
            model=name,
            train_error=Estimate.of_errors(train_wrong),
            test_error=Estimate.of_errors(test_wrong),
            found=float(train.success.mean()),
            distortion=Estimate.of_mean(train.distortion[train.success]),
            distortion_of_read=Estimate.of_mean(train.distortion[read]),
            test_distortion=Estimate.of_mean(test.distortion[test.success]),
            nearest_distortion=Estimate.of_mean(nearest.distortion[both]),
            random_distortion_of_the_same=Estimate.of_mean(
                train.distortion[: self.nearest_number][both]
            ),
        )


@dataclasses.dataclass(frozen=True)
class Table1Result:
    """What `Table1` measured; prints as the paper's table with the paper's figures beside it."""

    settings: Table1
    rows: tuple[Row, ...]

    def table(self) -> Table:
        """Returns paper, here and difference for each of the paper's numbers."""
        cells: list[Any] = []
        for row in self.rows:
            printed = paper.TABLE_1[row.model]
            cells += [
                (row.model, "train error, %", *compared(printed.train_error, row.train_error)),
                (row.model, "test error, %", *compared(printed.test_error, row.test_error)),
                (
                    row.model,
                    "av. min. distortion",
                    *compared(printed.distortion, row.distortion, percent=False),
                ),
                (
                    row.model,
                    "same, of images read rightly",
                    *compared(printed.distortion, row.distortion_of_read, percent=False),
                ),
            ]
        note = (
            f"Distortions over the first {self.settings.number} training images, targets drawn "
            f"with seed {self.settings.seed}; [95 % bootstrap interval over the images]."
        )
        head = ("model", "quantity", "paper", "here", "difference", "paper lies")
        return Table("Table 1: errors and average minimal distortion", head, cells, [note])

    def more(self) -> Table:
        """Returns the distortions that the paper does not have."""
        cells = [
            (
                row.model,
                f"{100 * row.found:.4g}",
                row.test_distortion.decimal(),
                row.random_distortion_of_the_same.decimal(),
                row.nearest_distortion.decimal(),
            )
            for row in self.rows
        ]
        head = (
            "model",
            "attackable, %",
            "test images",
            "random targets, fewer images",
            "nearest class, the same images",
        )
        notes = [
            f"Test images: the first {self.settings.number}. Nearest class: the first "
            f"{self.settings.nearest_number} training images."
        ]
        return Table("Average minimal distortion of other images and targets", head, cells, notes)

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.more()}"

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        del workspace
        return Section(
            "Table 1",
            [
                "Each network's errors on the whole training and test set, and the mean root "
                "mean square change per pixel that makes its training images be read as a random "
                "other digit. Images that are misread from the start need no change and count "
                "as 0; the paper does not say whether it counted them, so both averages are given.",
            ],
            [self.table(), self.more()],
            [self._picture()],
        )

    def _picture(self) -> Picture:
        printed = [(d, d, d) for d in (paper.TABLE_1[row.model].distortion for row in self.rows)]
        return interval_chart(
            "table1_distortion",
            "Average minimal distortion: the paper's, and those measured here with their 95 % "
            "intervals.",
            [row.model for row in self.rows],
            {
                "paper": printed,
                "here, random targets": [row.distortion[:3] for row in self.rows],
                "here, nearest class": [row.nearest_distortion[:3] for row in self.rows],
            },
            "root mean square change per pixel",
        )
