"""What matters in training for certificates, and what it costs.

    python benchmarks/certified_training.py --table=choices --epochs=6
    python benchmarks/certified_training.py --table=cost

"choices" trains 784-256-256-10 once per row, on the first 50 000 training images, and reports the
verified-robust accuracy (correct and certified, l2) on the last 10 000. "cost" takes the
processor time of steps beside plain training of the same network; the ratios, not the seconds, are
comparable between machines.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
from absl import app, flags
from timing import timed

import intriguing_tf as itf
from intriguing_tf.classifier import Classifier
from intriguing_tf.digits import rounded_down
from intriguing_tf.lipschitz.differentiable import (
    PowerIteration,
    SchattenNorm,
    chain_to_logits,
    followed_norm,
)
from intriguing_tf.publishing.evaluation import RADII, verified_robust_accuracy
from intriguing_tf.training.certified_margin import PreparedMargin

flags.DEFINE_enum("table", "choices", ["choices", "cost"], "which table")
flags.DEFINE_integer("epochs", 6, "of each training of the choices", lower_bound=1)
flags.DEFINE_float("radius", 1.65, "to train for", lower_bound=0)
flags.DEFINE_integer("units", 256, "of each of the two hidden layers", lower_bound=2)
flags.DEFINE_multi_integer("rows", [], "rows of the choices; without it all of them")

HELD_OUT = 10_000
BATCH = 256
RATE = 3e-3
RAMP = 0.4
STEPS_PER_CALL = 50


class Following(itf.training.CertifiedMargin):
    """The same, with norms that are followed otherwise.

    Args:
        follow: as `intriguing_tf.lipschitz.differentiable.followed_norm`.
    """

    def __init__(self, *args, follow: Callable, **settings):
        super().__init__(*args, **settings)
        self.follow = follow

    def prepare(self, model, variable):
        prepared = PreparedMargin(self, model, variable)
        below = chain_to_logits(model).below
        prepared.norms = [self.follow(*each, variable) for each in below.items()]
        return prepared


def schatten(squarings: int) -> Callable:
    """Returns what follows norms by Schatten norms of order 2 (2ˢ + 1)."""
    return lambda layer, _, variable: SchattenNorm(layer, squarings)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One way to train.

    Args:
        name: of its row.
        activation: of the hidden layers.
        loss: of the margin.
        follow: follows the norms of the layers.
        orthogonal: whether kernels are kept near orthogonal.
    """

    name: str
    activation: str = "group_sort"
    loss: str = "extra class"
    follow: Callable = followed_norm
    orthogonal: bool = False

    def model(self, radius: Any, units: int) -> itf.training.AdversarialModel:
        """Returns the model to train, not compiled; `radius` is a number or a schedule."""
        keras.utils.set_random_seed(0)
        network = itf.models.group_sort(units, activation=self.activation)
        if self.orthogonal:
            for layer in network.layers[:-1]:
                if isinstance(layer, keras.layers.Dense):
                    layer.kernel.constraint = itf.training.OrthogonalConstraint()
        penalty = Following(radius, weight=2.0, loss=self.loss, follow=self.follow)
        return itf.training.AdversarialModel(network, penalties=[penalty])


CHOICES = (
    Choice("as published"),
    Choice("ReLU", activation="relu"),
    Choice("worst logits", loss="worst"),
    Choice("one power iteration per step", follow=PowerIteration),
    Choice("Schatten norms of order 18", follow=schatten(3)),
    Choice("Schatten norms of order 1026", follow=schatten(9)),
    Choice("orthogonal kernels", orthogonal=True),
)


def compiled(model: keras.Model, rate: Any) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(rate), loss, steps_per_execution=STEPS_PER_CALL, jit_compile=True
    )
    return model


def choices(radius: float, units: int, epochs: int, rows: list[int]) -> None:
    images, labels = itf.datasets.mnist("train")
    train, held_out = slice(0, -HELD_OUT), slice(-HELD_OUT, None)
    steps = epochs * (len(labels[train]) // BATCH)
    schedules = keras.optimizers.schedules
    table = []
    for choice in [CHOICES[i] for i in rows] or CHOICES:
        growing = schedules.PolynomialDecay(0.0, max(1, int(RAMP * steps)), radius)
        model = choice.model(growing, units)
        compiled(model, schedules.CosineDecay(RATE, steps))
        model.fit(images[train], labels[train], batch_size=BATCH, epochs=epochs, verbose=0)
        predicted = Classifier(model.model).predict(images[held_out])
        verified = verified_robust_accuracy(model.model, images[held_out], labels[held_out])
        proven = (rounded_down(share, 3) for share in verified.values())
        shares = ((predicted == labels[held_out]).mean(), *proven)
        table.append((choice.name, *(100 * share for share in shares)))
        print(*table[-1], file=sys.stderr, flush=True)
    columns = ("training", "accuracy", *(f"{r:g}" for r in RADII))
    title = (
        f"{epochs} epochs for a radius of {radius:g}, {units} units, per cent of {HELD_OUT:,} "
        "held-out images"
    )
    print(itf.reporting.Table(title, columns, table, digits=3).markdown())


def cost(radius: float, units: int) -> None:
    images, labels = (each[: BATCH * STEPS_PER_CALL] for each in itf.datasets.mnist("train"))
    keras.utils.set_random_seed(0)
    models = {"plain": itf.models.group_sort(units)}
    models |= {
        "margin": Choice("").model(radius, units),
        "margin, power iterations": Choice("", follow=PowerIteration).model(radius, units),
        "margin, Schatten norms of order 1026": Choice("", follow=schatten(9)).model(radius, units),
        "margin, orthogonal kernels": Choice("", orthogonal=True).model(radius, units),
    }
    seconds = {}
    for name, model in models.items():
        compiled(model, RATE)

        def epoch(model=model):
            model.fit(images, labels, batch_size=BATCH, verbose=0)

        epoch()  # compiles
        seconds[name] = timed(epoch, 5, time.process_time)[0] / STEPS_PER_CALL
    rows = [(name, 1000 * s, s / seconds["plain"]) for name, s in seconds.items()]
    title = f"{units} units, batches of {BATCH}"
    columns = ("training", "CPU ms per step", "ratio")
    print(itf.reporting.Table(title, columns, rows, digits=3).markdown())


def main(_):
    FLAGS = flags.FLAGS
    if FLAGS.table == "cost":
        cost(FLAGS.radius, FLAGS.units)
    else:
        choices(FLAGS.radius, FLAGS.units, FLAGS.epochs, FLAGS.rows)


if __name__ == "__main__":
    app.run(main)
