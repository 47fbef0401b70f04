"""Long runs that must lose nothing: a very large sweep, and a cluster whose workers are killed.

    python benchmarks/endurance.py --part=sweep --images=200000 --output=endurance
    python benchmarks/endurance.py --part=ray --minutes=10 --every=60 --output=endurance

"sweep" attacks digits that a generator makes one slice at a time, in one call of `itf.sweep`, and
writes down the memory after each shard; it fails if memory grew by more than 5 % after the first
tenth of the shards. Stopped and started again it resumes; memory is compared within a run.

"ray" sweeps on two local worker processes, of which one is killed every so many seconds, until the
minutes are over; then undisturbed in this process. It fails if a shard is missing, or if classes or
distances differ by more than rounding explains. The number of images is chosen by the time that
they take here, so that the killing lasts as long as it should.

What succeeds leaves nothing in the output folder: results of 200 000 digits are some 2 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
import tensorflow as tf
from threadpoolctl import threadpool_limits

import intriguing_tf as itf
from intriguing_tf.reporting import Table
from intriguing_tf.sweeps import shards

SHARD = 256
GROWTH = 1.05  # of memory, that a sweep may have after its first tenth


def digits(number: int, shape: tuple[int, ...] = (28, 28, 1)) -> tf.data.Dataset:
    """The bundled digits over and over, each time with other noise; one slice at a time."""
    images, labels = itf.datasets.mnist_sample()

    def slices() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, number, len(images)):
            noise = np.random.default_rng(start).uniform(0, 0.02, images.shape)
            noisy = np.clip(images + noise, 0, 1).astype(np.float32)
            yield from zip(noisy[: number - start], labels[: number - start], strict=True)

    signature = tf.TensorSpec(shape, tf.float32), tf.TensorSpec((), tf.int64)
    made = tf.data.Dataset.from_generator(slices, output_signature=signature)
    return made.apply(tf.data.experimental.assert_cardinality(number))


def memory() -> float:
    """MiB of this process alone, without pages that are shared."""
    used = psutil.Process().memory_info()
    return (used.rss - used.shared) / 2**20


def large_sweep(flags: argparse.Namespace) -> list[Path]:
    """One sweep of many digits. Returns its folder, if its memory stayed constant."""
    folder = flags.output / "sweep"
    log = folder / "memory.jsonl"
    write, started, used = shards.ShardFolder.write, time.perf_counter(), []

    def noted(*arguments):
        path = write(*arguments)
        used.append(memory())
        with log.open("a") as file:
            seconds = round(time.perf_counter() - started, 1)
            file.write(json.dumps({"shard": path.name, "seconds": seconds, "MiB": used[-1]}) + "\n")
        return path

    shards.ShardFolder.write = noted
    done = itf.sweep(
        itf.zoo.load(flags.model),
        digits(flags.images),
        folder=folder,
        shard_size=SHARD,
        verbose=not flags.quiet,
    )
    seconds = time.perf_counter() - started
    if not used:
        print("Everything was there already.")
        return [folder] if done.missing == 0 else []
    tenth = max(used[: max(1, len(used) // 10)])
    constant = max(used) <= GROWTH * tenth
    rows = [
        ("images", flags.images),
        ("shards, in this run", len(used)),
        ("missing", done.missing),
        ("seconds, in this run", round(seconds)),
        ("images per second", round(SHARD * len(used) / seconds)),
        ("MiB at most in the first tenth", round(tenth)),
        ("MiB at most", round(max(used))),
        ("memory is constant", "yes" if constant else "NO"),
    ]
    show(Table(f"One sweep of {flags.images} digits, {flags.model}", ("", ""), rows), flags)
    return [folder] if constant and done.missing == 0 else []


def busy_workers() -> list[int]:
    """Process ids of Ray's workers that attack, all of them started from here."""
    busy = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may have ended by now
            if child.cmdline()[:1] == ["ray::Worker.attack"]:
                busy.append(child.pid)
    return busy


