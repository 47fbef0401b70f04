"""Trains 100-100-10 networks with pools of adversarial examples and penalties, and compares them.

  itf-train-adversarial --methods=decay,pools-all,gradient --seeds=0,1,2,3,4 --output=training
  itf-train-adversarial --validation --methods=own.json      on held-out training images
  itf-train-adversarial --corrupted_split --output=corrupted corrupt the training set, train again

Prints a table and writes it to the folder as table.md. Finished networks are kept there: a run that
was stopped goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_list(
        "methods",
        ["decay", "dropout", "pool-input", "pools-hidden", "pools-all", "gradient", "lipschitz"],
        "ways to train; also certified, combined, and paths of recipes of your own (.json)",
    )
    flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "of the training")
    flags.DEFINE_bool(
        "validation", False, "measure on 10 000 training images that are held out, not on the test"
    )
    flags.DEFINE_integer("attacked", 256, "images attacked per network", lower_bound=1)
    flags.DEFINE_float("radius", 1.0, "l2 radius of the certificates", lower_bound=0.0)
    flags.DEFINE_bool(
        "corrupted_split", False, "instead: corrupt the training set and train --recipe again"
    )
    flags.DEFINE_string("recipe", "mnist/fc100-100-10", "with --corrupted_split: of the zoo")
    flags.DEFINE_string("output", "adversarial-training", "folder of networks and results")


def train() -> None:
    """Trains what is missing, prints and writes the table."""
    FLAGS = flags.FLAGS
    folder = Path(FLAGS.output)

    import intriguing_tf as itf
    from intriguing_tf.experiments.adversarial_training import compare
    from intriguing_tf.experiments.corrupted_split import corrupt_and_retrain
    from intriguing_tf.files import write_atomically

    train_set, test_set = itf.datasets.mnist("train"), itf.datasets.mnist("test")
    if FLAGS.corrupted_split:
        result = corrupt_and_retrain(
            FLAGS.recipe, folder, train_set, test_set, attacked=FLAGS.attacked
        )
    else:
        result = compare(
            FLAGS.methods,
            [int(seed) for seed in FLAGS.seeds],
            folder,
            train_set,
            None if FLAGS.validation else test_set,
            attacked=FLAGS.attacked,
            radius=FLAGS.radius,
        )
    print(result)
    path = write_atomically(folder / "table.md", result.table().markdown() + "\n")
    print(f"\nTable: {path}")


main = command.main_of(train)


def run() -> None:
    """Entry point of the command `itf-train-adversarial`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
