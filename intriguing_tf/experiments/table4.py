"""Table 4: images distorted for one network, classified by networks trained on other images."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.matrices import MatrixResult, attacked_sets, control_sets, measure
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.transfer import amplify


@dataclasses.dataclass(frozen=True)
class Table4Result(MatrixResult):
    """What `Table4` measured; prints as the paper's table."""

    settings: Table4

    reference = "Table 4"
    printed = paper.TABLE_4
    note = (
        "Errors in % over the first {number} test images; [95 % bootstrap interval over the "
        "images]. Amplified distortions and noise are clipped to [0, 1]: the distortion is what is "
        "left. Images that are misclassified from the start have no distortion to amplify."
    )
    paragraphs = (
        "Test images distorted for the row's network, classified by the column's, which in two of "
        "three pairs has seen none of the other's training images.",
        "The rows of undistorted images and of noise 0.2, which are not in the paper, show where "
        "each column starts from and what noise does that is as strong as the amplified "
        "distortions after clipping.",
        "The paper prints the amplification as x + 0.1 (x' - x)/‖x' - x‖; its text and its numbers "
        "mean a root mean square change of 0.1 per pixel, as done here.",
    )


@dataclasses.dataclass(frozen=True)
class Table4(Experiment[Table4Result]):
    """Measures generalization across training sets, plain and amplified.

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

    record = Table4Result
    models: ClassVar[tuple[str, ...]] = paper.TABLE_4.columns

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return (ImageSet("test", self.number),)

    def run(self, workspace: Workspace) -> Table4Result:
        """Measures the matrix."""
        (which,) = self.image_sets
        images, _ = workspace.images(which)

        def amplified(name: str) -> np.ndarray:
            return amplify(workspace.attack(name, which, seed=self.seed), self.amplified)

        sets = attacked_sets(workspace, self.models, which, self.seed)
        for name in self.models:
            sets[f"{name}, amplified to {self.amplified}"] = partial(amplified, name)
        sets |= control_sets(images, (0.06, 0.1, 0.2), (0.06, 0.1), self.seed)
        return Table4Result(self, measure(workspace, self.models, which, sets))
