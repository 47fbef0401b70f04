"""What the documents say of the adversary besides its distances beside those of other attacks.

    python benchmarks/adversary_claims.py --parts=levels,exact,cost,flat,memory,first

One thread; each part prints one table. Part "levels": examples on 256 levels, written as PNGs and
read back with Pillow. "exact": distances beside the least one inside the linear piece of a network
where the search ended, a quadratic programme; softmax regression is one such piece. "cost": CPU
seconds beside those of the evaluations alone. "flat": networks whose gradient vanishes at images.
"memory": what adversaries that were made, used and dropped leave behind. "first": the first call in
a fresh process.
Networks that are trained need MNIST; photographs need the folder IMAGENET_IMAGES.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before TensorFlow is imported, which happens inside the functions.
for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.adversary_networks import PHOTOGRAPHS, case  # noqa: E402

RELU = "fc100-100-10-lipschitz"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--one", default="", help="internal: the first call on this network")
    flags = parser.parse_args(arguments)
    if flags.one:
        print(json.dumps(first_call(flags.one)))
        return
    for part in flags.parts.split(","):
        print(PARTS[part]().markdown(), end="\n\n", flush=True)


def networks(*digits: str) -> list[str]:
    """The networks named, and the photographs' where there are any."""
    return [*digits, *([PHOTOGRAPHS[0]] if os.environ.get("IMAGENET_IMAGES") else [])]


def case_of(name: str):
    return case(name, ROOT / "evidence" / "networks")


def levels():
    """Distances on 256 levels, from the image rounded to them, beside those of floats."""
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.reporting import Table

    rows = []
    for name in networks("fc100-100-10", RELU, "conv"):
        there = case_of(name)
        rounded = np.rint(there.images * 255) / np.float32(255)
        found = []
        for number in (None, 256):
            adversary = itf.LBFGSAdversary(there.model, levels=number)
            found.append(adversary(there.images, there.labels, there.targets, verbose=False))
        floats, pixels = found
        change = (pixels.images - rounded).reshape(len(rounded), -1).astype(np.float64)
        distance = np.linalg.norm(change, axis=1)[pixels.success]
        ratio = distance.mean() / floats.l2[pixels.success].mean()
        rows.append(
            (name, len(rounded), floats.l2.mean(), distance.mean(), ratio, pixels.success.mean(),
             survivors(pixels) / len(rounded))
        )  # fmt: skip
    columns = ("network", "images", "l2", "on 256 levels, from the rounded image", "ratio",
               "found", "adversarial as PNG")  # fmt: skip
    return Table("Pixels of 8 bits, random targets", columns, rows, digits=4)


def survivors(result) -> int:
    """How many examples are classified as their targets when their PNGs are read with Pillow."""
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        saved = result.save_images(folder)
        read = [np.asarray(Image.open(file), np.float32) / 255 for file in saved.files]
    images = np.reshape(read, (len(read), *result.images.shape[1:]))
    classes = result.classifier.model.predict(images, verbose=0).argmax(axis=1)
    return int((classes == result.targets[saved.rows]).sum())


def exact():
    """Distances beside the least inside the linear piece where each search ended."""
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.reporting import Table

    rows = []
    for name, starts in (("fc10-1e-4", 1), (RELU, 1), (RELU, 5)):
        there = case_of(name)
        adversary = itf.LBFGSAdversary(there.model, starts=starts)
        some = (array[:16] for array in there[1:])  # a programme takes seconds
        result = adversary(*some, verbose=False)
        least = [
            least_in_piece(there.model, *row)
            for row in zip(result.originals, result.images, result.targets, strict=True)
        ]
        ratio = result.l2 / least
        rows.append(
            (name, starts, len(ratio), np.median(ratio), np.quantile(ratio, 0.9), ratio.max())
        )
    columns = ("network", "starts", "digits", "median", "nine of ten below", "largest")
    return Table("Distance found / least inside the final linear piece", columns, rows, digits=6)


