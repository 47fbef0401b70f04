"""Jobs that are killed at random points lose nothing, leave nothing half-written, and finish.

FAULTS_KILLS is how many kills there are in all (8 by default); FAULTS_SEED where they fall.
"""

import itertools
import multiprocessing
import os
import signal
import time

import jobs  # beside this file
import numpy as np
import pytest

KILLS = int(os.environ.get("FAULTS_KILLS", 8))
SHARES = {"sweep": 0.5, "reproduce": 1 / 8, "publish": 1 / 8, "training": 1 / 4}
PATIENCE = 300  # seconds; a job that takes longer hangs


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(jobs.PRELOADED)
    return context


def started(processes, name, folder, step):
    """Starts a process that works or looks, and returns it with the end of its pipe."""
    here, there = processes.Pipe(duplex=False)
    process = processes.Process(target=_run, args=(name, folder, step, there))
    process.start()
    there.close()
    assert here.poll(PATIENCE), "the process did not start"
    assert here.recv() == "started"
    return process, here


def _run(name, folder, step, pipe):
    pipe.send("started")
    pipe.send(jobs.JOBS[name][step](folder))


def finished(processes, name, folder, step):
    """Runs a job to its end, or looks at its folder; returns what it gave."""
    process, pipe = started(processes, name, folder, step)
    assert pipe.poll(PATIENCE), "the process hangs"
    result = pipe.recv()  # EOFError if it failed
    process.join()
    assert process.exitcode == 0
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", jobs.JOBS)
def test_killed_at_random_points(processes, name, tmp_path):
    random = np.random.default_rng(int(os.environ.get("FAULTS_SEED", 0)))
    kills = max(1, round(KILLS * SHARES[name]))
    numbers = itertools.count()

    def new_folder():
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    undisturbed = new_folder()
    start = time.monotonic()
    finished(processes, name, undisturbed, 0)
    duration = time.monotonic() - start
    reference = finished(processes, name, undisturbed, 1)
    assert reference, "the job made nothing"

    folder, before, killed, at_work = new_folder(), {}, 0, 0
    while killed < kills:
        process, pipe = started(processes, name, folder, 0)
        process.join(random.uniform(0, duration))
        ended = process.exitcode is not None
        if not ended:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            assert process.exitcode == -signal.SIGKILL
            killed += 1
        else:
            assert process.exitcode == 0, "a restart after a kill failed"
        pipe.close()
        after = finished(processes, name, folder, 1)
        assert before.items() <= after.items(), "finished pieces were lost or changed"
        at_work += len(after) > len(before)
        before = after
        if len(after) == len(reference):  # all is done: the next kills fall on a new run
            assert after == reference
            folder, before = new_folder(), {}
    finished(processes, name, folder, 0)
    assert finished(processes, name, folder, 1) == reference
    print(f"\n{name}: {killed} kills within {duration:.1f} s, {at_work} of them after progress")
