"""CPU seconds of one gradient of one image, for the networks of a sweep over ImageNet.

    python benchmarks/imagenet_gradients.py

Random weights, batches of four random images, without XLA; the least of some calls. The seconds are
those of all processors together, so that they tell what a sweep costs.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as itf-ostrich and itf-sweep have it

import numpy as np

import intriguing_tf as itf
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
# Gradients of an image: what digits need on average, and what `maxfun` allows by default.
FEW, MOST = 24, 100
IMAGES = 50_000


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


def main() -> None:
    """Prints a row for each network, and what a sweep of all would take."""
    rows = [(name, cpu_seconds(builder())) for name, builder in NETWORKS.items()]
    total = sum(seconds for _, seconds in rows)
    rows.append(("all", total))
    few, most = (gradients * total for gradients in (FEW, MOST))
    note = (
        f"{IMAGES} images and all of these networks: {few:.0f} CPU seconds per image with {FEW} "
        f"gradients each, {IMAGES * few / 3600:.0f} CPU hours in all; with {MOST}, {most:.0f} "
        f"seconds and {IMAGES * most / 3600:.0f} hours."
    )
    print(Table("", ("network", "CPU s per gradient"), rows, [note], digits=3).markdown())


if __name__ == "__main__":
    main()
