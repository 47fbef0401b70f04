"""Adversarial examples for a model: the least change of each image that makes it misread.

  itf-attack --model=mnist/fc100-100-10 --data=sample --number=64 --output=attack
  itf-attack --model=my.keras --data=my.npz --bounds=-1,1 --targets=nearest

Prints a table, and saves the result (attack.npz, attack.json) and a picture of originals,
perturbations and adversarial images (attack.png).
"""

from __future__ import annotations

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("model", "mnist/fc100-100-10", "a name of the zoo, or a .keras file")
    command.define_data()
    flags.DEFINE_integer("number", 64, "how many images, from the first on", lower_bound=1)
    flags.DEFINE_string("targets", "random", "'random', 'least_likely', 'nearest', or one class")
    flags.DEFINE_integer("seed", 0, "of the random targets")
    flags.DEFINE_enum("solver", "compiled", ["compiled", "scipy"], "the adversary's solver")
    flags.DEFINE_enum("loss", "cross_entropy", ["cross_entropy", "margin"], "the adversary's loss")
    flags.DEFINE_integer("shown", 64, "images in the picture, at most", lower_bound=1)
    flags.DEFINE_string("output", "attack", "folder of the results")
    flags.DEFINE_bool("overwrite", False, "whether the folder may hold something already")


def attack() -> int:
    """Runs the attack that the flags ask for; returns 0 if every image was misread."""
    FLAGS = flags.FLAGS
    folder = command.empty_folder(FLAGS.output, FLAGS.overwrite)
    lower, upper = command.bounds()

    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.experiments.inputs import load_images, load_model
    from intriguing_tf.files import write_atomically

    model = load_model(FLAGS.model)
    images, labels = load_images(FLAGS.data, FLAGS.number, (lower, upper))
    targets = FLAGS.targets
    if targets.lstrip("-").isdigit():
        targets = np.full(len(images), int(targets))
    adversary = itf.LBFGSAdversary(
        model, bounds=(lower, upper), loss=FLAGS.loss, solver=FLAGS.solver
    )
    result = adversary(images, labels, targets=targets, seed=FLAGS.seed)
    print(result)

    result.save(folder / "attack")
    shown = slice(FLAGS.shown)
    titles = [
        f"already {before}" if status == "already" else f"{before} → {after}"
        for status, before, after in zip(
            result.status[shown],
            result.original_predictions[shown],
            result.predictions[shown],
            strict=True,
        )
    ]
    picture = itf.reporting.adversarial_rows(
        (result.originals[shown] - lower) / (upper - lower),
        (result.images[shown] - lower) / (upper - lower),
        titles,
        columns=16,
    )
    write_atomically(folder / "attack.png", picture.png())
    print(f"\nPicture: {folder / 'attack.png'}. {picture.caption}")
    return 0 if result.success.all() else 1


main = command.main_of(attack)


def run() -> None:
    """Entry point of the command `itf-attack`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
