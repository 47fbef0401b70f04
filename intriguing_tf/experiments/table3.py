"""Table 3: errors and distortions of networks trained on disjoint halves of MNIST."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.records import Estimate, compared
from intriguing_tf.experiments.workspace import ImageSet, Workspace
from intriguing_tf.reporting import Section, Table
from intriguing_tf.transfer import error_matrix


@dataclasses.dataclass(frozen=True)
class Row:
    """A model's errors over all of P1, P2 and the test set, and its average distortion."""

    model: str
    p1_error: Estimate
    p2_error: Estimate
    test_error: Estimate
    distortion: Estimate


@dataclasses.dataclass(frozen=True)
class Table3:
    """Measures the networks that Table 4 is about.

    The distortions are those of the test images of Table 4: the paper prints the same averages in
    both tables.

    Args:
        number: test images attacked per model, with random targets.
        seed: of the random targets.
    """

    number: int = 1000
    seed: int = 0

    models: ClassVar[tuple[str, ...]] = tuple(paper.TABLE_3)

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the result depends on."""
        return (
            ImageSet("train", subset="p1"),
            ImageSet("train", subset="p2"),
            ImageSet("test"),
        )

    def run(self, workspace: Workspace) -> Table3Result:
        """Measures the three models."""
        models = {name: workspace.model(name) for name in self.models}
        wrong = []
        for which in self.image_sets:
            images, labels = workspace.images(which)
            wrong.append(error_matrix(models, {str(which): images}, labels).wrong[0])
        rows = []
        for i, name in enumerate(self.models):
            attacked = workspace.attack(name, ImageSet("test", self.number), seed=self.seed)
            p1_error, p2_error, test_error = (Estimate.of_errors(each[i]) for each in wrong)
            distortion = Estimate.of_mean(attacked.distortion[attacked.success])
            rows.append(Row(name, p1_error, p2_error, test_error, distortion))
        return Table3Result(self, tuple(rows))


@dataclasses.dataclass(frozen=True)
class Table3Result:
    """What `Table3` measured; prints as the paper's table with the paper's figures beside it."""

    settings: Table3
    rows: tuple[Row, ...]

    def table(self) -> Table:
        """Returns paper, here and difference for each of the paper's numbers."""
        cells: list[Any] = []
        for row in self.rows:
            printed = paper.TABLE_3[row.model]
            cells += [
                (row.model, "error on P1, %", *compared(printed.p1_error, row.p1_error)),
                (row.model, "error on P2, %", *compared(printed.p2_error, row.p2_error)),
                (row.model, "test error, %", *compared(printed.test_error, row.test_error)),
                (
                    row.model,
                    "av. min. distortion",
                    *compared(printed.distortion, row.distortion, percent=False),
                ),
            ]
        note = (
            f"Distortions over the first {self.settings.number} test images, targets drawn with "
            f"seed {self.settings.seed}; [95 % bootstrap interval over the images]."
        )
        head = ("model", "quantity", "paper", "here", "difference", "paper lies")
        return Table("Table 3: networks trained on halves", head, cells, [note])

    def __str__(self) -> str:
        return str(self.table())

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        del workspace
        return Section(
            "Table 3",
            ["P1 and P2 are disjoint halves of the training set. Two networks learnt P1, one P2."],
            [self.table()],
        )
