"""How robust is a model? Accuracy, attacked and certified, examples and layers, on one page.

  itf-evaluate --model=mnist/fc100-100-10 --number=64
  itf-evaluate --model=my.keras --data=photographs/ --preprocess=tf
  itf-evaluate --model=mine.py:build --data=my.npz --bounds=-3,3 --radii=0.1,0.5,1
  itf-evaluate --model=my.keras --data=table.npz --bounds=data
  itf-evaluate --model=my.keras --data=photographs/ --ray=local --workers=4

Prints a table, and writes report.html (one file, to be opened in a browser), its figures, and the
numbers as JSON and CSV. Stopped and started again with the same flags, it resumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intriguing_tf.scripts import inputs, options, outputs
from intriguing_tf.scripts.command import command, say

import intriguing_tf as itf
from intriguing_tf.zoo.names import short_name

_FILES = ("report.html", "report.md", "evaluation.json", "images.csv", "curve.csv")


@command(
    options.model("mnist/fc100-100-10"),
    options.data(),
    options.bounds_of_data(),
    options.number_of_data("all"),
    options.reals("radii", [], "l2 distances of the table; by default some that fit"),
    options.outputs("model"),
    options.choice(
        "certify",
        "global",
        ["global", "local", "none"],
        "how radii are certified; 'none' leaves out the bounds of layers too",
    ),
    options.shard_size(),
    *options.ray(),
    options.work_folder(
        "evaluation",
        "folder of the page, and of finished work",
        writes=[*_FILES, "figures/*.svg", "figures/*.png"],
        begun=["work/sweep/manifest.json"],
    ),
)
def run(flags: Any) -> None:
    """Evaluates the model that the flags name, and writes the page."""
    with outputs.alone_in(Path(flags.output)):
        _evaluate(flags)


def _evaluate(flags: Any) -> None:
    model = inputs.load_model(flags)
    data = inputs.load_data(flags, model, in_memory=False)
    folder = Path(flags.output)
    evaluation = itf.evaluate(
        model,
        data,
        bounds=inputs.bounds(flags),
        radii=flags.radii or None,
        attack={"outputs": flags.outputs},
        certify=flags.certify,
        folder=folder / "work",
        shard_size=flags.shard_size,
        ray=flags.ray,
        workers=flags.workers,
        name=short_name(flags.model),
    )
    path = evaluation.save(folder)
    say(evaluation, f"The page: {path}")


if __name__ == "__main__":
    run()
