"""The README's Table 1, from the report that `itf-reproduce` made.

    python benchmarks/paper_table_1.py

Measures nothing: it sets what docs/reproduction/results.json holds beside the paper's numbers.
Distortions are those of the images that are correctly classified.
"""

from __future__ import annotations

import json
from pathlib import Path

from intriguing_tf.experiments import paper
from intriguing_tf.reporting import Table

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "reproduction" / "results.json"


def main() -> None:
    """Prints the table."""
    measured = json.loads(RESULTS.read_text())["Table1"]["rows"]
    rows = []
    for row in measured:
        printed = paper.TABLE_1[row["model"]]
        train, test = (row[name]["value"] for name in ("train_error", "test_error"))
        distortion = row["distortion_of_correct"]["value"]
        rows.append(
            (
                row["model"],
                f"{100 * printed.train_error:.3g} %, **{100 * train:.2f} %**",
                f"{100 * printed.test_error:.3g} %, **{100 * test:.2f} %**",
                f"{printed.distortion:g}, **{distortion:.3f}**",
            )
        )
    quantities = ("train error", "test error", "distortion of the correctly classified")
    columns = ("model", *(f"{quantity}: paper, here" for quantity in quantities))
    print(Table("", columns, rows).markdown())


if __name__ == "__main__":
    main()
