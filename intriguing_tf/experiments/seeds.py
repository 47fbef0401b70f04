"""Networks trained again from other seeds: how far the tables' numbers depend on the training."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.workspace import ImageSet, Workspace
from intriguing_tf.reporting import Section, Table
from intriguing_tf.transfer import error_matrix


@dataclasses.dataclass(frozen=True)
class Row:
    """One recipe's networks, one value per seed.

    Attributes:
        model: the paper's name.
        test_errors: over the whole test set.
        distortions: average minimal distortion of the attacked training images.
        transferred: error of each network on the images distorted for the next seed's.
    """

    model: str
    test_errors: tuple[Estimate, ...]
    distortions: tuple[Estimate, ...]
    transferred: tuple[Estimate, ...]


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Trains Table 1's networks again by their recipes and attacks them.

    Args:
        training_seeds: at least 2.
        number: training images attacked per network, with random targets.
        seed: of the random targets.
    """

    training_seeds: tuple[int, ...] = (1, 2, 3)
    number: int = 256
    seed: int = 0

    # FC10 is convex: its optimum does not depend on a seed.
    retrained: ClassVar[tuple[str, ...]] = ("FC100-100-10", "FC200-200-10", "AE400-10")
    models: ClassVar[tuple[str, ...]] = ()

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The images that the result depends on."""
        return ImageSet("train"), ImageSet("test")

    def run(self, workspace: Workspace) -> SeedsResult:
        """Trains, attacks and lets each network read the next one's images."""
        return SeedsResult(self, tuple(self._row(workspace, name) for name in self.retrained))

    def _row(self, workspace: Workspace, name: str) -> Row:
        which = ImageSet("train", self.number)
        test_images, test_labels = workspace.images(ImageSet("test"))
        _, labels = workspace.images(which)
        workspaces = [workspace.retrained(seed) for seed in self.training_seeds]
        networks = {str(w.training_seed): w.model(name) for w in workspaces}
        attacked = [w.attack(name, which, seed=self.seed) for w in workspaces]
        test = error_matrix(networks, {"test": test_images}, test_labels).wrong[0]
        # Row i: images distorted for network i; they are read by network i - 1.
        sets = {str(i): each.images for i, each in enumerate(attacked)}
        read = error_matrix(networks, sets, labels).wrong
        return Row(
            name,
            tuple(Estimate.of_errors(wrong) for wrong in test),
            tuple(Estimate.of_mean(each.distortion[each.success]) for each in attacked),
            tuple(Estimate.of_errors(read[i, i - 1]) for i in range(len(attacked))),
        )


@dataclasses.dataclass(frozen=True)
class SeedsResult:
    """What `Seeds` measured; prints as a table."""

    settings: Seeds
    rows: tuple[Row, ...]

    def table(self) -> Table:
        """Returns the mean and the range over the seeds of each quantity."""
        cells = []
        for row in self.rows:
            printed = paper.TABLE_1[row.model]
            cells += [
                (
                    row.model,
                    "test error, %",
                    f"{100 * printed.test_error:.3g}",
                    *_spread(row.test_errors, 100, 2),
                ),
                (
                    row.model,
                    "av. min. distortion",
                    f"{printed.distortion:.3g}",
                    *_spread(row.distortions, 1, 4),
                ),
                (
                    row.model,
                    "error on another seed's images, %",
                    None,
                    *_spread(row.transferred, 100, 1),
                ),
            ]
        s = self.settings
        note = (
            f"Trained with the seeds {', '.join(map(str, s.training_seeds))}; the first "
            f"{s.number} training images attacked per network. FC10 is convex and has one optimum."
        )
        head = ("model", "quantity", "paper", "mean", "lowest", "highest")
        return Table("Networks trained again from other seeds", head, cells, [note])

    def __str__(self) -> str:
        return str(self.table())

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        del workspace
        return Section(
            "Other training seeds",
            ["The same recipes, trained again: how much of a difference is the training's chance."],
            [self.table()],
        )


def _spread(estimates: tuple[Estimate, ...], scale: float, digits: int) -> tuple[str, str, str]:
    values = scale * np.array([each.value for each in estimates])
    return tuple(f"{v:.{digits}f}" for v in (values.mean(), values.min(), values.max()))  # type: ignore[return-value]
