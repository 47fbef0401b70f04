"""Local certified radii beside global ones, on networks of the zoo: how much larger, at what cost.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_local.py

Digits of the bundled sample that are certified at all; the first hundred are attacked too, towards
the nearest class from four starts: how far the distances found lie beyond the local radii.
"""

from __future__ import annotations

import time

import numpy as np

import intriguing_tf as itf
from intriguing_tf.reporting import Table

NETWORKS = {
    "mnist/fc100-100-10": 1000,
    "mnist/fc100-100-10-gradient": 100,
    "mnist/fc100-100-10-certified": 100,
}
ATTACKED = 100


def row(name: str, number: int) -> tuple:
    """Certifies some digits both ways."""
    model, images = itf.zoo.load(name), itf.datasets.mnist_sample()[0][:number]
    certifier = itf.lipschitz.Certifier(model, method="local")
    started = time.perf_counter()
    local = certifier.radius(images)
    seconds = (time.perf_counter() - started) / number
    whole = itf.lipschitz.Certifier(model).radius(images)
    there = whole > 0
    ratio = local[there] / whole[there]
    quantiles = np.quantile(ratio, (0.5, 0.1, 0.9))
    there = there[:ATTACKED]
    adversary = itf.LBFGSAdversary(model, starts=4)
    attacked = adversary(images[:ATTACKED], targets="nearest", verbose=False)
    beyond = attacked.l2[there] / local[:ATTACKED][there]
    return (
        name, number, np.median(whole), np.median(local), *quantiles, seconds, np.median(beyond),
        beyond.min(),
    )  # fmt: skip


def main() -> None:
    """Prints a row for each network."""
    rows = [row(name, number) for name, number in NETWORKS.items()]
    columns = (
        "entry", "images", "global, median", "local, median", "local / global, median", "10 %",
        "90 %", "s an image", "found / local, median", "least",
    )  # fmt: skip
    print(Table("", columns, rows, digits=3).markdown())


if __name__ == "__main__":
    main()
