"""Full disks, read-only folders and clocks that jump: clear errors, nothing lost."""

import errno
import os
import subprocess
import time

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.sweeps import Sweep

SETTINGS = {"fast": {"solver": "scipy", "maxfun": 10, "jit_compile": False}}


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(3)], name="m")
    model.set_weights([random.normal(size=(1000, 3)), random.normal(size=3)])
    return model


def run(model, folder):
    images = np.random.default_rng(0).uniform(size=(12, 1000)).astype(np.float32)
    return itf.sweep(model, images, folder=folder, settings=SETTINGS, shard_size=4)


@pytest.fixture
def disk(tmp_path):
    """A file system of 100 kB, which can be filled, grown and made read-only."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_a_sweep_and_keeps_what_was_finished(model, disk):
    with pytest.raises(OSError) as error:
        run(model, disk / "sweep")
    assert error.value.errno == errno.ENOSPC
    partial = Sweep(disk / "sweep")
    assert 0 < partial.missing < 3
    assert len(list(partial.shards())) == 3 - partial.missing  # each of them whole
    assert not list((disk / "sweep" / "shards").glob("*/.*"))
    remount(disk, "size=10m")
    assert run(model, disk / "sweep").missing == 0


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_result_or_table(model, disk):
    result = itf.LBFGSAdversary(model, **SETTINGS["fast"])(
        np.random.default_rng(0).uniform(size=(16, 1000)).astype(np.float32)
    )
    with pytest.raises(OSError, match="No space"):
        result.save(disk / "result")
    assert not list(disk.glob("*.npz")) and not list(disk.glob(".*"))


@pytest.mark.slow
def test_a_read_only_folder_is_refused_and_can_still_be_read(model, disk):
    remount(disk, "size=10m")
    done = run(model, disk / "sweep")
    remount(disk, "ro")
    with pytest.raises(PermissionError, match="may not be written to"):
        run(model, disk / "another")
    assert Sweep(disk / "sweep").result().success.all() == done.result().success.all()
    with pytest.raises(OSError):
        done.write_table(disk / "table.csv")
    remount(disk, "rw")


def test_a_folder_below_a_file_is_refused(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        run(model, tmp_path / "file" / "sweep")


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-(10**9), 10**9])
def test_a_clock_that_jumps_changes_nothing(model, tmp_path, monkeypatch, jump):
    first = run(model, tmp_path)
    for file in tmp_path.rglob("*"):
        os.utime(file, (time.time() + jump, time.time() + jump))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    again = run(model, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")} == before
    np.testing.assert_array_equal(again.result().images, first.result().images)
