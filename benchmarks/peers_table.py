"""Distortion and time of the adversary and of foolbox's attacks, all networks in one table.

    python benchmarks/peers_table.py

Measures nothing: it lays out the points that `adversary_peers.py` kept, network by network.
"""

from __future__ import annotations

import json
from pathlib import Path

from intriguing_tf.reporting import Table

POINTS = Path(__file__).resolve().parents[1] / "docs" / "images" / "adversary-peers.json"


def cells(row: list, best: list) -> tuple[str, str]:
    """Distortion, with its ratio to ours and the successes where they are not all; seconds."""
    _, success, mean, gradients, seconds = row[:5]
    found = "" if success == 1 else f" ({success:.0%} found)"
    return f"{mean:.5f}, {mean / best[2]:.3f}{found}", f"{gradients:.0f}, {seconds:.3g} s"


def main() -> None:
    """Prints both tables: a row per attack, a column per network."""
    points = json.loads(POINTS.read_text())
    shown = {name: [row for row in rows if row[5]] for name, rows in points.items()}
    ours = {name: rows[0] for name, rows in shown.items()}
    columns = ("attack", *(name.removeprefix("mnist/") for name in shown))
    for kind, title in enumerate(("Mean distortion, ratio to the first", "Gradients, seconds")):
        attacks = [row[0] for row in next(iter(shown.values()))]
        rows = [
            (
                attack,
                *(
                    cells(row, ours[name])[kind]
                    for name in shown
                    for row in shown[name]
                    if row[0] == attack
                ),
            )
            for attack in attacks
        ]
        print(Table(title, columns, rows).markdown(), end="\n\n")


if __name__ == "__main__":
    main()
