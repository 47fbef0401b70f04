"""Trains 100-100-10 networks with pools of adversarial examples and penalties, and compares them.

  itf-train-adversarial --methods=decay,pools-all,gradient --seeds=0,1,2,3,4 --output=training
  itf-train-adversarial --validation --methods=own.json      on held-out training images
  itf-train-adversarial --corrupted_split --output=corrupted corrupt the training set, train again

Prints a table and writes it to the folder as table.md. Finished networks are kept there: a run that
was stopped resumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intriguing_tf.scripts import options
from intriguing_tf.scripts.command import command, say

import intriguing_tf as itf
from intriguing_tf.experiments.methods import METHODS
from intriguing_tf.files import write_atomically


@command(
    options.strings(
        "methods",
        ["decay", "dropout", "pool-input", "pools-hidden", "pools-all", "gradient", "lipschitz"],
        f"ways to train, of {', '.join(METHODS)}, or paths of recipes of your own (.json)",
    ),
    options.seeds("seeds", [0, 1, 2, 3, 4], "of the training"),
    options.boolean(
        "validation", False, "measure on 10 000 training images that are held out, not on the test"
    ),
    options.number("images attacked per network", 256),
    options.real("radius", 1.0, "l2 radius of the certificates", lower_bound=0.0),
    options.boolean(
        "corrupted_split", False, "instead: corrupt the training set and train --recipe again"
    ),
    options.string("recipe", "mnist/fc100-100-10", "with --corrupted_split: of the zoo"),
    options.only(["recipe"], where="corrupted_split"),
    options.only(
        ["methods", "seeds", "validation", "radius"], where="corrupted_split", value=False
    ),
    options.work_folder(
        "adversarial-training",
        "folder of networks and results",
        writes=["table.md"],
        begun=["measurements/*/made.json", "corrupted/manifest.json"],
    ),
    renamed={"attacked": "number"},
)
def run(flags: Any) -> None:
    """Trains what is missing, prints and writes the table."""
    folder = Path(flags.output)
    experiments = itf.experiments
    test_set = itf.datasets.mnist("test")
    if flags.corrupted_split:
        recipe = itf.publishing.load_recipe(flags.recipe)
        train_set = itf.datasets.mnist("train", recipe.subset)
        result: Any = experiments.corrupted_split.corrupt_and_retrain(
            recipe, folder, train_set, test_set, attacked=flags.number
        )
    else:
        result = experiments.adversarial_training.compare(
            flags.methods,
            flags.seeds,
            folder,
            itf.datasets.mnist("train"),
            None if flags.validation else test_set,
            attacked=flags.number,
            radius=flags.radius,
        )
    path = write_atomically(folder / "table.md", result.table().markdown() + "\n")
    say(result, f"Table: {path}")


if __name__ == "__main__":
    run()
