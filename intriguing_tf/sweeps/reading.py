"""`Sweep`: the results in a folder, read back shard by shard."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.adversary.result import ARRAYS
from intriguing_tf.files import expanded
from intriguing_tf.reporting import Table
from intriguing_tf.store import MANIFEST
from intriguing_tf.sweeps.plan import Cell, read_plan
from intriguing_tf.sweeps.shards import Shard, ShardFolder
from intriguing_tf.sweeps.tables import check_table, write_table

_COLUMNS = (
    "row", "model", "targets", "settings", "label", "target", "original_prediction", "prediction",
    "status", "distortion", "l2", "c", "nfev",
)  # fmt: skip


class Sweep:
    """The results of a sweep; prints as a table. No more than one shard is in memory.

    Args:
        folder: of the sweep.

    Raises:
        FileNotFoundError: there is no sweep in the folder.
        ValueError: its manifest cannot be read.

    Example:

        done = intriguing_tf.sweeps.Sweep("sweep")
        for shard in done.shards(targets="nearest"):
            print(shard.rows, shard.result.mean_distortion)
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = expanded(folder)
        if not (self.folder / MANIFEST).is_file():
            raise FileNotFoundError(f"There is no sweep in {str(self.folder)!r}: no {MANIFEST}.")
        self.plan = read_plan(self.folder)
        self._folder = ShardFolder(self.folder, self.plan)

    @property
    def missing(self) -> int:
        """How many shards are still to be made."""
        there = sum(len(self._folder.files(cell)) for cell in self.plan.cells)
        return len(self.plan.cells) * self.plan.slices - there

    def shards(
        self, model: str | None = None, targets: str | None = None, settings: str | None = None
    ) -> Iterator[Shard]:
        """Yields the shards that are there, cell by cell in the order of the images.

        Args:
            model, targets, settings: names of those wanted; by default all.

        Raises:
            ValueError: an unknown name, a damaged shard, or a sweep that was extended since.
        """
        for cell in self._cells(model, targets, settings):
            try:
                yield from self._folder.read(cell)
            except (ValueError, FileNotFoundError):  # of an extended sweep shards are replaced
                self._check_current()
                raise

    def result(
        self, model: str | None = None, targets: str | None = None, settings: str | None = None
    ) -> AdversarialResult:
        """Returns one cell's results for all images, in memory.

        Args:
            model, targets, settings: names; one that the sweep has only one of may be left out.

        Raises:
            ValueError: an unknown name, more than one cell of these names, a shard that is
                missing or damaged.
        """
        cells = self._cells(model, targets, settings)
        if len(cells) != 1:
            raise ValueError(
                "Name one model, one kind of targets and one of the settings. Received names that "
                f"fit {len(cells)} cells: {'; '.join(map(str, cells))}."
            )
        self._check_complete()
        return _joined([shard.result for shard in self.shards(*cells[0])])

    def dataset(
        self, model: str | None = None, targets: str | None = None, settings: str | None = None
    ) -> tf.data.Dataset:
        """Returns the results as a data set that reads shards as they are needed.

        Args:
            model, targets, settings: names of those wanted; by default all.

        Returns:
            A `tf.data.Dataset` of dictionaries, one for each image and cell: "image" (the
            adversarial one), "original", "row" of the data set, "label" (if the sweep had them),
            "target", "prediction", "original_prediction", "status", "distortion", "l2", "c",
            "nfev", and the names "model", "targets", "settings".

        Raises:
            ValueError: an unknown name, or a shard that is missing.
            tensorflow.errors.InvalidArgumentError: when a damaged shard's turn comes.
        """
        self._cells(model, targets, settings)
        self._check_complete()
        first = next(self.shards(model, targets, settings))
        signature = {
            name: tf.TensorSpec([None, *array.shape[1:]], tf.as_dtype(array.dtype))
            for name, array in _arrays(first).items()
        }
        dataset = tf.data.Dataset.from_generator(
            lambda: map(_arrays, self.shards(model, targets, settings)), output_signature=signature
        )
        return dataset.unbatch()

    def write_table(self, path: str | os.PathLike) -> Path:
        """Writes a row for each image and cell, everything but the images.

        Args:
            path: a `.csv` or `.parquet` file, written atomically; one that is there is replaced.

        Returns:
            The path.

        Raises:
            ValueError: another suffix, or a shard that is missing or damaged.
            ImportError: `.parquet` without pyarrow.
            OSError: the file cannot be written.
        """
        check_table(path)
        self._check_complete()
        return write_table(path, _COLUMNS, map(_columns, self.shards()))

    def table(self) -> Table:
        """Returns a row for each cell, which `print` shows."""
        rows = [self._summary(cell) for cell in self.plan.cells]
        columns = (
            "model", "targets", "settings", "images", "found", "already", "failed",
            "distortion found, mean", "median", "seconds",
        )  # fmt: skip
        note = f"images: {self.plan.images}; shards: {self.plan.slices}; seed: {self.plan.seed}"
        if self.missing:
            note += f"; missing shards: {self.missing}, which the sweep makes when it is run again"
        return Table("Sweep", columns, rows, [note])

    def __str__(self) -> str:
        return str(self.table())

    def _summary(self, cell: Cell) -> tuple[Any, ...]:
        status, distortion, seconds = [np.zeros(0, "<U7")], [np.zeros(0)], 0.0
        for shard in self.shards(*cell):
            status.append(shard.result.status)
            distortion.append(shard.result.distortion)
            seconds += shard.result.settings["seconds"]
        statuses = np.concatenate(status)
        found = np.concatenate(distortion)[statuses == "found"]
        counts = [int((statuses == each).sum()) for each in ("found", "already", "failed")]
        middle = (float(found.mean()), float(np.median(found))) if found.size else (None, None)
        return *cell, len(statuses), *counts, *middle, f"{seconds:.1f}"

    def _cells(self, *names: str | None) -> list[Cell]:
        known = {
            "model": self.plan.models,
            "targets": self.plan.targets,
            "settings": self.plan.settings,
        }
        for (what, valid), name in zip(known.items(), names, strict=True):
            if name is not None and name not in valid:
                raise ValueError(
                    f"The sweep has no {what} {name!r}. Valid: {', '.join(map(repr, valid))}."
                )
        return [
            cell
            for cell in self.plan.cells
            if all(name in (None, has) for name, has in zip(names, cell, strict=True))
        ]

    def _check_current(self) -> None:
        if read_plan(self.folder).sha256 != self.plan.sha256:
            raise ValueError(
                f"The sweep in {str(self.folder)!r} was changed after it was opened here, such as "
                "extended to more images. Open it again."
            ) from None

    def _check_complete(self) -> None:
        if self.missing:
            self._check_current()
            raise ValueError(
                f"The sweep in {str(self.folder)!r} is not complete. Run it again to make what is "
                f"missing. Received: missing shards: {self.missing}."
            )


def _joined(results: list[AdversarialResult]) -> AdversarialResult:
    """Returns the results of a cell's shards as one; what else they have is the same in all."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in results]) for name in ARRAYS
    }
    seconds = sum(each.settings["seconds"] for each in results)
    settings = {**results[0].settings, "seconds": seconds}
    return dataclasses.replace(results[0], **arrays, settings=settings)


def _arrays(shard: Shard) -> dict[str, np.ndarray]:
    result = shard.result
    arrays = {**_columns(shard), "image": result.images, "original": result.originals}
    return arrays if shard.labels is not None else {k: arrays[k] for k in arrays if k != "label"}


def _columns(shard: Shard) -> dict[str, np.ndarray]:
    result, n = shard.result, len(shard.result)
    arrays = {
        "row": np.array(shard.rows, np.int64),
        **{name: np.full(n, value) for name, value in shard.cell._asdict().items()},
        "label": np.full(n, -1, np.int64) if shard.labels is None else shard.labels,
        "target": result.targets,
        "original_prediction": result.original_predictions,
        "prediction": result.predictions,
    }
    return arrays | {name: getattr(result, name) for name in _COLUMNS if name not in arrays}
