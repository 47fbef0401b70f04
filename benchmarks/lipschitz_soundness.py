"""Tries to beat the Lipschitz bounds: thousands of random layers and hundreds of networks.

    python benchmarks/lipschitz_soundness.py [times]

Runs the properties of tests/test_lipschitz.py on fresh random examples, `times` (20) as
many as the tests do: each layer against the singular values of its own matrix, or against Jacobians
at random points; each network against the steepest pair of inputs that Adam finds. A violation
fails, shrunk to its simplest form.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = {
    "random linear layers against their own matrix": 120,
    "the same on the torus, however small": 100,
    "other layers, 4 Jacobians each": 80,
    "networks against Adam": 12,
}


def main() -> int:
    times = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    os.environ["LIPSCHITZ_EXAMPLES"] = str(times)
    for what, number in EXAMPLES.items():
        print(f"{round(number * times):6d} {what}")
    tests = ROOT / "tests" / "test_lipschitz.py"
    return int(pytest.main(["-q", "--durations=4", "-p", "no:warnings", str(tests)]))


if __name__ == "__main__":
    sys.exit(main())
