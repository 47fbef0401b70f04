"""Manifests, shards and results that somebody changed: refused in words, or read as data.

FAULTS_FILES is how many files of each kind are changed (40 by default), each read in a process
limited to 2 GiB and 10 seconds.
"""

import collections
import multiprocessing
import os

import pytest

from tests.faults import tampering
from tests.seeds import seed

FILES = int(os.environ.get("FAULTS_FILES", 40))
PATIENCE = 20 * tampering.SECONDS  # on the clock, where other work takes the processor


@pytest.fixture(scope="module")
def processes():
    pytest.importorskip("resource", reason="limits are Unix's")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(tampering.PRELOADED)
    return context


def outcome(processes, name, number, good, folder):
    """What reading a damaged copy of a folder came to."""
    here, there = processes.Pipe(duplex=False)
    process = processes.Process(target=tampering.run, args=(name, number, good, folder, there))
    process.start()
    there.close()
    try:
        said = here.recv() if here.poll(PATIENCE) else "it hangs"
    except EOFError:
        said = "it crashed"
    process.join(1)
    process.kill()
    process.join()
    here.close()
    return said if process.exitcode == 0 or said == "it hangs" else f"{said}: {process.exitcode}"


@pytest.mark.slow
@pytest.mark.parametrize("name", tampering.KINDS)
def test_changed_files_are_read_as_data_or_refused_in_words(processes, name, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    tampering.KINDS[name].write(good)
    tampering.KINDS[name].read(good)
    first, counts = seed(), collections.Counter()
    for number in range(first, first + FILES):
        folder = tmp_path / str(number)
        said = outcome(processes, name, number, good, folder)
        assert said in ("read", "refused"), f"{name} {number}: {said}"
        counts[said] += 1
        if folder.exists():
            tampering.shutil.rmtree(folder)
    assert counts["refused"] > FILES / 4  # the damage is damage
    print(f"\n{name}: {counts['refused']} of {FILES} refused, {counts['read']} read as data")
