"""Kills, bad inputs and damaged files (`make faults`), and what came of them.

    python benchmarks/faults.py --kills=100 --inputs=1000 --files=2000    # an hour and more
    python benchmarks/faults.py --kills=4 --inputs=10 --files=20          # minutes

Prints what the tests of tests/faults say about their work, and their last line. Ends with the
status of the tests.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNLIMITED = ["--timeout=0", "-o", "faulthandler_timeout=0"]  # a test is a share of an hour
TOLD = re.compile(r"^.*(\d+ kills within|: \d+ damaged|\d+ (passed|failed|error)).*$")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("kills", 100), ("inputs", 1000), ("files", 2000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    flags = parser.parse_args()
    numbers = {f"FAULTS_{name.upper()}": str(number) for name, number in vars(flags).items()}
    numbers["TEST_ALL"] = "1"
    command = [sys.executable, "-m", "pytest", "-s", "-q", *UNLIMITED, "tests/faults"]
    tests = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | numbers, stdout=subprocess.PIPE, text=True
    )
    told = []
    for line in tests.stdout or ():
        sys.stderr.write(line)
        if TOLD.match(line):
            told.append(line.strip(".= \n"))
    print("```", *told, "```", sep="\n")
    return tests.wait()


if __name__ == "__main__":
    sys.exit(main())
