"""CPU seconds of one gradient of one image, and what a sweep over ImageNet takes by them.

    python benchmarks/imagenet_gradients.py

Random weights, batches of four random images, without XLA; the least of some calls. The seconds are
those of all processors together, so that they tell what a sweep costs. How many gradients a search
needs on average is measured with digits.
"""

from __future__ import annotations

import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as itf-ostrich and itf-sweep have it

import numpy as np

import intriguing_tf as itf
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.classifier import Classifier
from intriguing_tf.reporting import Table

NETWORKS = {
    "AlexNet": itf.models.alexnet,
    "AlexNet, one tower": itf.models.alexnet_one_tower,
    "SqueezeNet 1.1": itf.models.squeezenet_1_1,
    "GoogLeNet": itf.models.googlenet,
    "EfficientNet-Lite0": itf.models.efficientnet_lite0,
}
BATCH, CALLS = 4, 5
DIGITS, ON = 256, "mnist/fc100-100-10"
IMAGES, CPUS = 50_000, 64
PRICE = 0.02  # dollars of a CPU hour, assumed
LINK = 1e9 / 8  # bytes per second
SWEEP = (
    "gradients of a search",
    "CPU seconds of an image, all networks",
    "CPU hours of all images",
    f"dollars, at {PRICE} a CPU hour",
    f"hours on {CPUS} CPUs",
    f"MB of results per second from {CPUS} CPUs",
    "CPUs whose results fill 1 Gbit/s",
)


def cpu_seconds(model) -> float:
    """Of one gradient of the loss of one image."""
    import tensorflow as tf

    classifier = Classifier(model)
    shape = (BATCH, *model.input_shape[1:])
    images = tf.constant(np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    labels = tf.zeros([BATCH], tf.int32)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = classifier.logits(images)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tape.gradient(loss, images)

    gradient()
    times = []
    for _ in range(CALLS):
        start = time.process_time()
        gradient()
        times.append(time.process_time() - start)
    return min(times) / BATCH


def mean_evaluations() -> float:
    """Of a search that finds an example, with the adversary's defaults and random targets."""
    images, labels = itf.datasets.mnist_sample()
    result = itf.LBFGSAdversary(itf.zoo.load(ON))(images[:DIGITS], labels[:DIGITS])
    return float(result.nfev[result.status == "found"].mean())


def sweep_costs(evaluations: float, seconds: float, size: int) -> list[float]:
    """What the rows of `SWEEP` name, to two digits.

    Args:
        evaluations: gradients of one search.
        seconds: CPU seconds of one gradient of each network.
        size: bytes of an image's results, of all networks.
    """
    of_image = evaluations * seconds
    hours = IMAGES * of_image / 3600
    rate = size * CPUS / of_image
    costs = (
        evaluations, of_image, hours, PRICE * hours, hours / CPUS, rate / 1e6, CPUS * LINK / rate
    )  # fmt: skip
    return [float(f"{cost:.2g}") for cost in costs]


def main() -> None:
    """Prints a row for each network, and what a sweep of all would take."""
    models = {name: builder() for name, builder in NETWORKS.items()}
    rows = [(name, cpu_seconds(model)) for name, model in models.items()]
    total = sum(seconds for _, seconds in rows)
    rows.append(("all", total))
    print(Table("", ("network", "CPU s per gradient"), rows, digits=3).markdown())
    # Original and adversarial image, in float32.
    size = sum(2 * 4 * math.prod(model.input_shape[1:]) for model in models.values())
    few, most = (
        sweep_costs(evaluations, total, size)
        for evaluations in (mean_evaluations(), AttackSettings().maxfun)
    )
    columns = (f"{IMAGES} images, {len(models)} networks", "as digits need", "at most")
    note = f"Digits: {DIGITS} of {ON}, random targets, the default loss. At most: `maxfun`."
    rows = list(zip(SWEEP, few, most, strict=True))
    print("\n" + Table("", columns, rows, [note], digits=6).markdown())


if __name__ == "__main__":
    main()
