"""Error matrices beside the paper's: what Tables 2 and 4 share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from intriguing_tf.experiments.paper import TransferTable
from intriguing_tf.experiments.records import Estimate, compared
from intriguing_tf.experiments.workspace import ImageSet, Workspace
from intriguing_tf.reporting import Picture, Table, heat_maps
from intriguing_tf.transfer import error_matrix, rms

UNDISTORTED = "undistorted"
NOT_CLIPPED = ", not clipped"
UNBOUNDED = (-np.inf, np.inf)


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


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Errors of the columns' models on the rows' sets."""

    columns: tuple[str, ...]
    rows: tuple[SetRow, ...]

    def error(self, row: str, column: str) -> Estimate:
        """Returns one cell."""
        return self.row(row).errors[self.columns.index(column)]

    def row(self, name: str) -> SetRow:
        """Returns one row by its name."""
        return next(row for row in self.rows if row.name == name)

    def table(self, title: str, notes: tuple[str, ...]) -> Table:
        """Returns the matrix in the paper's layout."""
        rows = [
            (row.name, *(e.percent() for e in row.errors), row.distortion.decimal())
            for row in self.rows
        ]
        return Table(title, ("images", *self.columns, "av. distortion"), rows, notes)

    def beside(self, printed: TransferTable, title: str) -> Table:
        """Returns one row per cell that the paper has."""
        rows = []
        for row in self.rows:
            name = row.name.removesuffix(NOT_CLIPPED)
            if name not in printed.errors:
                continue
            rows += [
                (row.name, column, *compared(value, error))
                for column, value, error in zip(
                    self.columns, printed.errors[name], row.errors, strict=True
                )
            ]
            distortion = compared(printed.distortions[name], row.distortion, percent=False)
            rows.append((row.name, "av. distortion", *distortion))
        head = ("images", "error of, %", "paper", "here", "difference", "paper lies")
        return Table(title, head, rows)

    def picture(self, printed: TransferTable, name: str, caption: str) -> Picture:
        """Returns the paper's matrix and this one, side by side."""
        here = {row.name: [e.value for e in row.errors] for row in self.rows}
        return heat_maps(
            name,
            caption,
            {
                "paper": np.array(list(printed.errors.values())),
                "here": np.array([here[row] for row in printed.errors]),
            },
            list(printed.errors),
            self.columns,
        )


def measure(
    workspace: Workspace,
    models: tuple[str, ...],
    which: ImageSet,
    sets: Mapping[str, Callable[[], np.ndarray]],
) -> Matrix:
    """Measures every model on every set made from the same images."""
    originals, labels = workspace.images(which)
    distortions: dict[str, Estimate] = {}

    def measured(name: str, make: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
        def images() -> np.ndarray:
            made = make()
            distortions[name] = Estimate.of_mean(rms(made, originals))
            return made

        return images

    matrix = error_matrix(
        {name: workspace.model(name) for name in models},
        {name: measured(name, make) for name, make in sets.items()},
        labels,
    )
    return Matrix(
        models,
        tuple(
            SetRow(name, distortions[name], tuple(Estimate.of_errors(w) for w in wrong))
            for name, wrong in zip(matrix.rows, matrix.wrong, strict=True)
        ),
    )
