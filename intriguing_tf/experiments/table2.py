"""Table 2: images distorted for one MNIST model, read by all the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.matrices import NOT_CLIPPED, UNBOUNDED, UNDISTORTED, Matrix, measure
from intriguing_tf.experiments.workspace import ImageSet, Workspace
from intriguing_tf.reporting import Section, Table
from intriguing_tf.transfer import gaussian_noise


@dataclasses.dataclass(frozen=True)
class Table2:
    """Measures cross-model generalisation on training images, as the paper.

    Args:
        number: training images attacked per model, with random targets.
        seed: of the random targets and of the noise.
    """

    number: int = 1000
    seed: int = 0

    models: ClassVar[tuple[str, ...]] = paper.TABLE_2.columns

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the result depends on."""
        return (ImageSet("train", self.number),)

    def run(self, workspace: Workspace) -> Table2Result:
        """Measures the matrix."""
        which = self.image_sets[0]
        images, _ = workspace.images(which)
        sets: dict[str, Callable[[], np.ndarray]] = {
            name: partial(workspace.attacked_images, name, which, seed=self.seed)
            for name in self.models
        }
        for stddev in (0.1, 0.2, 0.3):
            sets[f"Gaussian noise {stddev}"] = partial(gaussian_noise, images, stddev, self.seed)
        for stddev in (0.1, 0.3):
            sets[f"Gaussian noise {stddev}{NOT_CLIPPED}"] = partial(
                gaussian_noise, images, stddev, self.seed, UNBOUNDED
            )
        sets[UNDISTORTED] = lambda: images
        return Table2Result(self, measure(workspace, self.models, which, sets))


@dataclasses.dataclass(frozen=True)
class Table2Result:
    """What `Table2` measured; prints as the paper's table."""

    settings: Table2
    matrix: Matrix

    def table(self) -> Table:
        """Returns the matrix in the paper's layout."""
        note = (
            f"Errors in % over the first {self.settings.number} training images; [95 % bootstrap "
            "interval over the images]. Noise is clipped to [0, 1] unless it says otherwise; its "
            "distortion is what is left."
        )
        return self.matrix.table("Table 2: error of each model on each set", (note,))

    def __str__(self) -> str:
        return str(self.table())

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        del workspace
        return Section(
            "Table 2",
            [
                "Training images distorted for the row's network, read by the column's. The rows "
                "of undistorted images and of noise 0.2, which are not in the paper, show where "
                "each column starts from and what noise does that is as strong after clipping.",
            ],
            [self.table(), self.matrix.beside(paper.TABLE_2, "Table 2, cell by cell")],
            [
                self.matrix.picture(
                    paper.TABLE_2,
                    "table2",
                    "Error in % of the column's network on images distorted for the row's.",
                )
            ],
        )
