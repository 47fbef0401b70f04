"""How steep is a network? A rigorous Lipschitz bound per layer, as in the paper's Table 5.

  itf-lipschitz --model=mnist/fc100-100-10
  itf-lipschitz --model=my.keras --format=markdown --output=bounds
  itf-lipschitz --model=applications/EfficientNetB0 --unbounded=inf
  itf-lipschitz --model=mnist/conv --sandwich=64 --output=bounds
  itf-lipschitz --alexnet_kernels=alexnet.npz

Prints the table, or JSON; --output saves it with a picture: a bar per layer, its bound and what is
attained. --sandwich certifies images of --data and attacks them: certified radius ≤ distance to the
nearest other prediction ≤ the adversary's distance. --alexnet_kernels takes AlexNet's kernels from
an .npz file (conv1/kernel … fc8/kernel) and prints Table 5 beside the paper's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "model", None, "a name of the zoo, a .keras file, or applications/NAME (random weights)"
    )
    flags.DEFINE_enum("method", "best", ["best", "product"], "joint bounds, or layer by layer")
    flags.DEFINE_enum(
        "unbounded", "raise", ["raise", "inf"], "what to do with layers without a bound"
    )
    flags.DEFINE_enum("format", "text", ["text", "markdown", "json"], "what to print")
    flags.DEFINE_integer("sandwich", None, "certify and attack so many images", lower_bound=1)
    command.define_data()
    flags.DEFINE_string("alexnet_kernels", None, ".npz file of AlexNet's kernels, for Table 5")
    flags.DEFINE_string("output", None, "folder for the table, the JSON and the pictures")


def bound_what_the_flags_ask() -> None:
    """Dispatches: Table 5 of a file of kernels, or the bounds of a model."""
    FLAGS = flags.FLAGS
    if (FLAGS.model is None) == (FLAGS.alexnet_kernels is None):
        raise ValueError("give --model or --alexnet_kernels, such as --model=mnist/fc100-100-10.")
    if FLAGS.alexnet_kernels:
        _print_table_5(FLAGS.alexnet_kernels)
    else:
        _print_bounds(FLAGS.model)


def _print_table_5(path: str) -> None:
    import numpy as np

    from intriguing_tf.experiments.table5 import Table5

    with np.load(path, allow_pickle=False) as kernels:
        result = Table5.of_kernels(kernels)
    _print(result.table(), {"bounds": dict(result.bounds)})
    _save({"table5.md": result.table().markdown()})


def _print_bounds(name: str) -> None:
    FLAGS = flags.FLAGS
    from intriguing_tf import lipschitz
    from intriguing_tf.reporting import layer_bars

    model = _load(name)
    report = lipschitz.bound(model, FLAGS.method, FLAGS.unbounded)
    values: dict[str, Any] = report.as_dict()
    drawn = [row for row in report.rows if row.bound != 1 or row.size]
    caption = f"{name}: total {report.total:.4g}, product of the layers {report.product:.4g}."
    picture = layer_bars(
        "layers",
        caption,
        [row.layer for row in drawn],
        [row.bound for row in drawn],
        [row.attained for row in drawn],
    )
    files = {"bounds.md": report.table().markdown(), "layers.svg": picture.svg()}
    measured = _sandwich(model) if FLAGS.sandwich else None
    if measured:
        values["certified"] = measured.certified.tolist()
        values["found"] = [None if d == float("inf") else d for d in measured.found.tolist()]
        files["sandwich.svg"] = measured.picture().svg()
        files["sandwich.md"] = measured.table().markdown()
    _print(report.table(), values)
    if measured and FLAGS.format != "json":
        print()
        _print(measured.table(), {})
    _save(files | {"bounds.json": json.dumps(values, indent=1)})


def _load(name: str) -> Any:
    from intriguing_tf.experiments.inputs import load_model
    from intriguing_tf.models import keras_application

    prefix = "applications/"
    if name.startswith(prefix):
        return keras_application(name.removeprefix(prefix), weights=None)
    return load_model(name)


def _sandwich(model: Any) -> Any:
    FLAGS = flags.FLAGS
    from intriguing_tf.experiments.inputs import load_images
    from intriguing_tf.experiments.sandwich import Sandwich

    bounds = command.bounds()
    images, _ = load_images(FLAGS.data, FLAGS.sandwich, bounds)
    return Sandwich.of(model, images, bounds)


def _print(table: Any, values: dict[str, Any]) -> None:
    FLAGS = flags.FLAGS
    if FLAGS.format == "json":
        print(json.dumps(values, indent=1))
    else:
        print(table.markdown() if FLAGS.format == "markdown" else table.text())


def _save(files: dict[str, str]) -> None:
    FLAGS = flags.FLAGS
    if FLAGS.output is None:
        return
    from intriguing_tf.files import write_atomically

    for name, content in files.items():
        write_atomically(Path(FLAGS.output) / name, content)
    if FLAGS.format != "json":
        print(f"\nSaved in {FLAGS.output}: {', '.join(files)}")


main = command.main_of(bound_what_the_flags_ask)


def run() -> None:
    """Entry point of the command `itf-lipschitz`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
