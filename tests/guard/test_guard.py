"""The code still gives what it gave when `record.py` recorded it.

Within rounding; with GUARD_BITS=1, on the machine that recorded, to the bit: from another
environment the same program may get other places in memory, and sums another order. `make test`
compares the quick parts, `make guard` (GUARD=all) all of them, GUARD=sweep,training these.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import os
import pathlib
import subprocess
import sys
import warnings
from typing import Any

import pytest

from tests.guard import record

RECORDED = record.FOLDER
WHOLE = [part for part in record.PARTS if part != "names"]  # names may be added
CHOSEN = os.environ.get("GUARD") or ",".join(record.QUICK)
PARTS = WHOLE if CHOSEN == "all" else CHOSEN.split(",")
Rounding = dict[str, tuple[float, float]]
# Elsewhere: the relative difference of a number, and how many of a case's rows may exceed it.
# Another order of sums can send the search to another minimum, but seldom.
ROUNDING: Rounding = {
    "status": (0, 0.04),
    "predictions": (0, 0.04),
    "original_predictions": (0, 0.04),
    "targets": (0, 0.04),
    "l2": (1e-3, 0.05),
    "layer": (0, 0),
    "how": (0, 0),
    "bound": (1e-9, 0),
    "attained": (1e-6, 0),
    "product": (1e-9, 0),
    "total": (1e-5, 0),
    "radius": (1e-3, 0),
    "loss": (1e-3, 0),
    "norm": (1e-3, 0),
}
# SciPy ends a search for a c where the loss hardly falls: rounding decides where that is.
OF_SCIPY = ROUNDING | {"l2": (0.05, 0.05)}


@pytest.mark.slow
@pytest.mark.processor
@pytest.mark.parametrize("part", PARTS)
def test_results_are_those_recorded(part, tmp_path):
    # From a process of its own: its threads are one whatever runs here.
    subprocess.run([sys.executable, "-W", "ignore", record.__file__, tmp_path, part], check=True)
    now, then = read(tmp_path, part), read(RECORDED, part)
    assert now.keys() == then.keys()
    same_machine = read(tmp_path, "machine") == read(RECORDED, "machine")
    to_the_bit = same_machine and os.environ.get("GUARD_BITS") == "1"
    within = functools.partial(equal_within, OF_SCIPY if part.startswith("scipy-") else ROUNDING)
    agree = equal_to_the_bit if to_the_bit else within
    differences = [
        f"{case}, {field}: {now[case].get(field)!r} instead of {recorded!r}"[:400]
        for case, fields in then.items()
        for field, recorded in fields.items()
        if not agree(field, now[case].get(field), recorded)
    ]
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("package", json.loads((RECORDED / "names.json").read_text()))
def test_public_names_are_still_there(package):
    module = importlib.import_module(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        missing = [
            name for name in read(RECORDED, "names")[package]["names"] if not hasattr(module, name)
        ]
    assert not missing


def read(folder: pathlib.Path, part: str) -> dict[str, Any]:
    return json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))


def equal_to_the_bit(field: str, now: Any, recorded: Any) -> bool:
    """JSON tells apart all float64, and NaN is NaN."""
    return json.dumps(now) == json.dumps(recorded)


def equal_within(rounding: Rounding, field: str, now: Any, recorded: Any) -> bool:
    """As `rounding` says; other fields (hashes, counts, c) are not compared."""
    if field not in rounding:
        return True
    now, recorded = (x if isinstance(x, list) else [x] for x in (now, recorded))
    tolerance, share = rounding[field]
    differing = sum(not near(a, b, tolerance) for a, b in zip(now, recorded, strict=False))
    return len(now) == len(recorded) and differing <= share * len(recorded)


def near(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=tolerance) or (math.isnan(a) and math.isnan(b))
    return a == b
