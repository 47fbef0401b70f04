"""The report of the paper's MNIST experiments in docs/reproduction, and what it takes to make it.

    python benchmarks/reproduction.py

Runs `itf-reproduce` with 128 images, with 1 000, and with networks trained from two seeds beside
them, each in a process of its own that nothing was kept for; copies the last report to
docs/reproduction; prints how long each took.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import timed

from intriguing_tf.reporting import Table

REPORT = Path(__file__).resolve().parents[1] / "docs" / "reproduction"
KEPT = ("report.html", "report.md", "results.json", "figures")
COMMAND = str(Path(sys.executable).with_name("itf-reproduce"))


def main() -> None:
    """Makes the report and prints the durations."""
    with tempfile.TemporaryDirectory() as scratch:
        quick, full = (Path(scratch) / name for name in ("quick", "full"))
        rows = [
            ("`--quick`: 128 images per network and table", seconds(quick, "--quick")),
            ("1 000 images", seconds(full)),
            (
                "then `--training_seeds=1,2`, in the same folder",
                seconds(full, "--training_seeds=1,2"),
            ),
        ]
        for name in KEPT:
            copy(full / name, REPORT / name)
    print(Table("", ("`itf-reproduce`", "seconds"), rows).markdown())


def seconds(folder: Path, *flags: str) -> str:
    """Runs the command. Returns how long it took."""
    command = (COMMAND, f"--output={folder}", *flags)
    taken, _ = timed(lambda: subprocess.run(command, check=True, stdout=sys.stderr))
    return f"{taken:.0f}"


def copy(source: Path, target: Path) -> None:
    """Puts a file or folder in the place of an older one."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    main()
