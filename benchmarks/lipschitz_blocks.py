"""Joint bounds of random residual blocks, beside the optimum of the same inequality by clarabel.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_blocks.py

x ↦ V x + W₂ φ(W₁ x) and V x + W₃ φ(W₂ φ(W₁ x)), with V the identity or a projection: five blocks
of each kind, with up to 32 units in a hidden layer.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import clarabel
import numpy as np
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from intriguing_tf.reporting import Table  # noqa: E402
from tests.lipschitz.test_residual import (  # noqa: E402
    joint,
    least_by_semidefinite_program,
    random_block,
)

SIZES = {1: ((6, 12), (8, 16), (8, 24), (10, 32), (12, 20)), 2: ((6, 7, 8), (6, 10, 10),
    (8, 12, 12), (8, 16, 12), (8, 16, 16))}  # fmt: skip


def row(sizes: tuple[int, ...], projected: bool, seed: int) -> tuple[float, float, float, float]:
    """Above the optimum, the sum of the branches' norms over the bound, our seconds and theirs."""
    weights, shortcut = random_block(sizes, projected, seed)
    apart = 1.0 if shortcut is None else float(np.linalg.norm(shortcut, 2))
    apart += float(np.prod([np.linalg.norm(each, 2) for each in weights]))
    start = time.process_time()
    found = joint(weights, shortcut)
    middle = time.process_time()
    optimum = least_by_semidefinite_program(clarabel, weights, shortcut)
    return found / optimum - 1, apart / found, middle - start, time.process_time() - middle


def main() -> None:
    """Prints a row for each kind of block."""
    rows = []
    with threadpool_limits(1):
        for hidden, sizes in SIZES.items():
            for projected in (False, True):
                each = [row(size, projected, seed) for seed, size in enumerate(sizes)]
                above, apart, ours, theirs = np.transpose(each)
                rows.append((
                    hidden, "projection" if projected else "identity", len(each),
                    f"{np.median(above):.3%}", f"{np.max(above):.3%}",
                    f"{apart.min():.1f} to {apart.max():.1f}", np.median(ours), np.median(theirs),
                ))  # fmt: skip
    columns = (
        "hidden layers", "shortcut", "blocks", "above the optimum, median", "at most",
        "sum of norms / bound", "ours, s", "clarabel, s",
    )  # fmt: skip
    print(Table("", columns, rows, digits=3).markdown())


if __name__ == "__main__":
    main()
