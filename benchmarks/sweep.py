"""What sharding and Ray cost, and how a sweep grows with the number of images.

    python benchmarks/sweep.py --part=overhead   # shards against one call of the adversary
    python benchmarks/sweep.py --part=growth     # time and memory, 100 to 10 000 images
    python benchmarks/sweep.py --part=ray        # two worker processes against this one
    python benchmarks/sweep.py --part=simulation # machines that are lost (docs/scaling.md)

Ratios within one run. Compilation is left out where it says "warm".
"""

from __future__ import annotations

import heapq
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from intriguing_tf.reporting import Table

PARTS = ("overhead", "growth", "ray", "simulation")
flags.DEFINE_multi_enum("part", ["overhead"], PARTS, "what to measure")
flags.DEFINE_string("model", "mnist/fc10-1e-4", "of the zoo")
flags.DEFINE_integer("images", 2048, "for overhead and ray")
flags.DEFINE_list("numbers", ["100", "1000", "10000"], "of images, for growth")
flags.DEFINE_integer("grown", None, "internal: one measurement of growth, in a process of its own")


def digits(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The bundled digits, repeated with a little noise, so that no two images are the same."""
    import intriguing_tf as itf

    images, labels = itf.datasets.mnist_sample()
    rows = np.arange(number) % len(images)
    noise = np.random.default_rng(0).uniform(0, 0.02, (number, *images.shape[1:]))
    return np.clip(images[rows] + noise, 0, 1).astype(np.float32), labels[rows]


def overhead() -> Table:
    """Time outside of the adversary while a sweep runs, as a share of the whole."""
    import intriguing_tf as itf
    from intriguing_tf.adversary import LBFGSAdversary

    model = itf.zoo.load(flags.FLAGS.model)
    images, labels = digits(flags.FLAGS.images)
    spent = []
    attack = LBFGSAdversary.__call__

    def timed(self, *arguments, **keywords):
        start = time.perf_counter()
        result = attack(self, *arguments, **keywords)
        spent.append(time.perf_counter() - start)
        return result

    LBFGSAdversary.__call__ = timed
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        itf.sweep(model, images, labels, folder=folder + "/sweep", verbose=False)
        total = time.perf_counter() - start
        start = time.perf_counter()
        itf.sweep(model, images, labels, folder=folder + "/sweep", verbose=False)
        again = time.perf_counter() - start
    LBFGSAdversary.__call__ = attack
    rest = total - sum(spent)
    warm = rest / (rest + sum(spent[1:]) * len(spent) / (len(spent) - 1))
    rows = [
        ("images", str(len(images))),
        ("shards", str(len(spent))),
        ("seconds in all", f"{total:.2f}"),
        ("seconds outside of the adversary", f"{rest:.3f}"),
        ("overhead, compilation included", f"{rest / total:.2%}"),
        ("overhead, warm", f"{warm:.2%}"),
        ("milliseconds per image, warm", f"{1e3 * np.mean(spent[1:]) / 256:.2f}"),
        ("checking a finished sweep, seconds", f"{again:.3f}"),
    ]
    return Table(f"Sharding, {flags.FLAGS.model}", ("", ""), rows)


def grown(number: int) -> None:
    """Sweeps images that are read from disk; prints seconds after the first shard, and memory."""
    import psutil

    import intriguing_tf as itf
    from intriguing_tf.sweeps import shards

    model = itf.zoo.load(flags.FLAGS.model)
    with tempfile.TemporaryDirectory() as folder:
        images, labels = digits(number)
        np.save(folder + "/images.npy", images)
        del images
        times, memory, process = [], [], psutil.Process()
        write = shards.ShardFolder.write

        def timed(*arguments):
            path = write(*arguments)
            times.append(time.perf_counter())
            used = process.memory_info()
            memory.append((used.rss - used.shared) / 2**20)
            return path

        shards.ShardFolder.write = timed
        mapped = np.load(folder + "/images.npy", mmap_mode="r")
        itf.sweep(model, mapped, labels, folder=folder + "/sweep", shard_size=64, verbose=False)
    print(number, len(times), times[-1] - times[0], memory[min(1, len(memory) - 1)], max(memory))


def growth() -> Table:
    """Each number of images in a process of its own."""
    rows = []
    for number in flags.FLAGS.numbers:
        command = [sys.executable, __file__, f"--grown={number}", f"--model={flags.FLAGS.model}"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        images, shards, seconds, early, peak = map(float, text.split())
        per_image = seconds / (images - 64)
        memory = f"{early:.0f}", f"{peak:.0f}"
        rows.append((int(images), int(shards), seconds, 1e3 * per_image, *memory))
    columns = (
        "images", "shards", "s after the first shard", "ms per image", "MiB after two",
        "MiB at most",
    )  # fmt: skip
    note = "64 images to a shard, from a memory-mapped file; memory without shared pages"
    return Table("Growth", columns, rows, [note])


def on_ray() -> Table:
    """The same sweep here and on two workers, from the first finished shard to the last."""
    import intriguing_tf as itf
    from intriguing_tf.sweeps import shards

    model = itf.zoo.load(flags.FLAGS.model)
    images, labels = digits(flags.FLAGS.images)
    write, rates = shards.ShardFolder.write, {}
    rows = []
    for where, arguments in (("in-process", {}), ("Ray", {"ray": "local", "workers": 2})):
        times: list[float] = []

        def timed(*values, times=times):
            path = write(*values)
            times.append(time.perf_counter())
            return path

        shards.ShardFolder.write = timed
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            itf.sweep(model, images, labels, folder=folder + "/s", verbose=False, **arguments)
            total = time.perf_counter() - start
        first = 2 if arguments else 1  # each worker compiles for its first shard
        rates[where] = 256 * (len(times) - first) / (times[-1] - times[first - 1])
        rows.append((where, total, rates[where], f"{rates[where] / rates['in-process']:.2f}"))
    shards.ShardFolder.write = write
    columns = ("", "seconds in all", "images per second, warm", "ratio")
    return Table(f"Ray, 2 workers on {os.cpu_count()} CPUs", columns, rows)


def simulate(
    shards: int, seconds: float, machines: int, lifetime: float, restart: float, seed: int = 0
) -> tuple[float, float, int]:
    """Simulates shards on machines that are lost at random and come back.

    Args:
        shards: how many.
        seconds: that one takes.
        machines: at work at a time.
        lifetime: mean seconds until a machine is lost (exponentially distributed).
        restart: seconds until a machine that was lost works again, models loaded and compiled.
        seed: of the losses.

    Returns:
        Seconds until the last shard is there, share of the machines' time that was lost, losses.
    """
    random = np.random.default_rng(seed)
    queue = [(restart, machine) for machine in range(machines)]  # when each is idle
    dies = restart + random.exponential(lifetime, machines)
    left, losses, lost, end = shards, 0, restart * machines, 0.0
    heapq.heapify(queue)
    while left:
        now, machine = heapq.heappop(queue)
        if now + seconds <= dies[machine]:
            left -= 1
            end = max(end, now + seconds)
            heapq.heappush(queue, (now + seconds, machine))
            continue
        back = dies[machine] + restart  # its shard goes back to the queue
        losses += 1
        lost += back - now
        dies[machine] = back + random.exponential(lifetime)
        heapq.heappush(queue, (back, machine))
    return end, lost / (lost + shards * seconds), losses


def simulation() -> Table:
    """Loss of time by size of shard and lifetime of machines, at one second per image."""
    rows = []
    for size in (32, 256, 2048):
        for hours in (1, 24):
            shards = 5 * -(-50_000 // size)
            end, lost, losses = simulate(shards, float(size), 16, 3600.0 * hours, 120.0)
            ideal = 5 * 50_000 / 16
            rows.append((size, hours, shards, losses, f"{end / ideal:.3f}", f"{lost:.1%}"))
    columns = ("shard", "mean life, h", "shards", "losses", "time / ideal", "lost")
    note = "250 000 images at 1 s each on 16 machines; 2 minutes until a lost one works again"
    return Table("Machines that are lost", columns, rows, [note])


def main(_: list[str]) -> None:
    if flags.FLAGS.grown:
        grown(flags.FLAGS.grown)
        return
    measures = {"overhead": overhead, "growth": growth, "ray": on_ray, "simulation": simulation}
    for part in flags.FLAGS.part:
        print(f"{measures[part]().markdown()}\n", flush=True)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    app.run(main)