def kill_until(end: float, every: float, killed: list[float], stop: threading.Event) -> None:
    """Kills a worker every so many seconds."""
    while time.time() < end and not stop.wait(every):
        if pids := busy_workers():
            os.kill(pids[len(killed) % len(pids)], signal.SIGKILL)
            killed.append(time.time())


def killed_workers(flags: argparse.Namespace) -> list[Path]:
    """The same sweep on a cluster that loses workers, and here; their folders, if they agree."""
    model, settings = itf.zoo.load(flags.model), {"margin": {"jit_compile": False}}
    with threadpool_limits(1):
        warm, labels = (each[:SHARD] for each in itf.datasets.mnist_sample())
        adversary = itf.LBFGSAdversary(model, **settings["margin"])
        adversary(warm, labels, verbose=False)
        started = time.perf_counter()
        adversary(warm, labels, verbose=False)
        per_image = (time.perf_counter() - started) / SHARD
    # Two workers that start again and again are no faster than one that does not.
    number = flags.images or SHARD * max(2, int(60 * flags.minutes / per_image / SHARD))
    killed: list[float] = []
    stop = threading.Event()
    arguments = (time.time() + 60 * flags.minutes, flags.every, killed, stop)
    killer = threading.Thread(target=kill_until, args=arguments, daemon=True)
    killer.start()
    started = time.perf_counter()
    options = {"settings": settings, "shard_size": SHARD, "verbose": not flags.quiet}
    folders = [flags.output / f"{where}-{number}" for where in ("ray", "here")]
    spread = itf.sweep(model, digits(number), folder=folders[0], ray="local", workers=2, **options)
    seconds = time.perf_counter() - started
    stop.set()
    killer.join()
    here = itf.sweep(model, digits(number), folder=folders[1], **options)
    same, largest = compare(here, spread)
    rows = [
        ("images", number),
        ("seconds on two workers", round(seconds)),
        ("workers killed", len(killed)),
        ("missing shards", spread.missing),
        ("images with the same target and status as in one process", f"{same:.4%}"),
        ("largest difference of mean distances of a shard", f"{largest:.1e}"),
    ]
    show(Table("Workers that are killed", ("", ""), rows), flags)
    agree = spread.missing == 0 and same == 1 and largest < 1e-3
    return folders if agree and killed else []


def show(table: Table, flags: argparse.Namespace) -> None:
    """Prints a table, and writes it without what Ray prints between."""
    print(table.markdown())
    if flags.table:
        flags.table.write_text(table.markdown() + "\n")


def compare(here, spread) -> tuple[float, float]:
    """The share of images alike, and the largest relative difference of shards' mean distances."""
    alike, total, largest = 0, 0, 0.0
    for one, other in zip(here.shards(), spread.shards(), strict=True):
        a, b = one.result, other.result
        alike += int(((a.targets == b.targets) & (a.status == b.status)).sum())
        total += len(a.targets)
        found = a.status == "found"
        if found.any():
            largest = max(largest, abs(b.l2[found].mean() / a.l2[found].mean() - 1))
    return alike / total, float(largest)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["sweep", "ray"], required=True)
    parser.add_argument("--model", default="mnist/fc100-100-10", help="of the zoo")
    parser.add_argument("--images", type=int, help="by default 200 000, or what fills the minutes")
    parser.add_argument("--minutes", type=float, default=10.0, help="of killing, for ray")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between kills")
    parser.add_argument("--output", type=Path, default=Path("endurance"))
    parser.add_argument("--table", type=Path, help="file for the table, as Markdown")
    parser.add_argument("--quiet", action="store_true")
    flags = parser.parse_args()
    flags.output.mkdir(parents=True, exist_ok=True)
    flags.images = flags.images or (200_000 if flags.part == "sweep" else None)
    done = {"sweep": large_sweep, "ray": killed_workers}[flags.part](flags)
    for folder in done:  # and nothing else that is in the output folder
        shutil.rmtree(folder)
    with contextlib.suppress(OSError):
        flags.output.rmdir()
    return 0 if done else 1


if __name__ == "__main__":
    raise SystemExit(main())
