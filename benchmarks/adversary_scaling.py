"""How the adversary's time and memory grow with the number of images and with their size.

    python benchmarks/adversary_scaling.py

One thread; every row in a process of its own, whose peak memory is what the system reports. The
first column of times includes compiling, the second is a second call. Sizes use an untrained
convolutional network of two layers on random images.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

from absl import app, flags
from timing import timed

# Before TensorFlow is imported, which happens inside the functions.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FLAGS = flags.FLAGS
flags.DEFINE_list("numbers", ["16", "64", "256", "1024", "4096"], "digits on FC100-100-10")
flags.DEFINE_list("sizes", ["28", "56", "112", "224"], "sides of images with 3 channels")
flags.DEFINE_integer("images", 16, "images of each size")
flags.DEFINE_list("one", [], "internal: measure one 'number,side' and print it as JSON")


def main(_) -> None:
    if FLAGS.one:
        print(json.dumps(measure(*map(int, FLAGS.one))))
        return
    from intriguing_tf.reporting import Table

    columns = ("images", "size", "first, s", "again, s", "ms per image", "gradients", "peak MiB")
    rows = [in_a_process(int(number), 0) for number in FLAGS.numbers]
    print(Table("Digits on FC100-100-10", columns, rows, digits=3).markdown(), end="\n\n")
    rows = [in_a_process(FLAGS.images, int(side)) for side in FLAGS.sizes]
    title = "Images of growing size on a convolutional network"
    print(Table(title, columns, rows, digits=3).markdown())


def in_a_process(number: int, side: int) -> list:
    """Returns a row of the table, measured in a fresh process."""
    command = [sys.executable, __file__, f"--one={number},{side}"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def measure(number: int, side: int) -> list:
    """Attacks twice; `side` 0 means digits."""
    import numpy as np

    import intriguing_tf as itf

    if side:
        images = np.random.default_rng(0).uniform(size=(number, side, side, 3)).astype("float32")
        model, size = network(side), f"{side} x {side} x 3"
    else:
        digits, _ = itf.datasets.mnist_sample()
        images = np.concatenate([digits] * (number // len(digits) + 1))[:number]
        model, size = itf.zoo.load("mnist/fc100-100-10"), "28 x 28 x 1"
    adversary = itf.LBFGSAdversary(model, loss="margin")
    seconds = []
    for _ in range(2):
        once, result = timed(lambda: adversary(images, verbose=False))
        seconds.append(once)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    evaluations = float(result.nfev.mean())
    return [number, size, *seconds, 1000 * seconds[1] / number, evaluations, round(peak)]


def network(side: int):
    """An untrained network whose cost grows with the area of its images."""
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Conv2D(16, 5, strides=2, activation="tanh"),
            keras.layers.Conv2D(32, 3, strides=2, activation="tanh"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )


if __name__ == "__main__":
    app.run(main)
