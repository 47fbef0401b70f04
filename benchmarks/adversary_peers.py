"""The adversary against foolbox: distortion, gradient evaluations and seconds.

    python benchmarks/adversary_peers.py --models=mnist/fc10-1e-4,mnist/fc100-100-10,mnist/conv

Every method gets the same model, images, targets and batch, with one thread, one after another.
Needs the extra `bench`. Carlini and Wagner's attack takes minutes per network: `--methods` leaves
methods out. Peers run eagerly, as foolbox does, with nothing to compile; what compiling the
adversary takes is stated below each table. Means are over successes. The points of the curves are
kept beside the picture: a run of some networks renews those and leaves the others.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

from absl import app, flags
from timing import timed

# Before TensorFlow is imported, which happens inside the functions.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "models",
    ["mnist/fc10-1e-4", "mnist/fc100-100-10", "mnist/fc200-200-10", "mnist/conv"],
    "zoo names",
)
flags.DEFINE_list(
    "methods",
    ["ddn-30", "ddn-100", "ddn-300", "ddn-1000", "fmn-100", "fmn-1000", "cw", "bb"],
    "of foolbox, besides ours",
)
flags.DEFINE_integer("images", 64, "how many images of the bundled sample")
flags.DEFINE_string("output", "docs/images/adversary-peers", "picture (.png) and points (.json)")
flags.DEFINE_list("budgets", ["25", "50", "75", "100", "150", "240"], "of ours, for its curve")


def main(_) -> None:
    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.adversary.targets import choose_targets
    from intriguing_tf.files import write_atomically

    file = Path(f"{FLAGS.output}.json")
    points: dict[str, list] = json.loads(file.read_text()) if file.is_file() else {}
    for name in FLAGS.models:
        model = itf.zoo.load(name)
        images, labels = (array[: FLAGS.images] for array in itf.datasets.mnist_sample())
        logits = model.predict(images, verbose=0)
        right = logits.argmax(1) == labels
        images, labels = images[right], labels[right]
        targets = choose_targets("random", logits[right], labels, seed=0)
        rows = [*ours(model, images, labels, targets)]
        for method in FLAGS.methods:
            rows.append(peer(method, model, images, targets))
        best = next(row for row in rows if row[0] == "L-BFGS, margin")
        points[name] = [row[:6] for row in rows]
        table = [
            (label, success, mean, mean / best[2], np.median(each / best[6]), nfev, seconds,
             seconds / best[4])
            for label, success, mean, nfev, seconds, _, each in (
                (*row[:6], row[6]) for row in rows if row[5]
            )
        ]  # fmt: skip
        compiling = next(row[4] for row in rows if row[0] == "compiling")
        columns = ("method", "success", "mean distortion", "ratio", "median ratio",
                   "gradients", "seconds", "time ratio")  # fmt: skip
        notes = (f"{len(images)} images, one thread; compiling took {compiling:.1f} s more, once.",)
        print(itf.reporting.Table(name, columns, table, notes).markdown(), flush=True)
        print()
        write_atomically(file, json.dumps(points, indent=1))
    write_atomically(f"{FLAGS.output}.png", picture(points))


def ours(model, images, labels, targets):
    """Yields the adversary's rows: compiling, both losses, and budgets for the curve."""
    import intriguing_tf as itf

    runs = [("L-BFGS, margin", "margin", 100), ("L-BFGS, cross-entropy", "cross_entropy", 100)]
    runs += [("L-BFGS, budgets", "margin", int(budget)) for budget in FLAGS.budgets]
    for label, loss, budget in runs:
        adversary = itf.LBFGSAdversary(model, loss=loss, maxfun=budget)

        def attack(adversary=adversary):
            return adversary(images, labels, targets, verbose=False)

        first, _ = timed(attack)
        seconds, result = timed(attack, 3)
        if label == "L-BFGS, margin":
            yield "compiling", 1.0, 0.0, 0.0, first - seconds, False, None
        evaluations = float(result.nfev.mean())
        in_table = label != "L-BFGS, budgets"
        success = float(result.success.mean())
        mean = result.mean_distortion
        yield label, success, mean, evaluations, seconds, in_table, result.distortion


