"""One shard: the results of a cell on a slice, whole with its provenance in one file.

The file's name holds its sha256, so a damaged one is found without trusting anything else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.files import write_atomically
from intriguing_tf.sweeps.plan import Cell, Plan

_ARRAYS = [f.name for f in dataclasses.fields(AdversarialResult) if f.name != "settings"]
_ADVICE = "Run the sweep again to recompute this shard."
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


class ShardFolder:
    """The shards of a sweep on disk.

    Args:
        folder: of the sweep.
        plan: shards of another plan are not taken.
    """

    def __init__(self, folder: Path, plan: Plan):
        self.folder, self.plan = folder / "shards", plan

    def write(
        self, cell: Cell, index: int, labels: np.ndarray | None, result: AdversarialResult
    ) -> Path:
        """Writes a shard atomically.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        rows = self.plan.rows(index)
        provenance = {
            "plan": self.plan.sha256,
            "cell": list(cell),
            "index": index,
            "rows": [rows.start, rows.stop],
            "images": self.plan.data["slices"][index],
            "model": self.plan.models[cell.model]["sha256"],
            "seed": self.plan.seed,
            "settings": result.settings,
        }
        arrays = {name: getattr(result, name) for name in _ARRAYS}
        if labels is not None:
            arrays["labels"] = np.asarray(labels, np.int64)
        buffer = io.BytesIO()
        np.savez(buffer, provenance=np.array(json.dumps(provenance)), **arrays)
        content = buffer.getvalue()
        name = f"{index:06d}-{hashlib.sha256(content).hexdigest()[:32]}.npz"
        return write_atomically(self.folder / cell.folder / name, content)

    def paths(self, cell: Cell) -> dict[int, Path]:
        """Returns the file of each slice that has one, damaged or not."""
        found = {}
        for path in sorted((self.folder / cell.folder).glob("*.npz")):
            if match := _FILE.fullmatch(path.name):
                found[int(match[1])] = path
        return found

    def read(self, path: Path) -> Shard:
        """Reads a shard. Nothing in the file is executed.

        Raises:
            ValueError: it is damaged, lies in another's place, or belongs to another sweep.
        """
        content = path.read_bytes()
        match = _FILE.fullmatch(path.name)
        if match is None or hashlib.sha256(content).hexdigest()[:32] != match[2]:
            raise ValueError(
                f"{path} is damaged: its content does not have the sha256 in its name. {_ADVICE}"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            provenance = json.loads(str(stored["provenance"]))
            cell, rows = Cell(*provenance["cell"]), range(*provenance["rows"])
            if provenance["plan"] != self.plan.sha256:
                raise ValueError(f"{path} belongs to another sweep. {_ADVICE}")
            if (cell.folder, provenance["index"]) != (path.parent.name, int(match[1])):
                raise ValueError(
                    f"{path} is damaged: it holds rows {rows.start} to {rows.stop} of {cell}, "
                    f"whose place is another. {_ADVICE}"
                )
            result = AdversarialResult(
                **{name: stored[name] for name in _ARRAYS}, settings=provenance["settings"]
            )
            labels = stored.get("labels")
        return Shard(cell, rows, labels, result, provenance)

    def whole(self) -> set[tuple[Cell, int]]:
        """Returns the cells and slices whose shards are there and undamaged; removes the others.

        Files that a killed process left under temporary names go too.
        """
        for leftover in self.folder.glob("*/.*-*.npz.*"):
            leftover.unlink()
        return {
            (cell, index)
            for cell in self.plan.cells
            for index, path in self.paths(cell).items()
            if self._keep(path)
        }

    def _keep(self, path: Path) -> bool:
        try:
            self.read(path)
        except ValueError:
            path.unlink()
            return False
        return True
