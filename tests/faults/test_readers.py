"""Damaged files of every kind that comes from outside: read, or refused in the documented way.

FAULTS_FILES is how many of each kind (10 by default). They are read in a process of their own; what
ends it, takes more than ten seconds, 2 GiB or a multiple of the file's size, raises another error
than the documented one, or touches files outside its folder, is a fault.
"""

import collections
import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import seeds

FILES = int(os.environ.get("FAULTS_FILES", 10))
STARTING = 600  # seconds on the clock, on a machine that is busy with other things
PATIENCE = 100  # seconds on the clock for one file; the worker has ten of the processor
MEMORY = 100 << 20  # bytes for files of less than one megabyte, and Keras's own
ROOT = Path(__file__).parents[2]
KINDS = (
    "keras", "hdf5", "pth", "old pth", "caffemodel", "npz", "catalogue", "card", "manifest",
    "shard", "result",
)  # fmt: skip


class Worker:
    """The process that reads files, kind after kind; after its end there is a new one."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._process: subprocess.Popen | None = None
        self._rest = b""

    def read(self, kind: str, start: int) -> None:
        """Has it read a kind's files from a number on."""
        if self._process is None:
            self._start()
        job = json.dumps([kind, seeds.seed(), start, FILES])
        self._process.stdin.write(f"{job}\n".encode())
        self._process.stdin.flush()
        assert self.line(STARTING), f"{kind}: whole files are not read: {self.end()}"

    def _start(self) -> None:
        environment = dict(
            os.environ, PYTHONPATH=str(ROOT), TMPDIR=str(self._folder), TF_CPP_MIN_LOG_LEVEL="3",
            INTRIGUING_TF_OFFLINE="1", INTRIGUING_TF_CACHE=str(self._folder / "cache"),
        )  # fmt: skip
        environment.pop("INTRIGUING_TF_ZOO", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.reader_worker"], cwd=self._folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(self._folder / "log").open("wb"),
        )  # fmt: skip
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
        if self._process is None:
            return "not begun"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # one that said its last word is about to end
        state = self._process.returncode
        self._process.kill()
        self._process.communicate()
        self._process = None
        said = (self._folder / "log").read_text(errors="replace")
        return f"{'no end' if state is None else f'status {state}'}: {said[-500:]}"


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    pytest.importorskip("resource", reason="limits are Unix's")
    worker = Worker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.end()


def faults_of(worker: Worker, kind: str) -> tuple[collections.Counter, list[str]]:
    """Returns outcomes and their numbers, and what was wrong."""
    outcomes, faults, start = collections.Counter(), [], 0
    while start < FILES:
        worker.read(kind, start)
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
    return outcomes, faults


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.drawn(5)
def test_damaged_files_are_read_or_refused(worker, kind):
    outcomes, faults = faults_of(worker, kind)
    print(f"{kind}: {FILES} damaged files, {dict(outcomes)}")
    assert not faults, "\n".join(faults[:10])
    # About half of the damage matters. A fifth is asked for, less two deviations of so few files:
    # of ten files two are refused by chance in one run of twenty.
    assert outcomes["refused"] > max(0.0, 0.2 * FILES - 2 * math.sqrt(0.16 * FILES))
