"""Where the time of training a small network goes: Keras's fit against compiled epochs.

    python benchmarks/training_speed.py

Every row trains the same architecture with the same optimizer on the same digits (the bundled
sample, repeated) in batches of 100, and times an epoch after a first one that compiles. The table
prints ratios within this run, because other work on the machine moves all of them. "Overhead" is
what a way spends beyond the fastest one.
"""

from __future__ import annotations

from timing import timed

ROUNDS = 3
BATCH = 100


def main() -> None:
    import numpy as np
    import tensorflow as tf

    from intriguing_tf import datasets, models
    from intriguing_tf.reporting import Table

    sample = datasets.mnist_sample()
    for name, builder, repeats in (
        ("FC100-100-10", models.fc100_100_10, 10),
        ("Conv", models.conv, 2),
    ):
        images, labels = (np.concatenate([array] * repeats) for array in sample)
        seconds = {way: best_epoch(run(builder(), images, labels)) for way, run in WAYS.items()}
        best = min(seconds.values())
        steps = len(images) // BATCH
        rows = [
            (way, s / best, 1000 * s / steps, f"{100 * (s - best) / s:.0f} %")
            for way, s in seconds.items()
        ]
        columns = ("way", "time / best", "ms per step", "overhead")
        note = f"TensorFlow {tf.__version__}, {len(tf.config.list_physical_devices('GPU'))} GPUs"
        title = f"{name}: one epoch of {steps} steps"
        print(Table(title, columns, rows, (note,), digits=3).markdown())
        print()


def best_epoch(run_epoch) -> float:
    """Returns the shortest of some epochs, after one that compiles."""
    run_epoch()
    return timed(run_epoch, ROUNDS)[0]


def keras_fit(steps_per_execution: int, jit_compile: bool):
    """Returns what runs an epoch by `keras.Model.fit` on arrays."""

    def prepare(model, images, labels):
        import keras

        model.compile(
            optimizer=keras.optimizers.Adam(),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
        )
        return lambda: model.fit(images, labels, batch_size=BATCH, verbose=0)

    return prepare


def compiled_epoch(jit_compile: bool):
    """Returns what runs an epoch as `intriguing_tf.training.fit` does."""

    def prepare(model, images, labels):
        import keras
        import numpy as np
        import tensorflow as tf

        from intriguing_tf.training.fitting import compile_epoch, cross_entropy

        inputs, targets = tf.constant(images), tf.constant(labels)
        optimizer = keras.optimizers.Adam()
        run = compile_epoch(model, inputs, targets, optimizer, cross_entropy, BATCH, jit_compile)
        random = np.random.default_rng(0)
        return lambda: float(run(tf.constant(random.permutation(len(labels)), tf.int32)))

    return prepare


WAYS = {
    "keras fit": keras_fit(1, False),
    "keras fit, XLA": keras_fit(1, True),
    "keras fit, 20 steps per execution": keras_fit(20, False),
    "keras fit, 20 steps per execution, XLA": keras_fit(20, True),
    "compiled epoch": compiled_epoch(False),
    "compiled epoch, XLA": compiled_epoch(True),
}

if __name__ == "__main__":
    main()
