"""Table 3: errors and distortions of networks trained on disjoint halves of MNIST."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.beside import PaperComparison, beside
from intriguing_tf.experiments.matrices import wrong_by_model
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.reporting import Table


@dataclasses.dataclass(frozen=True)
class ModelOfHalf:
    """A model's errors over all of P1, P2 and the test set, and its average distortion."""

    model: str
    p1_error: Estimate
    p2_error: Estimate
    test_error: Estimate
    distortion: Estimate

    def comparisons(self) -> list[PaperComparison]:
        """Returns the paper's numbers beside these."""
        name, printed = self.model, paper.TABLE_3[self.model]
        return [
            PaperComparison((name, "error on P1, %"), printed.p1_error, self.p1_error, True),
            PaperComparison((name, "error on P2, %"), printed.p2_error, self.p2_error, True),
            PaperComparison((name, "test error, %"), printed.test_error, self.test_error, True),
            PaperComparison((name, "av. min. distortion"), printed.distortion, self.distortion),
        ]


@dataclasses.dataclass(frozen=True)
class Table3Result(KeptResult):
    """What `Table3` measured; prints as the paper's table with the paper's figures beside it."""

    settings: Table3
    rows: tuple[ModelOfHalf, ...]

    reference = "Table 3"
    paragraphs = (
        "P1 and P2 are disjoint halves of the training set. Two networks were trained on P1, one "
        "on P2.",
    )

    def table(self) -> Table:
        """Returns paper, here and difference for each of the paper's numbers."""
        note = (
            f"Distortions over the first {self.settings.number} test images, targets drawn with "
            f"seed {self.settings.seed}; [95 % bootstrap interval over the images]."
        )
        comparisons = (each for row in self.rows for each in row.comparisons())
        title = "Table 3: networks trained on halves"
        return beside(title, ("model", "quantity"), comparisons, [note])


@dataclasses.dataclass(frozen=True)
class Table3(Experiment[Table3Result]):
    """Measures the networks that Table 4 is about.

    The distortions are those of the test images of Table 4: the paper prints the same averages in
    both tables.

    Args:
        number: test images attacked per model, with random targets.
        seed: of the random targets.
    """

    number: int = 1000
    seed: int = 0

    record = Table3Result
    models: ClassVar[tuple[str, ...]] = tuple(paper.TABLE_3)

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return ImageSet("train", subset="p1"), ImageSet("train", subset="p2"), ImageSet("test")

    def run(self, workspace: Workspace) -> Table3Result:
        """Measures the three models."""
        wrong = wrong_by_model(workspace, self.models, self.image_sets)
        rows = []
        for name in self.models:
            attacked = workspace.attack(name, ImageSet("test", self.number), seed=self.seed)
            distortion = Estimate.of_mean(attacked.distortion[attacked.success])
            p1_error, p2_error, test_error = map(Estimate.of_errors, wrong[name])
            rows.append(ModelOfHalf(name, p1_error, p2_error, test_error, distortion))
        return Table3Result(self, tuple(rows))
