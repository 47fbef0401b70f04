"""64 images to ostriches: time, distortion and memory, beside foolbox's DDN on the same images.

    python benchmarks/imagenet.py --images=val/ --model=imagenet/efficientnet-lite0

`--images` is a folder of wnid folders (ImageNet's layout). For a network whose weights lie in a
.npz of Keras layout: --model=squeezenet_1_1 --weights=squeezenet.npz --channel_order=bgr.
Prints seconds, evaluations per image, distortions and peak memory, and the ratios to DDN, which
takes 100 steps from the same images to the same class. Run it on an idle machine.
"""

from __future__ import annotations

import os
import resource
import sys

import numpy as np
from absl import app, flags
from timing import timed

# Before TensorFlow is imported, which happens inside the functions; as itf-ostrich has it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

FLAGS = flags.FLAGS
flags.DEFINE_string("images", None, "folder of wnid folders", required=True)
flags.DEFINE_string("model", "imagenet/efficientnet-lite0", "entry of the zoo, or a builder")
flags.DEFINE_string("weights", None, ".npz for a builder")
flags.DEFINE_enum("channel_order", "rgb", ["rgb", "bgr"], "what the .npz was made for")
flags.DEFINE_integer("number", 64, "images", lower_bound=1)
flags.DEFINE_enum("solver", "compiled", ["compiled", "scipy"], "of the adversary")
flags.DEFINE_integer("maxfun", None, "evaluations per image at most; by default the adversary's")
flags.DEFINE_bool("ddn", True, "run foolbox's DDN as well")
flags.DEFINE_integer("batch_size", 16, "images in one of DDN's batches", lower_bound=1)


def main(arguments: list[str]) -> None:
    import intriguing_tf as itf
    from intriguing_tf.reporting import Table

    model = _model(itf)
    files = itf.datasets.imagenet_files(FLAGS.images)
    step = max(len(files) // FLAGS.number, 1)
    sample = itf.datasets.read_images(files[::step][: FLAGS.number], model.input_shape[1:3])
    predicted = model.predict(sample.images, batch_size=16, verbose=0).argmax(-1)
    correct = int((predicted == sample.labels).sum())
    print(f"{len(predicted)} images, {correct} of them correctly classified")

    target = itf.datasets.imagenet_class_index("ostrich")
    targets = np.full(len(predicted), target, np.int64)
    options = {} if FLAGS.maxfun is None else {"maxfun": FLAGS.maxfun}
    adversary = itf.LBFGSAdversary(model, loss="cross_entropy", solver=FLAGS.solver, **options)
    seconds, result = timed(lambda: adversary(sample.images, targets=targets))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(result, file=sys.stderr)
    attacked = predicted != target
    ours = np.where(result.success, result.distortion, np.inf)[attacked]
    rows = [("L-BFGS adversary", *_summary(ours), seconds, float(result.nfev[attacked].mean()))]
    if FLAGS.ddn:
        ddn_seconds, theirs = timed(lambda: _ddn(model, sample.images[attacked], targets[attacked]))
        rows.append(("foolbox DDN, 100 steps", *_summary(theirs), ddn_seconds, 100.0))
        both = np.isfinite(ours) & np.isfinite(theirs)
        ratio = float(np.median(ours[both] / theirs[both])) if both.any() else None
        rows.append(("ratio", None, None, ratio, seconds / ddn_seconds, None))
    head = ("", "success", "mean distortion", "median", "seconds", "evaluations")
    printed = itf.experiments.paper.FIGURE_5
    notes = [
        f"Peak memory of the attack with its network: {peak:.2f} GiB. The paper, AlexNet: "
        f"distortion {printed.distortion} over {printed.examples} images."
    ]
    print(Table(f"{FLAGS.number} ostriches on {FLAGS.model}", head, rows, notes).markdown())


def _model(itf):
    if FLAGS.weights is None:
        return itf.zoo.load(FLAGS.model)
    model = getattr(itf.models, FLAGS.model)()
    itf.zoo.importers.npz(FLAGS.weights, model, FLAGS.channel_order)
    return model


def _summary(distortion) -> tuple[float, float, float]:
    found = distortion[np.isfinite(distortion)]
    if not len(found):
        return 0.0, float("inf"), float("inf")
    return len(found) / len(distortion), float(found.mean()), float(np.median(found))


def _ddn(model, images, targets):
    """Distortion of foolbox's DDN, per image; infinite where it fails."""
    import foolbox
    import tensorflow as tf

    fmodel = foolbox.TensorFlowModel(model, bounds=(0, 1))
    attack = foolbox.attacks.DDNAttack(steps=100)
    found = []
    for start in range(0, len(images), FLAGS.batch_size):
        batch = slice(start, start + FLAGS.batch_size)
        criterion = foolbox.criteria.TargetedMisclassification(tf.constant(targets[batch]))
        x = tf.constant(images[batch])
        _, clipped, success = attack(fmodel, x, criterion, epsilons=None)
        rms = np.sqrt(np.mean((clipped.numpy().astype("float64") - images[batch]) ** 2, (1, 2, 3)))
        found.append(np.where(success.numpy(), rms, np.inf))
    return np.concatenate(found)


if __name__ == "__main__":
    sys.exit(app.run(main))
