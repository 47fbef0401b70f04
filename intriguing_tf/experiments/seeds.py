"""Networks trained again from other seeds: how far the tables' numbers depend on the training."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from intriguing_tf.checks import check_kind, check_seed
from intriguing_tf.experiments import paper
from intriguing_tf.experiments.beside import PaperComparison, beside
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.reporting import Table
from intriguing_tf.transfer import error_matrix


@dataclasses.dataclass(frozen=True)
class RetrainedModel:
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

    def comparisons(self) -> list[PaperComparison]:
        """Returns the paper's numbers beside means and ranges over the seeds."""
        name, printed = self.model, paper.TABLE_1[self.model]
        tests, distortions = _range(self.test_errors), _range(self.distortions)
        transferred = "error on another seed's images, %"
        return [
            PaperComparison((name, "test error, %"), printed.test_error, tests, True),
            PaperComparison((name, "av. min. distortion"), printed.distortion, distortions),
            PaperComparison((name, transferred), None, _range(self.transferred), True),
        ]


@dataclasses.dataclass(frozen=True)
class SeedsResult(KeptResult):
    """What `Seeds` measured; prints as a table."""

    settings: Seeds
    rows: tuple[RetrainedModel, ...]

    reference = "Other training seeds"
    paragraphs = (
        "The same recipes, trained again: how much of a difference is the training's chance.",
    )

    def table(self) -> Table:
        """Returns the mean and the range over the seeds of each quantity."""
        note = (
            f"Trained with the seeds {', '.join(map(str, self.settings.training_seeds))}: mean "
            f"[lowest, highest]; the first {self.settings.number} training images attacked per "
            "network. FC10 is convex and has one optimum."
        )
        comparisons = (each for row in self.rows for each in row.comparisons())
        title = "Networks trained again from other seeds"
        return beside(title, ("model", "quantity"), comparisons, [note])


@dataclasses.dataclass(frozen=True)
class Seeds(Experiment[SeedsResult]):
    """Trains Table 1's networks again by their recipes and attacks them.

    Args:
        training_seeds: at least 2, which differ: each network classifies another one's images.
        number: training images attacked per network, with random targets.
        seed: of the random targets.

    Raises:
        TypeError, ValueError: anything else than these.
    """

    training_seeds: tuple[int, ...] = (1, 2, 3)
    number: int = 256
    seed: int = 0

    # FC10 is convex: its optimum does not depend on a seed.
    retrained: ClassVar[tuple[str, ...]] = ("FC100-100-10", "FC200-200-10", "AE400-10")
    record = SeedsResult
    models: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind("training_seeds", self.training_seeds, tuple, "a tuple of seeds")
        for each in self.training_seeds:
            check_seed(each)
        if len(set(self.training_seeds)) < max(2, len(self.training_seeds)):
            raise ValueError(
                "`training_seeds` must be at least 2 different seeds, for a spread. Received: "
                f"{list(self.training_seeds)}."
            )

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return ImageSet("train"), ImageSet("test")

    def run(self, workspace: Workspace) -> SeedsResult:
        """Trains, attacks and lets each network classify the next one's images."""
        return SeedsResult(self, tuple(self._row(workspace, name) for name in self.retrained))

    def _row(self, workspace: Workspace, name: str) -> RetrainedModel:
        which = ImageSet("train", self.number)
        test_images, test_labels = workspace.images(ImageSet("test"))
        _, labels = workspace.images(which)
        workspaces = [workspace.retrained(seed) for seed in self.training_seeds]
        networks = {str(w.training_seed): w.model(name) for w in workspaces}
        attacked = [w.attack(name, which, seed=self.seed) for w in workspaces]
        test = error_matrix(networks, {"test": test_images}, test_labels).wrong[0]
        # Row i: images distorted for network i; network i - 1 classifies them.
        sets = {str(i): each.images for i, each in enumerate(attacked)}
        wrong = error_matrix(networks, sets, labels).wrong
        return RetrainedModel(
            name,
            tuple(map(Estimate.of_errors, test)),
            tuple(Estimate.of_mean(each.distortion[each.success]) for each in attacked),
            tuple(Estimate.of_errors(wrong[i, i - 1]) for i in range(len(attacked))),
        )


def _range(estimates: tuple[Estimate, ...]) -> Estimate:
    """The mean with the lowest and highest instead of an interval."""
    values = [each.value for each in estimates]
    return Estimate(sum(values) / len(values), min(values), max(values), len(values))
