"""Table 1: the MNIST models' errors, and the distortion that brings their accuracy to 0 %."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from intriguing_tf.checks import check_positive_integer
from intriguing_tf.experiments import paper
from intriguing_tf.experiments.beside import PaperComparison, beside
from intriguing_tf.experiments.matrices import wrong_by_model
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.reporting import Picture, Table, interval_chart

_NEAREST = 200  # images attacked towards every class, which takes longer


@dataclasses.dataclass(frozen=True)
class AttackedModel:
    """A model's measurements.

    Attributes:
        model: the paper's name.
        train_error, test_error: over the whole training and test set.
        found: share of the attacked training images for which the attack succeeded.
        distortion: mean over the attacked training images; those misclassified already need 0.
        distortion_of_correct: the same over images that the model classifies correctly.
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
    distortion_of_correct: Estimate
    test_distortion: Estimate
    nearest_distortion: Estimate
    random_distortion_of_the_same: Estimate

    def comparisons(self) -> list[PaperComparison]:
        """Returns the paper's numbers beside these."""
        name, printed = self.model, paper.TABLE_1[self.model]
        same = "same, of correctly classified images"
        return [
            PaperComparison((name, "train error, %"), printed.train_error, self.train_error, True),
            PaperComparison((name, "test error, %"), printed.test_error, self.test_error, True),
            PaperComparison((name, "av. min. distortion"), printed.distortion, self.distortion),
            PaperComparison((name, same), printed.distortion, self.distortion_of_correct),
        ]


@dataclasses.dataclass(frozen=True)
class Table1Result(KeptResult):
    """What `Table1` measured; prints as the paper's table with the paper's figures beside it."""

    settings: Table1
    rows: tuple[AttackedModel, ...]

    reference = "Table 1"
    paragraphs = (
        "Each network's errors on the whole training and test set, and the mean root mean square "
        "change per pixel after which it classifies training images as a random other digit. "
        "Images that are misclassified from the start need no change and count as 0; the paper "
        "does not say whether it counted them, so both averages are given.",
    )

    def table(self) -> Table:
        """Returns paper, here and difference for each of the paper's numbers."""
        note = (
            f"Distortions over the first {self.settings.number} training images, targets drawn "
            f"with seed {self.settings.seed}; [95 % bootstrap interval over the images]."
        )
        comparisons = (each for row in self.rows for each in row.comparisons())
        title = "Table 1: errors and average minimal distortion"
        return beside(title, ("model", "quantity"), comparisons, [note])

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
            "attack succeeded, %",
            "test images",
            "random targets, fewer images",
            "nearest class, the same images",
        )
        notes = [
            f"Test images: the first {self.settings.number}. Nearest class: the first "
            f"{self.settings.nearest_number} training images."
        ]
        return Table("Average minimal distortion of other images and targets", head, cells, notes)

    def tables(self) -> list[Table]:
        return [self.table(), self.more()]

    def pictures(self, workspace: Workspace) -> list[Picture]:
        printed = [paper.TABLE_1[row.model].distortion for row in self.rows]
        chart = interval_chart(
            "table1_distortion",
            "Average minimal distortion: the paper's, and those measured here with their 95 % "
            "intervals.",
            [row.model for row in self.rows],
            {
                "paper": [(d, d, d) for d in printed],
                "here, random targets": [row.distortion.interval() for row in self.rows],
                "here, nearest class": [row.nearest_distortion.interval() for row in self.rows],
            },
            "root mean square change per pixel",
        )
        return [chart]


@dataclasses.dataclass(frozen=True)
class Table1(Experiment[Table1Result]):
    """Attacks every model of Table 1 on training images, as the paper, and on test images.

    Args:
        number: training images, and as many test images, attacked per model with random targets.
        nearest_number: how many of the training images are attacked per model towards every class;
            by default 200, or all, if there are fewer.
        seed: of the random targets, which never are the true class.

    Raises:
        TypeError, ValueError: numbers that are not positive integers, or a `nearest_number` above
            `number`.
    """

    number: int = 1000
    nearest_number: int | None = None
    seed: int = 0

    record = Table1Result
    models: ClassVar[tuple[str, ...]] = tuple(paper.TABLE_1)

    def __post_init__(self) -> None:
        super().__post_init__()
        nearest = min(_NEAREST, self.number) if self.nearest_number is None else self.nearest_number
        check_positive_integer("nearest_number", nearest)
        if nearest > self.number:
            raise ValueError(
                f"`nearest_number` must be at most `number`, {self.number}. Received: {nearest}."
            )
        object.__setattr__(self, "nearest_number", nearest)

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return ImageSet("train"), ImageSet("test")

    def run(self, workspace: Workspace) -> Table1Result:
        """Measures all models."""
        wrong = wrong_by_model(workspace, self.models, self.image_sets)
        return Table1Result(self, tuple(self._row(workspace, m, *wrong[m]) for m in self.models))

    def _row(
        self, workspace: Workspace, name: str, train_wrong: np.ndarray, test_wrong: np.ndarray
    ) -> AttackedModel:
        train = workspace.attack(name, ImageSet("train", self.number), seed=self.seed)
        test = workspace.attack(name, ImageSet("test", self.number), seed=self.seed)
        nearest = workspace.attack(
            name, ImageSet("train", self.nearest_number), "nearest", seed=self.seed
        )
        correct = train.success & ~train_wrong[: self.number]
        both = nearest.success & train.success[: self.nearest_number]
        return AttackedModel(
            model=name,
            train_error=Estimate.of_errors(train_wrong),
            test_error=Estimate.of_errors(test_wrong),
            found=float(train.success.mean()),
            distortion=Estimate.of_mean(train.distortion[train.success]),
            distortion_of_correct=Estimate.of_mean(train.distortion[correct]),
            test_distortion=Estimate.of_mean(test.distortion[test.success]),
            nearest_distortion=Estimate.of_mean(nearest.distortion[both]),
            random_distortion_of_the_same=Estimate.of_mean(
                train.distortion[: self.nearest_number][both]
            ),
        )
