"""The adversary's solvers against SciPy: lockstep, and compiled minimizers at fixed c.

    python benchmarks/adversary_solvers.py

One thread. Part "lockstep": 64 digits on FC100-100-10 with the whole search over c, all runs of
SciPy's L-BFGS-B in lockstep against one image after another. Part "fixed c": the compiled
`minimize` against SciPy one image after another, at the same c, and how far the objectives differ.
Part "zoo": the mean distortion of both solvers with both losses on every MNIST network of the zoo.
Part "nearest": what it costs in distance, and saves, to search only some classes to their ends.
Part "bundle": what the end of the search as a bundle method brings.
"""

from __future__ import annotations

import os
import sys

from absl import app, flags
from timing import timed

# Before TensorFlow is imported, which happens inside the functions.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NEVER = 1e9  # of a constant: larger than anything that it is compared with
FLAGS = flags.FLAGS
flags.DEFINE_list(
    "parts", ["lockstep", "fixed c", "zoo", "nearest", "bundle"], "which parts to run"
)
flags.DEFINE_integer("conv_images", 32, "images on Conv, where the gradient itself is dear")
flags.DEFINE_integer("zoo_images", 32, "images on each network of the zoo")
flags.DEFINE_integer("dense_images", 256, "images on FC100-100-10 at fixed c")


def main(_) -> None:
    if "lockstep" in FLAGS.parts:
        print(lockstep().markdown(), end="\n\n")
    if "fixed c" in FLAGS.parts:
        print(fixed_c().markdown(), end="\n\n")
    if "zoo" in FLAGS.parts:
        print(zoo().markdown(), end="\n\n")
    if "nearest" in FLAGS.parts:
        print(nearest().markdown(), end="\n\n")
    if "bundle" in FLAGS.parts:
        print(bundle().markdown())


def networks():
    """Returns names of networks and how many digits to attack: smooth, ReLU, and convolutional."""
    dense = [("mnist/fc100-100-10", 64), ("mnist/fc100-100-10-lipschitz", 64)]
    return [*dense, ("mnist/conv", FLAGS.conv_images)]


def problem_of(name: str, number: int):
    """Returns the problem with its digits, their random targets and logits, flat and in float32."""
    import intriguing_tf as itf
    from intriguing_tf.adversary.problem import Problem
    from intriguing_tf.adversary.targets import choose_targets
    from intriguing_tf.classifier import Classifier

    classifier = Classifier(itf.zoo.load(name))
    images, labels = itf.datasets.mnist_sample()
    logits = classifier.predict_logits(images)
    right = logits.argmax(1) == labels
    images, labels, logits = (array[right][:number] for array in (images, labels, logits))
    targets = choose_targets("random", logits, labels, seed=0)
    return Problem(classifier, (28, 28, 1)), images.reshape(number, -1), targets, logits


def lockstep():
    """Times the whole search over c."""
    import numpy as np

    from intriguing_tf.adversary.margins import hard_margins
    from intriguing_tf.adversary.scipy_solver import SciPySolver
    from intriguing_tf.adversary.settings import AttackSettings
    from intriguing_tf.adversary.solver import Batch
    from intriguing_tf.reporting import Table

    problem, x, targets, logits = problem_of("mnist/fc100-100-10", 64)
    confidence = problem.least_confidence(logits)
    batch = Batch(
        originals=x, starts=x, targets=targets, lower=np.zeros_like(x), upper=np.ones_like(x),
        logits=logits, gap=hard_margins(logits, targets), confidence=confidence,
        enough=np.zeros(len(x)), image=np.arange(len(x)), spent=np.zeros(len(x), np.int64),
        shares=np.ones(len(x), np.int64),
    )  # fmt: skip
    rows, found = [], {}
    for label, together in (("lockstep", True), ("one image after another", False)):
        solver = SciPySolver(problem, AttackSettings(jit_compile=False), lockstep=together)
        solver.search(batch.rows(slice(2)))  # traces
        seconds, result = timed(lambda s=solver: s.search(batch))
        found[label] = np.linalg.norm(result.x - x, axis=1)
        rows.append([label, seconds, result.nfev.mean(), found[label].mean() / 28])
    for row in rows:
        row.insert(2, rows[-1][1] / row[1])
    difference = np.abs(found["lockstep"] / found["one image after another"] - 1)
    notes = (f"Distances differ by {np.median(difference):.1e} (median), {difference.max():.1e}.",)
    columns = ("SciPy's L-BFGS-B", "seconds", "times faster", "evaluations", "mean distortion")
    return Table("FC100-100-10, 64 digits, whole search over c", columns, rows, notes)


