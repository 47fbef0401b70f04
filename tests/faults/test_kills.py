"""Jobs that are killed at random points lose nothing, leave nothing half-written, and finish.

FAULTS_KILLS is how many kills there are in all, of each job at least one.
"""

import itertools
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from tests.faults import jobs
from tests.seeds import seed

KILLS = int(os.environ.get("FAULTS_KILLS", 1))
SHARES = {"sweep": 0.5, "reproduce": 0.13, "publish": 0.12, "training": 0.25}
PATIENCE = 300  # seconds; a job that takes longer hangs


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(jobs.PRELOADED)
    return context


def started(processes, work, folder):
    """Starts a process that works, and returns it with the end of its pipe."""
    here, there = processes.Pipe(duplex=False)
    process = processes.Process(target=_run, args=(work, folder, there))
    process.start()
    there.close()
    assert here.poll(PATIENCE), "the process did not start"
    assert here.recv() == "started"
    return process, here


def _run(work, folder, pipe):
    pipe.send("started")
    work(folder)


def finish(processes, work, folder):
    """Runs a job to its end."""
    process, _ = started(processes, work, folder)
    process.join(PATIENCE)
    assert process.exitcode == 0, "the process failed or hangs"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(jobs.JOBS))
@pytest.mark.drawn(1)
def test_killed_at_random_points(processes, name, tmp_path):
    work, look = jobs.JOBS[name]
    generator = np.random.default_rng(seed())
    kills = max(1, round(KILLS * SHARES[name]))
    numbers = itertools.count()

    def new_folder():
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    undisturbed = new_folder()
    start = time.monotonic()
    finish(processes, work, undisturbed)
    duration = time.monotonic() - start
    reference = look(undisturbed)
    assert reference, "the job made nothing"

    folder, before, killed, at_work = new_folder(), {}, 0, 0
    while killed < kills:
        process, pipe = started(processes, work, folder)
        start = time.monotonic()
        process.join(generator.uniform(0, duration))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        ended = process.exitcode == 0  # perhaps a moment before the kill
        assert ended or process.exitcode == -signal.SIGKILL, "a restart after a kill failed"
        killed += not ended
        if ended and not before:  # a whole run, perhaps on a machine less busy than before
            duration = min(duration, time.monotonic() - start)
        pipe.close()
        after = look(folder)
        assert before.items() <= after.items(), "finished pieces were lost or changed"
        at_work += not ended and len(after) > len(before)
        before = after
        if len(after) == len(reference):  # all is done: the next kills fall on a new run
            assert after == reference
            folder, before = new_folder(), {}
    finish(processes, work, folder)
    assert look(folder) == reference
    print(
        f"\n{name}: {killed} kills within {duration:.1f} s, {at_work} of them after finished pieces"
    )
