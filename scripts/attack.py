"""Adversarial examples for a model: the least change of each image that makes it misread.

  itf-attack --model=mnist/fc100-100-10 --data=sample --number=64 --output=attack
  itf-attack --model=my.keras --data=my.npz --bounds=-1,1 --targets=nearest

Prints a table, and saves the result (attack.npz, attack.json) and a picture of originals,
magnified perturbations and adversarial images (attack.png).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("model", "mnist/fc100-100-10", "a name of the zoo, or a .keras file")
    flags.DEFINE_string(
        "data",
        "sample",
        "MNIST images: 'test', 'train' or the bundled 'sample'; or an .npz file with arrays "
        "'images' and 'labels'",
    )
    flags.DEFINE_integer("number", 64, "how many images, from the first on", lower_bound=1)
    flags.DEFINE_string("targets", "random", "'random', 'least_likely', 'nearest', or one class")
    flags.DEFINE_integer("seed", 0, "of the random targets")
    flags.DEFINE_enum("solver", "compiled", ["compiled", "scipy"], "the adversary's solver")
    flags.DEFINE_enum("loss", "cross_entropy", ["cross_entropy", "margin"], "the adversary's loss")
    flags.DEFINE_list("bounds", ["0", "1"], "least and largest pixel value")
    flags.DEFINE_integer("shown", 64, "images in the picture, at most", lower_bound=1)
    flags.DEFINE_string("output", "attack", "folder of the results")
    flags.DEFINE_bool("overwrite", False, "whether the folder may hold something already")


def main(arguments: Sequence[str]) -> int:
    """Attacks, prints and saves; returns the exit status."""
    if len(arguments) > 1:
        print(f"error: flags only. Received: {' '.join(arguments[1:])}", file=sys.stderr)
        return 2
    try:
        return attack()
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def attack() -> int:
    """Runs the attack that the flags ask for; returns 0 if every image was misread."""
    FLAGS = flags.FLAGS
    folder = Path(FLAGS.output)
    if folder.is_dir() and any(folder.iterdir()) and not FLAGS.overwrite:
        raise ValueError(f"{folder} is not empty: give another --output, or --overwrite.")
    try:
        lower, upper = map(float, FLAGS.bounds)
    except ValueError as error:
        raise ValueError(
            f"--bounds must be two numbers, such as 0,1. Received: {','.join(FLAGS.bounds)}."
        ) from error

    import numpy as np

    import intriguing_tf as itf
    from intriguing_tf.experiments.inputs import load_images, load_model
    from intriguing_tf.files import write_atomically

    model = load_model(FLAGS.model)
    images, labels = load_images(FLAGS.data, FLAGS.number)
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
        f"{before} → {after}"
        for before, after in zip(
            result.original_predictions[shown], result.predictions[shown], strict=True
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


def run() -> None:
    """Entry point of the command `itf-attack`."""
    define_flags()
    for flag in flags.FLAGS.get_key_flags_for_module(__name__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # --help shows them
    sys.modules["__main__"].__doc__ = __doc__
    app.run(main)


if __name__ == "__main__":
    run()