def fixed_c():
    """Times the minimizers at c = 0.2."""
    import numpy as np
    import tensorflow as tf

    from intriguing_tf.adversary.compiled import CompiledSolver, penalized
    from intriguing_tf.adversary.losses import LOSSES
    from intriguing_tf.adversary.scipy_solver import SciPySolver
    from intriguing_tf.adversary.settings import AttackSettings
    from intriguing_tf.reporting import Table

    rows = []
    for name, number in (
        ("mnist/fc100-100-10", FLAGS.dense_images), ("mnist/conv", FLAGS.conv_images),
    ):  # fmt: skip
        problem, x, targets, _ = problem_of(name, number)
        box = np.zeros_like(x), np.ones_like(x)
        c = np.full(number, 0.2)
        one = SciPySolver(problem, AttackSettings(maxcor=10, maxfun=2000), lockstep=False)
        one.minimize(x[:1], targets[:1], box[0][:1], box[1][:1], c[:1])
        slow, (reference, slow_nfev) = timed(lambda: one.minimize(x, targets, *box, c))  # noqa: B023
        compiled = CompiledSolver(problem, AttackSettings(maxfun=400))
        first, _ = timed(lambda: compiled.minimize(x, targets, *box, c))  # noqa: B023
        fast, (points, nfev) = timed(lambda: compiled.minimize(x, targets, *box, c), 3)  # noqa: B023

        def objective(where, x=x, targets=targets, c=c, problem=problem):
            tensors = (tf.cast(where, tf.float32), tf.constant(x), tf.constant(targets))
            value = tf.function(penalized, autograph=False)
            return value(problem, LOSSES["cross_entropy"], *tensors, tf.cast(c, tf.float32))[
                0
            ].numpy()

        gap = objective(points) / objective(reference) - 1
        rows.append(
            (name, number, fast, slow, slow / fast, first - fast, nfev.numpy().mean(),
             slow_nfev.mean(), np.median(np.abs(gap)), gap.mean(), (gap < 1e-6).mean())
        )  # fmt: skip
    columns = (
        "network", "digits", "compiled, s", "SciPy, s", "times faster", "compiling, s",
        "evaluations", "SciPy's", "median gap", "mean gap", "at least as low",
    )  # fmt: skip
    notes = ("Gap: relative difference of the objectives, negative where the compiled is lower.",)
    return Table("Minimizers at c = 0.2", columns, rows, notes, digits=3)


def zoo():
    """Compares what both solvers find."""
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.reporting import Table

    images, labels = (array[: FLAGS.zoo_images] for array in itf.datasets.mnist_sample())
    rows = []
    for name in itf.zoo.list("mnist/*"):
        model = itf.zoo.load(name)
        for loss in ("cross_entropy", "margin"):
            found = [
                itf.LBFGSAdversary(model, loss=loss, solver=solver)(images, labels, verbose=False)
                for solver in ("compiled", "scipy")
            ]
            ours, scipys = (result.mean_distortion for result in found)
            attacked = found[0].status == "found"
            ratio = found[0].distortion[attacked] / found[1].distortion[attacked]
            successes = [int(result.success.sum()) for result in found]
            evaluations = [result.nfev.mean() for result in found]
            rows.append(
                (name, loss, *successes, ours, scipys, ours / scipys, np.median(ratio),
                 *evaluations)
            )  # fmt: skip
            print(*rows[-1], file=sys.stderr, flush=True)
    columns = (
        "network", "loss", "success", "SciPy's", "distortion", "SciPy's ", "ratio",
        "median ratio", "evaluations", "SciPy's  ",
    )  # fmt: skip
    title = f"Compiled solver and SciPy's, whole search over c, {len(images)} digits"
    return Table(title, columns, rows, digits=4)


def nearest():
    """Compares what "nearest" searches by default with more of the classes, and to their ends."""
    import itertools

    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.adversary.settings import SearchConstants
    from intriguing_tf.reporting import Table

    images, labels = itf.datasets.mnist_sample()
    default = SearchConstants()
    rows = []
    for (name, number), screen in itertools.product(networks(), (NEVER, default.nearest_screen)):
        model = itf.zoo.load(name)
        right = np.flatnonzero(model.predict(images, verbose=0).argmax(1) == labels)[:number]
        found = [
            itf.LBFGSAdversary(
                model, constants=SearchConstants(nearest_screen=screen, rival_doubt=doubt)
            )(images[right], labels[right], targets="nearest", verbose=False)
            for doubt in (NEVER, default.rival_doubt)
        ]
        ratio = found[1].l2 / found[0].l2
        classes = "all nine" if screen == NEVER else f"within {screen:g} times the least"
        rows.append(
            (name, number, classes, found[0].l2.mean(), found[1].l2.mean(), ratio.max(),
             found[0].nfev.mean(), found[1].nfev.mean())
        )  # fmt: skip
    columns = ("network", "digits", "classes", "each to its end, l2", "with rivals, l2",
               "largest ratio", "evaluations", "with rivals")  # fmt: skip
    return Table('"nearest"', columns, rows, digits=5)


def bundle():
    """Compares the search that ends as a bundle method with one that does not."""
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.adversary.settings import SearchConstants
    from intriguing_tf.reporting import Table

    images, labels = itf.datasets.mnist_sample()
    rows = []
    for name, number in networks():
        model = itf.zoo.load(name)
        right = np.flatnonzero(model.predict(images, verbose=0).argmax(1) == labels)[:number]
        alone, ends = (
            itf.LBFGSAdversary(model, constants=SearchConstants(bundle_after=share))(
                images[right], labels[right], verbose=False
            )
            for share in (1.0, SearchConstants().bundle_after)
        )
        rows.append(
            (name, number, alone.l2.mean(), ends.l2.mean(), ends.l2.mean() / alone.l2.mean(),
             alone.nfev.mean(), ends.nfev.mean())
        )  # fmt: skip
    columns = ("network", "digits", "L-BFGS alone, l2", "with the bundle, l2", "ratio",
               "evaluations", "with the bundle")  # fmt: skip
    return Table("What the bundle brings, margin, maxfun=100", columns, rows, digits=5)


if __name__ == "__main__":
    app.run(main)
