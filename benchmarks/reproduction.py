"""The report of the paper's MNIST experiments in docs/reproduction, and what of the paper holds.

    python benchmarks/reproduction.py

Runs `itf-reproduce` with 1 000 images, and with networks trained from two seeds for the spread;
copies its report to docs/reproduction; prints the report's table of the paper's claims.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPORT = Path(__file__).resolve().parents[1] / "docs" / "reproduction"
KEPT = ("report.html", "report.md", "results.json", "figures")
COMMAND = str(Path(sys.executable).with_name("itf-reproduce"))
CLAIMS = re.compile(r"^\| the paper's claim(?:.*\n\|)*.*", re.MULTILINE)


def main() -> None:
    """Makes the report and prints the claims."""
    with tempfile.TemporaryDirectory() as folder:
        command = (COMMAND, f"--output={folder}", "--training_seeds=1,2")
        subprocess.run(command, check=True, stdout=sys.stderr)
        for name in KEPT:
            copy(Path(folder) / name, REPORT / name)
    claims = CLAIMS.search((REPORT / "report.md").read_text())
    print(claims[0])


def copy(source: Path, target: Path) -> None:
    """Puts a file or folder in the place of an older one."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    main()
