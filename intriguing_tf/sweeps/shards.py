"""One shard: the results of a cell on a slice, whole with its provenance in one file.

The file's name holds its sha256, so a damaged one is found without trusting anything else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.adversary.result import (
    STORED,
    AdversarialResult,
    arrays_to_store,
    stored_result,
)
from intriguing_tf.archives import read_arrays, read_json
from intriguing_tf.files import is_plain_file, leftovers, read_content, write_atomically
from intriguing_tf.sweeps.plan import Cell, Plan
from intriguing_tf.text import cut

_STORED = (*STORED, "labels", "provenance")
_REST = 200  # bytes of an image's numbers, such as its status
_ADVICE = "Run the sweep again to recompute this shard."
_SHARDS = "shards"
_FILE = re.compile(r"(\d{6,})-([0-9a-f]{32})\.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """Adversarial examples of consecutive images.

    Attributes:
        cell: model, targets and settings.
        rows: of the data set.
        labels: int64 [rows], or `None`.
        result: row i belongs to row `rows[i]` of the data set.
        provenance: what made it: the plan's and the model's sha256, settings, seed, versions.
    """

    cell: Cell
    rows: range
    labels: np.ndarray | None
    result: AdversarialResult
    provenance: dict[str, Any]


def holds_shards(folder: Path) -> bool:
    """Whether a sweep's folder has any finished shard, damaged or not."""
    return any(_FILE.fullmatch(path.name) for path in (folder / _SHARDS).rglob("*.npz"))


class ShardFolder:
    """The shards of a sweep on disk.

    Args:
        folder: of the sweep.
        plan: shards of another plan are not taken.
    """

    def __init__(self, folder: Path, plan: Plan):
        self.folder, self.plan = folder / _SHARDS, plan

    def write(
        self, cell: Cell, index: int, labels: np.ndarray | None, result: AdversarialResult
    ) -> Path:
        """Writes a shard atomically.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        provenance = {**self._identity(cell, index), "settings": result.settings}
        arrays = arrays_to_store(result)
        if labels is not None:
            arrays["labels"] = np.asarray(labels, np.int64)
        buffer = io.BytesIO()
        np.savez(buffer, provenance=np.array(json.dumps(provenance)), **arrays)
        content = buffer.getvalue()
        name = f"{index:06d}-{hashlib.sha256(content).hexdigest()[:32]}.npz"
        return write_atomically(self._place(cell) / name, content)

    def files(self, cell: Cell) -> dict[int, list[Path]]:
        """Returns the files of each slice that has any, damaged or not.

        Links, folders and files of other names are not the sweep's.

        Raises:
            ValueError: the cell's folder is a link.
        """
        folder = self._place(cell)
        found: dict[int, list[Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = _FILE.fullmatch(path.name)
            if match and int(match[1]) < self.plan.slices and is_plain_file(path):
                found.setdefault(int(match[1]), []).append(path)
        return found

    def read(self, cell: Cell) -> Iterator[Shard]:
        """Yields the cell's shards that are there, in the order of the images.

        Raises:
            ValueError: a shard is damaged, lies in another's place, or belongs to another sweep.
        """
        for index, paths in self.files(cell).items():
            yield self._first_whole(paths, cell, index)

    def whole(self) -> set[tuple[Cell, int]]:
        """Returns the cells and slices whose shards are there and undamaged; removes the others.

        Files that a killed process left under temporary names go too.
        """
        found = set()
        for cell in self.plan.cells:
            for leftover in leftovers(self._place(cell), _FILE.pattern):
                leftover.unlink()
            for index, paths in self.files(cell).items():
                kept = [path for path in paths if self._keep(path, cell, index)]
                if kept:
                    found.add((cell, index))
        return found

    def _first_whole(self, paths: list[Path], cell: Cell, index: int) -> Shard:
        faults = []
        for path in paths:
            try:
                return self._read(path, cell, index)
            except ValueError as error:
                faults.append(error)
        raise faults[0]

    def _keep(self, path: Path, cell: Cell, index: int) -> bool:
        try:
            self._read(path, cell, index)
        except ValueError:
            path.unlink()
            return False
        return True

    def _read(self, path: Path, cell: Cell, index: int) -> Shard:
        """Reads the shard of a cell and slice. Nothing in the file is executed."""
        try:
            content = read_content(path, self._largest())
            arrays = read_arrays(content, _STORED)
            provenance = _provenance(arrays)
            if hashlib.sha256(content).hexdigest()[:32] != path.stem.partition("-")[2]:
                raise ValueError("its content does not have the sha256 in its name")
            if provenance.get("plan") not in (self.plan.sha256, *self.plan.extends):
                raise ValueError("it belongs to another sweep")
            identity = self._identity(cell, index) | {"plan": provenance["plan"]}
            if {name: provenance.get(name) for name in identity} != identity:
                said = cut(f"{provenance.get('index')!r} of {provenance.get('cell')!r}")
                raise ValueError(f"it says that it is shard {said}, whose place is another")
            result = stored_result(arrays, provenance.get("settings"))
            rows, labels = self.plan.rows(index), arrays.get("labels")
            self._check(result, labels, rows)
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}. {_ADVICE}") from None
        return Shard(cell, rows, labels, result, provenance)

    def _check(self, result: AdversarialResult, labels: np.ndarray | None, rows: range) -> None:
        shape = (len(rows), *self.plan.data["shape"])
        if result.images.shape != shape:
            raise ValueError(f"images must have shape {shape}. Received: {result.images.shape}")
        if (labels is not None) != self.plan.data["labels"]:
            raise ValueError("it must have labels if and only if the sweep has")
        if labels is not None and (labels.dtype != np.int64 or labels.shape != shape[:1]):
            raise ValueError(f"labels must be int64 {shape[:1]}. Received: {labels.shape}")
        if "seconds" not in result.settings:
            raise ValueError("its settings must have seconds")

    def _identity(self, cell: Cell, index: int) -> dict[str, Any]:
        """What only one shard of one plan says of itself."""
        rows = self.plan.rows(index)
        return {
            "plan": self.plan.sha256,
            "cell": list(cell),
            "index": index,
            "rows": [rows.start, rows.stop],
            "images": self.plan.data["slices"][index],
            "model": self.plan.models[cell.model]["sha256"],
            "seed": self.plan.seed,
        }

    def _largest(self) -> int:
        """Bytes of a file that may be a shard, which holds two arrays of images: ten times that."""
        numbers = min(self.plan.shard_size, self.plan.images) * math.prod(self.plan.data["shape"])
        return 10 * (2 * 8 * numbers + _REST * self.plan.shard_size + (1 << 20))

    def _place(self, cell: Cell) -> Path:
        for folder in (self.folder, self.folder / cell.folder):
            if folder.is_symlink():
                raise ValueError(
                    f"A sweep keeps its shards in its own folder. Received: {folder}, a link."
                )
        return self.folder / cell.folder


def _provenance(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    text = arrays.get("provenance")
    provenance = read_json(str(text)) if text is not None and text.dtype.kind == "U" else None
    if not isinstance(provenance, dict):
        raise ValueError("it does not say what made it")
    return provenance