def least_in_piece(model, image, point, target) -> float:
    """The least distance to where the target wins, among points that activate the same ReLUs."""
    import clarabel
    import keras
    import numpy as np
    from scipy import sparse

    weights = [
        tuple(np.asarray(w, np.float64) for w in layer.get_weights())
        for layer in model.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    x = image.ravel().astype(np.float64)
    change = point.ravel().astype(np.float64) - x
    # Units are slope r + offset for changes r, as long as their signs are those at the point.
    slope, offset = np.eye(len(x)), x
    rows, limits = [], []
    for kernel, bias in weights[:-1]:
        slope, offset = kernel.T @ slope, offset @ kernel + bias
        active = slope @ change + offset > 0
        sign = np.where(active, -1.0, 1.0)
        rows.append(sign[:, None] * slope)
        limits.append(-sign * offset)
        slope, offset = active[:, None] * slope, active * offset
    kernel, bias = weights[-1]
    slope, offset = kernel.T @ slope, offset @ kernel + bias
    others = np.arange(len(offset)) != target
    rows.append(slope[others] - slope[target])
    limits.append(offset[target] - offset[others])
    identity = sparse.identity(len(x), format="csc")
    limit = np.concatenate([*limits, 1 - x, x])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    solution = clarabel.DefaultSolver(
        2 * identity, np.zeros(len(x)),
        sparse.vstack([sparse.csc_matrix(np.concatenate(rows)), identity, -identity]).tocsc(),
        limit, [clarabel.NonnegativeConeT(len(limit))], settings,
    ).solve()  # fmt: skip
    assert str(solution.status) == "Solved", solution.status
    return float(np.linalg.norm(solution.x))


def cost():
    """CPU seconds of the attack beside those of as many evaluations of the whole batch."""
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.reporting import Table

    rows = []
    sizes = {"fc100-100-10": (64, 1000), RELU: (64, 1000), "conv": (32,), PHOTOGRAPHS[0]: (8,)}
    for name in networks("fc100-100-10", RELU, "conv"):
        there = case_of(name)
        for number in sizes[name]:
            some = np.arange(number) % len(there.images)
            images, labels, targets = (array[some] for array in there[1:])
            adversary = itf.LBFGSAdversary(there.model)
            few = slice(8 if name in PHOTOGRAPHS else 64)  # traces all that a search may come to
            adversary(images[few], labels[few], targets[few], verbose=False)
            seconds, result = cpu(lambda: adversary(images, labels, targets, verbose=False))  # noqa: B023
            problem = adversary._solver(images.shape[1:]).problem
            flat = images.reshape(number, -1)
            problem.evaluate_margin(flat, targets)
            repeats = 100 if name not in PHOTOGRAPHS else 3
            bare = cpu(
                lambda: [problem.evaluate_margin(flat, targets) for _ in range(repeats)]  # noqa: B023
            )[0] / repeats  # fmt: skip
            evaluations = result.nfev.mean()
            rows.append(
                (name, number, evaluations, seconds, 1e3 * bare, seconds / (evaluations * bare))
            )
    columns = ("network", "images", "evaluations", "CPU seconds", "of one evaluation, ms", "ratio")
    return Table("CPU seconds over (evaluations × those of one)", columns, rows, digits=3)


def cpu(run):
    """CPU seconds of a run, and what it returned."""
    started = time.process_time()
    result = run()
    return time.process_time() - started, result


def flat():
    """Networks whose gradient vanishes at many images."""
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.adversary.problem import Problem
    from intriguing_tf.classifier import Classifier
    from intriguing_tf.reporting import Table

    rows = []
    for kind in ("random", "nearest"):
        there = case_of("relu6-logits")
        problem = Problem(Classifier(there.model), there.images.shape[1:])
        at_image = problem.evaluate_margin(
            there.images.reshape(len(there.images), -1), there.targets
        )
        flats = (np.abs(at_image.gradient.numpy()).max(axis=1) == 0).mean()
        targets = there.targets if kind == "random" else "nearest"
        result = itf.LBFGSAdversary(there.model)(there.images, there.labels, targets, verbose=False)
        rows.append(
            ("relu6-logits", kind, len(result), flats, result.success.mean(),
             result.l2[result.success].mean(), result.nfev.mean())
        )  # fmt: skip
    columns = ("network", "targets", "digits", "without a gradient", "found", "l2", "evaluations")
    return Table("Where the gradient vanishes", columns, rows, digits=4)


def memory(made: int = 200):
    """What adversaries leave behind that were made, used once, and dropped."""
    import psutil

    import intriguing_tf as itf
    from intriguing_tf.reporting import Table

    there = case_of("fc100-100-10")
    process, used = psutil.Process(), []
    for _ in range(made + 5):
        itf.LBFGSAdversary(there.model)(there.images[:2], there.labels[:2], verbose=False)
        gc.collect()
        used.append(process.memory_info().rss / 2**20)
    rows = [("fc100-100-10", made, used[4], used[-1], used[-1] - used[4])]
    columns = ("network", "adversaries", "MiB after five", "MiB after all", "grown by, MiB")
    return Table("Memory of adversaries that were dropped", columns, rows, digits=4)


def first():
    """The first call on one image in a fresh process, beyond importing and loading."""
    from intriguing_tf.reporting import Table

    rows = []
    for name in ("fc100-100-10", RELU, "conv"):
        command = [sys.executable, __file__, f"--one={name}"]
        runs = [
            json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            for _ in range(3)
        ]
        rows.append((name, *min(runs, key=lambda run: run[1])))
    columns = ("network", "seconds", "CPU seconds", "the second call, s", "evaluations")
    return Table("The first call on one image, least of three", columns, rows, digits=3)


def first_call(name: str) -> list[float]:
    """Seconds, CPU seconds, and seconds of the second call."""
    import tensorflow as tf

    import intriguing_tf as itf
    import intriguing_tf.adversary.attack  # imported where it is used

    model = itf.zoo.load(f"mnist/{name}")
    images, labels = (array[:1] for array in itf.datasets.mnist_sample())
    tf.reduce_sum(tf.constant(1.0))  # TensorFlow's own start
    started, began = time.perf_counter(), time.process_time()
    adversary = itf.LBFGSAdversary(model)
    result = adversary(images, labels, verbose=False)
    seconds, spent = time.perf_counter() - started, time.process_time() - began
    again = time.perf_counter()
    adversary(images, labels, verbose=False)
    return [seconds, spent, time.perf_counter() - again, float(result.nfev.mean())]


PARTS = {
    "levels": levels, "exact": exact, "cost": cost, "flat": flat, "memory": memory, "first": first,
}  # fmt: skip

if __name__ == "__main__":
    main(sys.argv[1:])
