"""Sweeps: minimal adversarial examples for whole data sets, many models and many settings.

  itf-sweep --models=mnist/fc10-1e-4,mnist/fc100-100-10 --data=test --folder=sweep
  itf-sweep --models=my.keras --data=my.npz --targets=random,nearest --ray=local --workers=4

Started again with the same flags it makes only what is missing. Prints a table; --table also
writes a row for each image to a .csv or .parquet file.
"""

from __future__ import annotations

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_list("models", ["mnist/fc100-100-10"], "names of the zoo, or .keras files")
    command.define_data()
    flags.DEFINE_integer("number", None, "how many images, from the first on", lower_bound=1)
    flags.DEFINE_list("targets", ["random"], "of 'random', 'least_likely', 'nearest'")
    flags.DEFINE_list("losses", ["cross_entropy"], "of 'cross_entropy', 'margin'")
    flags.DEFINE_enum("solver", "compiled", ["compiled", "scipy"], "the adversary's solver")
    flags.DEFINE_integer("seed", 0, "of the random targets", lower_bound=0)
    flags.DEFINE_integer("shard_size", 256, "images in a shard", lower_bound=1)
    flags.DEFINE_string(
        "ray",
        None,
        "'local' for worker processes on this machine, or the address of a Ray cluster; by "
        "default this process does the work",
    )
    flags.DEFINE_integer("workers", None, "processes of Ray", lower_bound=1)
    flags.DEFINE_string("folder", "sweep", "of the sweep")
    flags.DEFINE_string("table", None, "a .csv or .parquet file for a row per image")


def run_sweep() -> None:
    """Runs the sweep that the flags ask for."""
    FLAGS = flags.FLAGS
    lower, upper = command.bounds()

    import intriguing_tf as itf
    from intriguing_tf.experiments.inputs import load_images, load_model

    names = {name.removesuffix(".keras").strip("./"): name for name in FLAGS.models}
    if len(names) != len(FLAGS.models):
        raise ValueError(f"--models must differ. Received: {','.join(FLAGS.models)}.")
    images, labels = load_images(FLAGS.data, FLAGS.number, (lower, upper))
    done = itf.sweep(
        {name: load_model(each) for name, each in names.items()},
        images,
        labels,
        folder=FLAGS.folder,
        targets=FLAGS.targets,
        settings={
            loss: {"loss": loss, "solver": FLAGS.solver, "bounds": (lower, upper)}
            for loss in FLAGS.losses
        },
        seed=FLAGS.seed,
        shard_size=FLAGS.shard_size,
        ray=FLAGS.ray,
        workers=FLAGS.workers,
    )
    print(done)
    if FLAGS.table is not None:
        print(f"\nA row for each image: {done.write_table(FLAGS.table)}.")


main = command.main_of(run_sweep)


def run() -> None:
    """Entry point of the command `itf-sweep`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
