"""Table 2: images distorted for one MNIST model, classified by all the others."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.matrices import MatrixResult, attacked_sets, control_sets, measure
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace


@dataclasses.dataclass(frozen=True)
class Table2Result(MatrixResult):
    """What `Table2` measured; prints as the paper's table."""

    settings: Table2

    reference = "Table 2"
    printed = paper.TABLE_2
    note = (
        "Errors in % over the first {number} training images; [95 % bootstrap interval over the "
        "images]. Noise is clipped to [0, 1] unless it says otherwise; its distortion is what is "
        "left."
    )
    paragraphs = (
        "Training images distorted for the row's network, classified by the column's. The rows of "
        "undistorted images and of noise 0.2, which are not in the paper, show where each column "
        "starts from and what noise does that is as strong after clipping.",
    )


@dataclasses.dataclass(frozen=True)
class Table2(Experiment[Table2Result]):
    """Measures cross-model generalization on training images, as the paper.

    Args:
        number: training images attacked per model, with random targets.
        seed: of the random targets and of the noise.
    """

    number: int = 1000
    seed: int = 0

    record = Table2Result
    models: ClassVar[tuple[str, ...]] = paper.TABLE_2.columns

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return (ImageSet("train", self.number),)

    def run(self, workspace: Workspace) -> Table2Result:
        """Measures the matrix."""
        (which,) = self.image_sets
        images, _ = workspace.images(which)
        sets = attacked_sets(workspace, self.models, which, self.seed)
        sets |= control_sets(images, (0.1, 0.2, 0.3), (0.1, 0.3), self.seed)
        return Table2Result(self, measure(workspace, self.models, which, sets))
