"""Error matrices beside the paper's: what Tables 1 to 4 share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from intriguing_tf.experiments.beside import PaperComparison, beside
from intriguing_tf.experiments.paper import TransferTable
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.reporting import Picture, Table, heat_maps
from intriguing_tf.transfer import error_matrix, gaussian_noise, rms

UNDISTORTED = "undistorted"
NOT_CLIPPED = ", not clipped"
UNBOUNDED = (-np.inf, np.inf)

Sets = dict[str, Callable[[], np.ndarray]]  # of images, made when they are needed


@dataclasses.dataclass(frozen=True)
class SetRow:
    """One set of distorted images.

    Attributes:
        name: the row's name in the paper's table, or "undistorted", which it does not have.
        distortion: mean over the images, after clipping.
        errors: of each column's model.
    """

    name: str
    distortion: Estimate
    errors: tuple[Estimate, ...]

    def comparisons(self, columns: Sequence[str], printed: TransferTable) -> list[PaperComparison]:
        """Returns the paper's numbers beside these; none where the paper has no such row."""
        name = self.name.removesuffix(NOT_CLIPPED)
        if name not in printed.errors:
            return []
        errors = zip(columns, printed.errors[name], self.errors, strict=True)
        return [
            *(PaperComparison((self.name, column), p, here, True) for column, p, here in errors),
            PaperComparison(
                (self.name, "av. distortion"), printed.distortions[name], self.distortion
            ),
        ]


@dataclasses.dataclass(frozen=True)
class SetErrors:
    """Errors of the columns' models on the rows' sets."""

    columns: tuple[str, ...]
    rows: tuple[SetRow, ...]

    def error(self, row: str, column: str) -> Estimate:
        """Returns one cell."""
        return self.row(row).errors[self.columns.index(column)]

    def row(self, name: str) -> SetRow:
        """Returns one row by its name."""
        return next(row for row in self.rows if row.name == name)


@dataclasses.dataclass(frozen=True)
class MatrixResult(KeptResult):
    """An error matrix; prints in the paper's layout."""

    settings: Experiment[Any]
    matrix: SetErrors

    printed: ClassVar[TransferTable]
    note: ClassVar[str]  # with the settings' fields in braces

    def table(self) -> Table:
        """Returns the matrix in the paper's layout."""
        rows = [
            (row.name, *(e.percent() for e in row.errors), row.distortion.decimal())
            for row in self.matrix.rows
        ]
        head = ("images", *self.matrix.columns, "av. distortion")
        note = self.note.format_map(vars(self.settings))
        return Table(f"{self.reference}: error of each model on each set", head, rows, (note,))

    def details(self) -> list[Table]:
        comparisons = (
            each
            for row in self.matrix.rows
            for each in row.comparisons(self.matrix.columns, self.printed)
        )
        return [beside(f"{self.reference}, cell by cell", ("images", "error of, %"), comparisons)]

    def pictures(self, workspace: Workspace) -> list[Picture]:
        here = {row.name: [e.value for e in row.errors] for row in self.matrix.rows}
        shared = [row for row in self.printed.errors if row in here]
        chart = heat_maps(
            self.reference.lower().replace(" ", ""),
            "Error in % of the column's network on images distorted for the row's.",
            {
                "paper": np.array([self.printed.errors[row] for row in shared]),
                "here": np.array([here[row] for row in shared]),
            },
            shared,
            self.matrix.columns,
        )
        return [chart]


def attacked_sets(workspace: Workspace, models: Sequence[str], which: ImageSet, seed: int) -> Sets:
    """Returns the images distorted for each model."""
    return {name: partial(workspace.attacked_images, name, which, seed=seed) for name in models}


def control_sets(
    images: np.ndarray, clipped: Sequence[float], unclipped: Sequence[float], seed: int
) -> Sets:
    """Returns the images under Gaussian noise of these stddevs, and as they are."""
    sets: Sets = {
        f"Gaussian noise {stddev}": partial(gaussian_noise, images, stddev, seed)
        for stddev in clipped
    }
    for stddev in unclipped:
        name = f"Gaussian noise {stddev}{NOT_CLIPPED}"
        sets[name] = partial(gaussian_noise, images, stddev, seed, UNBOUNDED)
    return {**sets, UNDISTORTED: lambda: images}


def measure(
    workspace: Workspace, models: tuple[str, ...], which: ImageSet, sets: Sets
) -> SetErrors:
    """Measures every model on every set made from the same images."""
    originals, labels = workspace.images(which)
    distortions: dict[str, Estimate] = {}

    def measured(name: str) -> np.ndarray:
        images = sets[name]()
        distortions[name] = Estimate.of_mean(rms(images, originals))
        return images

    matrix = error_matrix(
        {name: workspace.model(name) for name in models},
        {name: partial(measured, name) for name in sets},
        labels,
    )
    return SetErrors(
        models,
        tuple(
            SetRow(name, distortions[name], tuple(map(Estimate.of_errors, wrong)))
            for name, wrong in zip(matrix.rows, matrix.wrong, strict=True)
        ),
    )


def wrong_by_model(
    workspace: Workspace, models: Sequence[str], image_sets: Sequence[ImageSet]
) -> dict[str, list[np.ndarray]]:
    """Returns, for each model, which images of each set it misclassifies: bool `[n]`."""
    networks = {name: workspace.model(name) for name in models}
    wrong: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for which in image_sets:
        images, labels = workspace.images(which)
        matrix = error_matrix(networks, {str(which): images}, labels)
        for name, each in zip(models, matrix.wrong[0], strict=True):
            wrong[name].append(each)
    return wrong
