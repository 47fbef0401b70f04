"""Figure 7: digits distorted for a linear and a deep network, and digits under Gaussian noise."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.matrices import UNBOUNDED
from intriguing_tf.experiments.records import Estimate, compared
from intriguing_tf.experiments.workspace import ImageSet, Workspace
from intriguing_tf.reporting import Picture, Section, Table, image_rows
from intriguing_tf.transfer import error_matrix, gaussian_noise, rms

LINEAR, DEEP = "FC10(1e-4)", "FC200-200-10"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One set of distorted digits.

    Attributes:
        name: its key in `paper.FIGURE_7`.
        model: which model reads them.
        clipped: whether they are kept in [0, 1].
        stddev: measured, mean over the images.
        accuracy: of the model.
    """

    name: str
    model: str
    clipped: bool
    stddev: Estimate
    accuracy: Estimate


@dataclasses.dataclass(frozen=True)
class Figure7:
    """Distorts the same training images three ways.

    Args:
        number: training images.
        shown: how many of them are drawn.
        seed: of the random targets and of the noise.
    """

    number: int = 1000
    shown: int = 15
    seed: int = 0

    models: ClassVar[tuple[str, ...]] = (LINEAR, DEEP)

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the result depends on."""
        return (ImageSet("train", self.number),)

    def distorted(self, workspace: Workspace, name: str) -> np.ndarray:
        """Returns the digits of a panel of `paper.FIGURE_7`, clipped to [0, 1]."""
        panel = paper.FIGURE_7[name]
        if panel.model is None:
            images, _ = workspace.images(self.image_sets[0])
            return gaussian_noise(images, panel.stddev, self.seed)
        return workspace.attack(panel.model, self.image_sets[0], seed=self.seed).images

    def run(self, workspace: Workspace) -> Figure7Result:
        """Measures stddev and accuracy of every panel."""
        images, _ = workspace.images(self.image_sets[0])
        noise = "Gaussian noise"
        unclipped = gaussian_noise(images, paper.FIGURE_7[noise].stddev, self.seed, UNBOUNDED)
        panels = [
            self._panel(workspace, "linear", LINEAR, True, self.distorted(workspace, "linear")),
            self._panel(
                workspace, "200-200-10", DEEP, True, self.distorted(workspace, "200-200-10")
            ),
        ]
        for model in self.models:
            clipped = self.distorted(workspace, noise)
            panels.append(self._panel(workspace, noise, model, True, clipped))
            panels.append(self._panel(workspace, noise, model, False, unclipped))
        return Figure7Result(self, tuple(panels))

    def _panel(
        self, workspace: Workspace, name: str, model: str, clipped: bool, distorted: np.ndarray
    ) -> Panel:
        images, labels = workspace.images(self.image_sets[0])
        matrix = error_matrix({model: workspace.model(model)}, {name: distorted}, labels)
        bounds = (0.0, 1.0) if clipped else UNBOUNDED
        return Panel(
            name,
            model,
            clipped,
            Estimate.of_mean(rms(distorted, images, bounds)),
            Estimate.of_errors(~matrix.wrong[0, 0]),
        )


@dataclasses.dataclass(frozen=True)
class Figure7Result:
    """What `Figure7` measured; prints as a table."""

    settings: Figure7
    panels: tuple[Panel, ...]

    def table(self) -> Table:
        """Returns stddev and accuracy of every panel beside the paper's."""
        rows = [
            (
                panel.name + ("" if panel.clipped else ", not clipped"),
                panel.model,
                f"{paper.FIGURE_7[panel.name].stddev:.3g}",
                panel.stddev.decimal(),
                *compared(paper.FIGURE_7[panel.name].accuracy, panel.accuracy),
            )
            for panel in self.panels
        ]
        head = (
            "distorted by",
            "read by",
            "stddev, paper",
            "stddev, here",
            "accuracy in %, paper",
            "here",
            "difference",
            "paper lies",
        )
        note = "The paper says neither which network read the noisy digits nor whether it clipped."
        return Table("Figure 7: accuracy on distorted digits", head, rows, [note])

    def __str__(self) -> str:
        return str(self.table())

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        return Section(
            "Figure 7",
            ["Odd columns: training images. Even columns: the same, distorted."],
            [self.table()],
            [self._picture(workspace, name) for name in paper.FIGURE_7],
        )

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
