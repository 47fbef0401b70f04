"""Sweeps: minimal adversarial examples for whole data sets, many models and many settings.

  itf-sweep --models=mnist/fc10-1e-4,mnist/fc100-100-10 --data=test --output=sweep
  itf-sweep --models=my.keras --data=my.npz --targets=random,nearest --ray=local --workers=4

Started again with the same flags it makes only what is missing; with a larger --number it attacks
the images that are new. Prints a table; --table also
writes a row for each image to a .csv or .parquet file.
"""

from __future__ import annotations

from typing import Any

from intriguing_tf.scripts import inputs, options
from intriguing_tf.scripts.command import command, say

import intriguing_tf as itf
from intriguing_tf.sweeps.tables import check_table
from intriguing_tf.text import printable
from intriguing_tf.zoo.names import short_name


@command(
    options.models(["mnist/fc100-100-10"]),
    options.data(),
    options.bounds(),
    options.number_of_data("all"),
    options.strings("targets", ["random"], "of 'random', 'least_likely', 'nearest'"),
    options.losses(),
    options.solver(),
    options.outputs("models"),
    options.seed("of the random targets"),
    options.shard_size(),
    *options.ray(),
    options.work_folder("sweep", "folder of the sweep; what is there already is not repeated"),
    options.checked(
        options.path("table", None, "a .csv or .parquet file for a row per image"),
        "table",
        check_table,
    ),
    renamed={"folder": "output"},
)
def run(flags: Any) -> None:
    """Runs the sweep that the flags ask for."""
    from intriguing_tf.sweeps.names import valid_names  # here: --help must not load TensorFlow

    short = [printable(short_name(name)) for name in flags.models]
    if len(set(short)) != len(short):
        raise ValueError(
            "--models must differ, files in their names and not in their folders alone. "
            f"Received: {','.join(flags.models)}."
        )
    named = dict(zip(valid_names(short), flags.models, strict=True))
    models = {name: inputs.load_model(flags, each) for name, each in named.items()}
    outputs = {name: inputs.outputs_of(flags, each) for name, each in named.items()}
    settings = {"solver": flags.solver, "bounds": inputs.bounds(flags), "outputs": outputs}
    first = next(iter(models.values()))
    images, labels, _ = inputs.load_data(flags, first, flags.models[0], in_memory=False)
    done = itf.sweep(
        models,
        images,
        labels,
        folder=flags.output,
        targets=flags.targets,
        settings={loss: {"loss": loss, **settings} for loss in flags.losses},
        seed=flags.seed,
        shard_size=flags.shard_size,
        ray=flags.ray,
        workers=flags.workers,
    )
    table = None if flags.table is None else done.write_table(flags.table)
    say(done, *([] if table is None else [f"A row for each image: {table}."]))


if __name__ == "__main__":
    run()
