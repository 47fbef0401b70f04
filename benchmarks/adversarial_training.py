"""What pools and penalties cost: time per epoch against plain training, in one run.

    python benchmarks/adversarial_training.py --epochs=3

Every way of training visits the same images; the first epoch, which compiles, is not counted.
The ratios, not the seconds, are comparable between machines.
"""

from __future__ import annotations

import time

import keras
from absl import app, flags

import intriguing_tf as itf
from intriguing_tf.experiments.adversarial_training import load_method
from intriguing_tf.publishing.training import adversarial_model, build, steps_per_call

flags.DEFINE_integer("epochs", 3, "timed epochs", lower_bound=1)
flags.DEFINE_integer("images", 20_000, "training images", lower_bound=1_000)
flags.DEFINE_list(
    "methods", ["gradient", "certified", "pool-input", "pools-hidden", "pools-all", "combined"], ""
)


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def seconds_per_epoch(name: str, images, labels, epochs: int) -> tuple[float, float]:
    """Returns the least seconds of an epoch, and of making examples within one."""
    recipe = load_method(name)
    keras.utils.set_random_seed(0)
    model = adversarial_model(recipe, build(recipe), len(images))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, steps_per_execution=steps_per_call(recipe))
    clock = Clock()
    history = model.fit(
        images, labels, batch_size=100, epochs=epochs + 1, verbose=0, callbacks=[clock]
    ).history
    return min(clock.seconds[1:]), min(history.get("pool_seconds", [0.0, 0.0])[1:])


def main(_):
    FLAGS = flags.FLAGS
    images, labels = (each[: FLAGS.images] for each in itf.datasets.mnist("train"))
    names = list(dict.fromkeys(["decay", *FLAGS.methods]))
    times = {name: seconds_per_epoch(name, images, labels, FLAGS.epochs) for name in names}
    plain = times["decay"][0]
    rows = [
        (name, seconds, pool, f"{seconds / plain:.2f}") for name, (seconds, pool) in times.items()
    ]
    columns = ("training", "s / epoch", "of these, pools", "ratio to plain")
    title = f"{len(images)} images, batches of 100"
    print(itf.reporting.Table(title, columns, rows, digits=3).markdown())


if __name__ == "__main__":
    app.run(main)
