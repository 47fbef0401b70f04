"""All of the paper's MNIST experiments: Tables 1 to 4 and Figures 1, 2 and 7, as a report.

  itf-reproduce --output=reproduction            1 000 attacked images per model and table
  itf-reproduce --output=reproduction --quick    128: under a minute
  itf-reproduce --output=reproduction --retrain  networks trained anew by the zoo's recipes

The folder gets report.html (one file, to be opened in a browser), report.md with figures/, and
results.json. Finished pieces are kept there: a run that was stopped goes on where it was.
"""

from __future__ import annotations

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("output", "reproduction", "folder of the report and of finished pieces")
    flags.DEFINE_integer("number", 1000, "images attacked per model and table", lower_bound=8)
    flags.DEFINE_bool("quick", False, "the same as --number=128")
    flags.DEFINE_integer("seed", 0, "of targets, noise and random directions")
    flags.DEFINE_bool("retrain", False, "train the networks by the zoo's recipes first")
    flags.DEFINE_integer("training_seed", 0, "with --retrain: the seed")
    flags.DEFINE_list(
        "training_seeds",
        [],
        "at least 2 seeds, such as 1,2,3: train Table 1's deep networks from each, for the spread",
    )
    flags.DEFINE_string("tensorboard", None, "also log to this folder for TensorBoard")


def measure() -> None:
    """Runs what is missing and writes the report."""
    FLAGS = flags.FLAGS
    from intriguing_tf.experiments import Workspace, reproduce
    from intriguing_tf.reporting import log_to_tensorboard

    training_seeds = tuple(int(seed) for seed in FLAGS.training_seeds)
    training_seed = FLAGS.training_seed if FLAGS.retrain else None
    with Workspace(FLAGS.output, training_seed=training_seed) as workspace:
        reproduction = reproduce(
            workspace, 128 if FLAGS.quick else FLAGS.number, FLAGS.seed, training_seeds
        )
    if FLAGS.tensorboard:
        log_to_tensorboard(reproduction.report, reproduction.scalars(), FLAGS.tensorboard)
    print(f"\n{reproduction}\n\nThe report: {workspace.folder / 'report.html'}")


main = command.main_of(measure)


def run() -> None:
    """Entry point of the command `itf-reproduce`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
