"""Table 4: images distorted for one network, read by networks trained on other images."""

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
from intriguing_tf.transfer import amplify, gaussian_noise


@dataclasses.dataclass(frozen=True)
class Table4:
    """Measures generalisation across training sets, plain and amplified.

    The images are test images: the paper's errors under noise are near the three networks' test
    errors, where training images would give the networks of P1 an error of nearly 0.

    Args:
        number: test images attacked per model, with random targets.
        amplified: the stddev that distortions are rescaled to.
        seed: of the random targets and of the noise.
    """

    number: int = 1000
    amplified: float = 0.1
    seed: int = 0

    models: ClassVar[tuple[str, ...]] = paper.TABLE_4.columns

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the result depends on."""
        return (ImageSet("test", self.number),)

    def run(self, workspace: Workspace) -> Table4Result:
        """Measures the matrix."""
        which = self.image_sets[0]
        images, _ = workspace.images(which)

        def amplified(name: str) -> np.ndarray:
            return amplify(workspace.attack(name, which, seed=self.seed), self.amplified)

        sets: dict[str, Callable[[], np.ndarray]] = {
            name: partial(workspace.attacked_images, name, which, seed=self.seed)
            for name in self.models
        }
        for name in self.models:
            sets[f"{name}, amplified to {self.amplified}"] = partial(amplified, name)
        for stddev in (0.06, 0.1, 0.2):
            sets[f"Gaussian noise {stddev}"] = partial(gaussian_noise, images, stddev, self.seed)
        for stddev in (0.06, 0.1):
            sets[f"Gaussian noise {stddev}{NOT_CLIPPED}"] = partial(
                gaussian_noise, images, stddev, self.seed, UNBOUNDED
            )
        sets[UNDISTORTED] = lambda: images
        return Table4Result(self, measure(workspace, self.models, which, sets))


@dataclasses.dataclass(frozen=True)
class Table4Result:
    """What `Table4` measured; prints as the paper's table."""

    settings: Table4
    matrix: Matrix

    def table(self) -> Table:
        """Returns the matrix in the paper's layout."""
        note = (
            f"Errors in % over the first {self.settings.number} test images; [95 % bootstrap "
            "interval over the images]. Amplified distortions and noise are clipped to [0, 1]: "
            "the distortion is what is left. Images that are misread from the start have no "
            "distortion to amplify."
        )
        return self.matrix.table("Table 4: error of each model on each set", (note,))

    def __str__(self) -> str:
        return str(self.table())

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        del workspace
        return Section(
            "Table 4",
            [
                "Test images distorted for the row's network, read by the column's, which in two "
                "of three pairs has seen none of the other's training images.",
                "The rows of undistorted images and of noise 0.2, which are not in the paper, show "
                "where each column starts from and what noise does that is as strong as the "
                "amplified distortions after clipping.",
                "The paper prints the amplification as x + 0.1 (x' - x)/‖x' - x‖; its text and "
                "its numbers mean a root mean square change of 0.1 per pixel, as done here.",
            ],
            [self.table(), self.matrix.beside(paper.TABLE_4, "Table 4, cell by cell")],
            [
                self.matrix.picture(
                    paper.TABLE_4,
                    "table4",
                    "Error in % of the column's network on images distorted for the row's.",
                )
            ],
        )
