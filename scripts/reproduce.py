"""All of the paper's MNIST experiments: Tables 1 to 4 and Figures 1, 2 and 7, as a report.

  itf-reproduce --output=reproduction            1 000 attacked images per model and table
  itf-reproduce --output=reproduction --quick    128: under a minute
  itf-reproduce --output=reproduction --retrain  networks trained again by the zoo's recipes

The folder gets report.html (one file, to be opened in a browser), report.md with figures/, and
results.json. Finished pieces are kept there: a run that was stopped resumes.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from intriguing_tf.scripts import options
from intriguing_tf.scripts.command import command, say

from intriguing_tf import experiments, reporting
from intriguing_tf.files import check_folder


def _check_log(folder: str) -> None:
    check_folder(folder)
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError("TensorBoard is not installed: pip install tensorboard.")


@command(
    options.work_folder("reproduction", "folder of the report and of finished pieces"),
    options.number("images attacked per model and table", 1000, least=8),
    options.boolean("quick", False, "the same as --number=128"),
    options.only(["number"], where="quick", value=False),
    options.seed("of targets, noise and random directions"),
    options.boolean("retrain", False, "train the networks by the zoo's recipes first"),
    options.seed("with --retrain: of the training", "training_seed"),
    options.only(["training_seed"], where="retrain"),
    options.seeds(
        "training_seeds",
        [],
        "at least 2 seeds, such as 1,2,3: train Table 1's deep networks from each, for the spread",
    ),
    options.checked(
        options.path("tensorboard", None, "also log to this folder for TensorBoard"),
        "tensorboard",
        _check_log,
    ),
)
def run(flags: Any) -> None:
    """Runs what is missing and writes the report."""
    training_seed = flags.training_seed if flags.retrain else None
    with experiments.Workspace(flags.output, training_seed=training_seed) as workspace:
        reproduction = experiments.reproduce(
            workspace,
            128 if flags.quick else flags.number,
            flags.seed,
            tuple(flags.training_seeds),
        )
    if flags.tensorboard:
        reporting.log_to_tensorboard(reproduction.report, reproduction.scalars(), flags.tensorboard)
    say(f"\n{reproduction}", f"The report: {workspace.folder / 'report.html'}")


if __name__ == "__main__":
    run()
