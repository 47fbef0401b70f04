"""Certified Lipschitz bounds per layer and for the whole network, as in the paper's Table 5.

  itf-lipschitz --model=mnist/fc100-100-10
  itf-lipschitz --model=my.keras --format=markdown --output=bounds
  itf-lipschitz --model=applications/EfficientNetB0 --domain=0,255
  itf-lipschitz --model=mnist/conv --number=64 --output=bounds
  itf-lipschitz --model=mnist/fc100-100-10 --number=64 --radius=local
  itf-lipschitz --alexnet_kernels=alexnet.npz

Prints the table, or JSON; --output saves it with a picture: a bar per layer, its bound and its
lower bound. --domain bounds the model for inputs in a box only, where products of two branches have
a bound, too. --number, without --domain, certifies so many images of --data and attacks them:
certified radius ≤ distance to the nearest other prediction ≤ the adversary's distance.
--alexnet_kernels takes AlexNet's kernels from an .npz file (conv1/kernel … fc8/kernel) and prints
Table 5 beside the paper's.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from intriguing_tf.scripts import inputs, options, outputs
from intriguing_tf.scripts.command import command, say

from intriguing_tf import experiments, lipschitz, reporting
from intriguing_tf.digits import rounded_up
from intriguing_tf.files import write_atomically

_FILES = (
    *("bounds.md", "layers.svg", "bounds.json", "sandwich.md", "sandwich.svg"),
    *("table5.md", "table5.json"),
)


@command(
    options.model(None),
    options.choice(
        "method",
        "best",
        ["best", "quick", "product"],
        "joint bounds, those that take moments, or layer by layer",
    ),
    options.choice(
        "unbounded", "raise", ["raise", "inf"], "what to do with layers without a bound"
    ),
    options.domain(),
    options.choice("format", "text", ["text", "markdown", "json"], "what to print"),
    options.number_of_data("none is certified and attacked"),
    options.choice(
        "radius",
        "global",
        ["global", "local"],
        "certify by bounds of all inputs, or of a ball each",
    ),
    options.data(),
    options.bounds(),
    options.checked(
        options.string("alexnet_kernels", None, ".npz file of AlexNet's kernels, for Table 5"),
        "alexnet_kernels",
        inputs.check_file,
    ),
    options.one_of("model", "alexnet_kernels"),
    options.only(["radius", "bounds", "class_names"], where="number"),
    options.only(["method", "unbounded", "domain", "number", "data", "preprocess"], where="model"),
    options.not_both("domain", "number", "radii need bounds that hold for all inputs"),
    options.output(None, "folder for the table, the JSON and the pictures"),
    options.only(["overwrite"], where="output"),
    renamed={"sandwich": "number"},
)
def run(flags: Any) -> None:
    """Prints and saves Table 5 of a file of kernels, or the bounds of a model."""
    saved = flags.output is not None
    with outputs.results(flags, _FILES) if saved else contextlib.nullcontext() as results:
        _run(flags, results)


def _run(flags: Any, results: outputs.Results | None) -> None:
    found = _table_5(flags) if flags.alexnet_kernels else _bounds(flags)
    values = json.dumps(found.values, indent=1)
    markdown = {name: table.markdown() for name, table in found.tables.items()}
    saved = [] if results is None else _save(found, values, markdown, results)
    if flags.format == "json":
        say(values)
    elif flags.format == "markdown":
        say(*markdown.values())
    else:
        say(*found.tables.values())
    if saved and flags.format != "json":
        say(f"\nSaved in {flags.output}: {', '.join(saved)}")
    if found.failed is not None:
        raise found.failed


def _save(
    found: _Found, values: str, markdown: dict[str, str], results: outputs.Results
) -> list[str]:
    files = {
        **{f"{name}.md": text for name, text in markdown.items()},
        **{f"{name}.svg": draw().svg(captioned=True) for name, draw in found.pictures.items()},
        f"{next(iter(markdown))}.json": values,
    }
    results.begin(files)
    for name, content in files.items():
        write_atomically(results.folder / name, content)
    return [*files]


class _Found(NamedTuple):
    """What a run found: tables and, to be drawn, pictures by the names of their files; JSON.

    `failed` says why radii are missing.
    """

    tables: dict[str, Any]
    pictures: dict[str, Callable[[], Any]]
    values: dict[str, Any]
    failed: ValueError | None = None


def _table_5(flags: Any) -> _Found:
    from intriguing_tf.archives import own_arrays  # here: --help is quicker without NumPy

    result = experiments.Table5.of_kernels(own_arrays(inputs.check_file(flags.alexnet_kernels)))
    return _Found({"table5": result.table()}, {}, {"bounds": dict(result.bounds)})


def _bounds(flags: Any) -> _Found:
    model = inputs.load_model(flags, application_weights=None)
    if flags.model.startswith("applications/") and ":" not in flags.model:
        say(f"{flags.model} has random weights; Keras's: {flags.model}:imagenet", file=sys.stderr)
    images = None if flags.number is None else _images(model, flags)
    if flags.number is None and flags["data"].present:
        say("--data is looked at with --number of them.", file=sys.stderr)
    report = lipschitz.bound(model, flags.method, flags.unbounded, domain=flags.domain)
    found = _Found({"bounds": report.table()}, {}, report.as_dict())
    if any(map(_is_drawn, report.rows)):
        found.pictures["layers"] = functools.partial(_layers, flags.model, report)
    if images is not None:
        try:
            _add_sandwich(found, model, images, flags)
        except ValueError as error:  # such as a layer without a bound of its rounding errors
            return found._replace(failed=error)
    return found


def _is_drawn(row: Any) -> bool:
    return row.bound != 1 or bool(row.size)


def _layers(model: str, report: Any) -> Any:
    drawn = [row for row in report.rows if _is_drawn(row)]
    total, product = rounded_up(report.total), rounded_up(report.product)
    totals = f"total {total:.4g}, product of the layers {product:.4g}"
    return reporting.layer_bars(
        "layers",
        f"{model}: {totals}.",
        [row.layer for row in drawn],
        [row.bound for row in drawn],
        [row.attained for row in drawn],
    )


def _images(model: Any, flags: Any) -> Any:
    """Returns the images to certify and to attack, which are found to fit before the bounds."""
    from intriguing_tf.adversary import LBFGSAdversary  # these load TensorFlow
    from intriguing_tf.adversary.inputs import check_images

    images, *_ = inputs.load_data(flags, model)
    adversary = LBFGSAdversary(model, bounds=inputs.bounds(flags))
    return check_images(images, adversary.classifier, adversary.bounds)


def _add_sandwich(found: _Found, model: Any, images: Any, flags: Any) -> None:
    measured = experiments.Sandwich.of(model, images, inputs.bounds(flags), flags.radius)
    found.tables["sandwich"] = measured.table()
    found.pictures["sandwich"] = measured.picture
    for name in ("certified", "found"):
        values = getattr(measured, name).tolist()
        found.values[name] = [value if math.isfinite(value) else None for value in values]


if __name__ == "__main__":
    run()