def peer(method: str, model, images, targets):
    """Runs one attack of foolbox and returns its row."""
    import foolbox
    import numpy as np
    import tensorflow as tf

    wrapped = foolbox.TensorFlowModel(model, bounds=(0, 1))
    x = tf.constant(images)
    criterion = foolbox.criteria.TargetedMisclassification(tf.constant(targets))  # int64
    attack, evaluations, title = make(method)
    settings = {}
    if method == "bb":
        start = foolbox.attacks.DDNAttack(steps=100)
        _, settings["starting_points"], _ = start(wrapped, x, criterion, epsilons=None)
    seconds, (_, clipped, _) = timed(
        lambda: attack(wrapped, x, criterion, epsilons=None, **settings)
    )
    adversarial = clipped.numpy()
    success = model.predict(adversarial, verbose=0).argmax(1) == targets
    change = (adversarial - images).reshape(len(images), -1).astype(np.float64)
    each = np.where(success, np.sqrt((change**2).mean(1)), np.inf)
    mean = float(each[success].mean())
    return title, float(success.mean()), mean, float(evaluations), seconds, True, each


def make(method: str):
    """Returns the attack of that name, its gradient evaluations per image and its title."""
    from foolbox import attacks

    kind, _, steps = method.partition("-")
    if kind == "ddn":
        return attacks.DDNAttack(steps=int(steps)), int(steps), f"DDN, {steps} steps"
    if kind == "fmn":
        return attacks.L2FMNAttack(steps=int(steps)), int(steps), f"FMN, {steps} steps"
    if kind == "cw":
        attack = attacks.L2CarliniWagnerAttack(binary_search_steps=9, steps=1000)
        return attack, 9000, "Carlini-Wagner, at most 9 x 1000"
    if kind == "bb":
        attack = attacks.L2BrendelBethgeAttack(steps=200)
        return attack, 300, "Brendel-Bethge, 200 steps after DDN-100"
    raise ValueError(f"A method is ddn-N, fmn-N, cw or bb. Received: {method!r}.")


def picture(points) -> bytes:
    """Draws distortion against gradient evaluations and against seconds, for each network.

    Hollow marks: some images failed, and the mean is that of the others. What is far above lies at
    the upper edge.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(points), 6.4), layout="constrained")
    axes = figure.subplots(2, len(points), squeeze=False)
    for column, (name, rows) in enumerate(points.items()):
        curve = [row for row in rows if row[0].startswith("L-BFGS, budgets") and row[1] == 1]
        curve.sort(key=lambda row: row[3])
        least = min(row[2] for row in curve)
        top = 1.08 * least
        peers = [row for row in rows if row[5] and "L-BFGS" not in row[0]]
        for line, key in ((0, 3), (1, 4)):
            ax = axes[line][column]
            ax.plot([r[key] for r in curve], [r[2] for r in curve], "o-", label="L-BFGS (ours)")
            for marker, row in zip("sD^vP*Xph", peers, strict=False):
                fill = {} if row[1] == 1 else {"markerfacecolor": "none"}
                ax.plot(row[key], min(row[2], top), marker, label=row[0], clip_on=False, **fill)
                if row[2] > top:
                    ax.annotate(f"{row[2]:.3f}", (row[key], top), (0, -12),
                                textcoords="offset points", fontsize=7, ha="center")  # fmt: skip
            ax.set_xscale("log")
            ax.set_ylim(0.96 * least, top)
            ax.set_xlabel("gradient evaluations per image" if line == 0 else "seconds, all images")
            ax.grid(color="#80808040")
        axes[0][column].set_title(name)
    for row in axes:
        row[0].set_ylabel("mean distortion")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=5)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(app.run(main))
