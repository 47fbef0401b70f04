"""Damaged files of every kind that comes from outside: read, or refused in the documented way.

FAULTS_FILES is how many of each kind (40 by default). They are read in a process of their own; what
ends it, takes more than ten seconds, 2 GiB or a multiple of the file's size, raises another error
than the documented one, or touches files outside its folder, is a fault.
"""

import collections
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import seeds

FILES = int(os.environ.get("FAULTS_FILES", 40))
PATIENCE = 100  # seconds on the clock for one file; the worker has ten of the processor
MEMORY = 100 << 20  # bytes for files of less than one megabyte, and Keras's own
ROOT = Path(__file__).parents[2]
KINDS = ("keras", "hdf5", "pth", "old pth", "caffemodel", "npz", "catalogue", "card")


class Worker:
    """A process that reads files from a number on, and what it says."""

    def __init__(self, kind: str, folder: Path, start: int):
        command = [sys.executable, "-m", "tests.faults.reader_worker", kind]
        command += map(str, (seeds.seed(), start, FILES))
        environment = dict(
            os.environ, PYTHONPATH=str(ROOT), TMPDIR=str(folder), TF_CPP_MIN_LOG_LEVEL="3",
            INTRIGUING_TF_OFFLINE="1", INTRIGUING_TF_CACHE=str(folder / "cache"),
        )  # fmt: skip
        environment.pop("INTRIGUING_TF_ZOO", None)
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""

    def line(self, seconds: float) -> dict | None:
        """Returns the next line, or None if the process ends or says nothing for too long."""
        end = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left < 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return None
            if not (more := self._process.stdout.read()):
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def end(self) -> str:
        """Kills the process; returns how it ended, or that it did not."""
        state = self._process.poll()
        self._process.kill()
        said = self._process.communicate()[1].decode(errors="replace")
        return "no end" if state is None else f"status {state}: {said[-500:]}"


def faults_of(kind: str, folder: Path) -> tuple[collections.Counter, list[str]]:
    """Returns outcomes and their numbers, and what was wrong."""
    outcomes, faults, start = collections.Counter(), [], 0
    while start < FILES:
        worker = Worker(kind, folder, start)
        try:
            ready = worker.line(120)
            assert ready, worker.end()
            for index in range(start, FILES):
                begun, done = worker.line(PATIENCE), worker.line(PATIENCE)
                start = index + 1
                if begun is None or done is None:
                    outcomes["ended"] += 1
                    faults.append(f"{kind} {index}: {worker.end()}")
                    break
                outcomes[done["outcome"]] += 1
                if done["outcome"] == "wrong" or done["found"] or done["memory"] > MEMORY:
                    faults.append(f"{kind} {index}: {done}")
        finally:
            worker.end()
    return outcomes, faults


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits are Unix's")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    outcomes, faults = faults_of(kind, tmp_path)
    print(f"{kind}: {FILES} damaged files, {dict(outcomes)}")
    assert not faults, "\n".join(faults[:10])
    assert outcomes["refused"] > 0.2 * FILES
