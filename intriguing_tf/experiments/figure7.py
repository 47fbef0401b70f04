"""Figure 7: digits distorted for a linear and a deep network, and digits under Gaussian noise."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.beside import PaperComparison, beside
from intriguing_tf.experiments.matrices import NOT_CLIPPED, UNBOUNDED
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.reporting import Picture, Table, image_rows
from intriguing_tf.transfer import error_matrix, gaussian_noise, rms

NOISE = "Gaussian noise"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One set of distorted digits.

    Attributes:
        name: its key in `paper.FIGURE_7`.
        model: which model classifies them.
        clipped: whether they are kept in [0, 1].
        stddev: measured, mean over the images.
        accuracy: of the model.
    """

    name: str
    model: str
    clipped: bool
    stddev: Estimate
    accuracy: Estimate

    def comparisons(self) -> list[PaperComparison]:
        """Returns the paper's numbers beside these."""
        printed = paper.FIGURE_7[self.name]
        what = (self.name + ("" if self.clipped else NOT_CLIPPED), self.model)
        return [
            PaperComparison((*what, "stddev"), printed.stddev, self.stddev),
            PaperComparison((*what, "accuracy, %"), printed.accuracy, self.accuracy, True),
        ]


@dataclasses.dataclass(frozen=True)
class Figure7Result(KeptResult):
    """What `Figure7` measured; prints as a table."""

    settings: Figure7
    panels: tuple[Panel, ...]

    reference = "Figure 7"
    paragraphs = ("Odd columns: training images. Even columns: the same, distorted.",)

    def table(self) -> Table:
        """Returns stddev and accuracy of every panel beside the paper's."""
        note = "The paper does not say which network classified the noise, or whether it clipped."
        comparisons = (each for panel in self.panels for each in panel.comparisons())
        what = ("distorted by", "classified by", "quantity")
        return beside("Figure 7: accuracy on distorted digits", what, comparisons, [note])

    def pictures(self, workspace: Workspace) -> list[Picture]:
        return [self._picture(workspace, name) for name in paper.FIGURE_7]

    def _picture(self, workspace: Workspace, name: str) -> Picture:
        shown = self.settings.shown
        images, _ = workspace.images(self.settings.image_sets[0])
        pairs = np.stack([images[:shown], self.settings.distorted(workspace, name)[:shown]], axis=1)
        rows = pairs.reshape(-1, *images.shape[1:])
        columns = 10 if len(rows) % 10 == 0 else len(rows)
        rows = rows.reshape(-1, columns, *images.shape[1:])
        panel = next(p for p in self.panels if p.name == name)
        caption = (
            f"Distorted by {name}: stddev {panel.stddev.value:.3f}, accuracy of {panel.model} "
            f"{100 * panel.accuracy.value:.1f} %."
        )
        stem = name.lower().replace(" ", "_").replace("-", "_")
        return image_rows(f"figure7_{stem}", caption, rows, [""] * len(rows))


@dataclasses.dataclass(frozen=True)
class Figure7(Experiment[Figure7Result]):
    """Distorts the same training images three ways.

    Args:
        number: training images.
        shown: how many of them are drawn.
        seed: of the random targets and of the noise.
    """

    number: int = 1000
    shown: int = 15
    seed: int = 0

    record = Figure7Result
    models: ClassVar[tuple[str, ...]] = tuple(p.model for p in paper.FIGURE_7.values() if p.model)

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return (ImageSet("train", self.number),)

    def distorted(self, workspace: Workspace, name: str) -> np.ndarray:
        """Returns the digits of a panel of `paper.FIGURE_7`, clipped to [0, 1]."""
        panel = paper.FIGURE_7[name]
        if panel.model is None:
            images, _ = workspace.images(self.image_sets[0])
            return gaussian_noise(images, panel.stddev, self.seed)
        return workspace.attacked_images(panel.model, self.image_sets[0], seed=self.seed)

    def run(self, workspace: Workspace) -> Figure7Result:
        """Measures stddev and accuracy of every panel."""
        images, _ = workspace.images(self.image_sets[0])
        stddev = paper.FIGURE_7[NOISE].stddev
        unclipped = gaussian_noise(images, stddev, self.seed, UNBOUNDED)
        panels = []
        for name, printed in paper.FIGURE_7.items():
            distorted = self.distorted(workspace, name)
            # The paper does not say which network is shown the noise.
            for model in [printed.model] if printed.model else self.models:
                panels.append(self._panel(workspace, name, model, True, distorted))
                if name == NOISE:
                    panels.append(self._panel(workspace, name, model, False, unclipped))
        return Figure7Result(self, tuple(panels))

    def _panel(
        self, workspace: Workspace, name: str, model: str, clipped: bool, distorted: np.ndarray
    ) -> Panel:
        images, labels = workspace.images(self.image_sets[0])
        matrix = error_matrix({model: workspace.model(model)}, {name: distorted}, labels)
        bounds = (0.0, 1.0) if clipped else UNBOUNDED
        stddev = Estimate.of_mean(rms(distorted, images, bounds))
        return Panel(name, model, clipped, stddev, Estimate.of_errors(~matrix.wrong[0, 0]))
