"""Adversarial examples for a model: the least change by which each image is misclassified.

  itf-attack --model=mnist/fc100-100-10 --data=sample --number=64 --output=attack
  itf-attack --model=my.keras --data=my.npz --bounds=-1,1 --targets=nearest

Prints a table, and saves the result (attack.npz, attack.json) and a picture of originals,
perturbations and adversarial images (attack.png).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intriguing_tf.scripts import inputs, options
from intriguing_tf.scripts.command import command

import intriguing_tf as itf
from intriguing_tf import reporting
from intriguing_tf.files import write_atomically

_OF_MNIST = 64


@command(
    options.model("mnist/fc100-100-10"),
    options.data(),
    options.bounds(),
    options.number(f"images, from the first on; by default {_OF_MNIST} of MNIST, all of a file"),
    options.string("targets", "random", "'random', 'least_likely', 'nearest', or one class"),
    options.seed("of the random targets"),
    options.solver(),
    options.loss(),
    options.integer("shown", 64, "images in the picture, at most", lower_bound=1),
    options.output("attack"),
)
def run(flags: Any) -> int:
    """Runs the attack that the flags ask for; returns 0 if it succeeded on every image."""
    lower, upper = flags.bounds
    model = inputs.load_model(flags.model)
    images, labels = inputs.load_images(flags.data, flags.number, flags.bounds, of_mnist=_OF_MNIST)
    is_class = flags.targets.lstrip("-").isdigit()
    targets = [int(flags.targets)] * len(images) if is_class else flags.targets
    adversary = itf.LBFGSAdversary(model, bounds=flags.bounds, loss=flags.loss, solver=flags.solver)
    result = adversary(images, labels, targets=targets, seed=flags.seed)
    print(result)

    folder = Path(flags.output)
    result.save(folder / "attack")
    shown = slice(flags.shown)
    titles = [
        f"already {before}" if status == "already" else f"{before} → {after}"
        for status, before, after in zip(
            result.status[shown],
            result.original_predictions[shown],
            result.predictions[shown],
            strict=True,
        )
    ]
    picture = reporting.adversarial_rows(
        (result.originals[shown] - lower) / (upper - lower),
        (result.images[shown] - lower) / (upper - lower),
        titles,
        columns=16,
    )
    write_atomically(folder / "attack.png", picture.png())
    print(f"\nPicture: {folder / 'attack.png'}. {picture.caption}")
    return 0 if result.success.all() else 1


if __name__ == "__main__":
    run()
