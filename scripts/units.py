"""Units against random directions of a layer: their images, and whether they differ (section 3).

  itf-units --model=mnist/conv --layer=fc1
  itf-units --model=my.keras --layer=dense_1 --feature_model=mnist/conv --feature_layer=fc1

Prints a table of tests and writes it, with rows of images for units and for random directions, to
the output folder.
"""

from __future__ import annotations

import json
from typing import Any

from intriguing_tf.scripts import inputs, options, outputs
from intriguing_tf.scripts.command import command, say

from intriguing_tf import reporting, units
from intriguing_tf.files import write_atomically

_FILES = ("report.html", "report.md", "contrasts.json")
_FIGURES = r"figures/(natural|random)\.svg"


@command(
    options.model("mnist/conv"),
    options.string("layer", "fc1", "the layer whose activation space is looked at"),
    options.data(),
    options.model(None, name="feature_model"),
    options.bounds(),
    options.number_of_data("all", least=2),
    options.integer("k", 9, "images per direction", lower_bound=2),
    options.integer("shown", 8, "directions drawn", lower_bound=1),
    options.integer("units", None, "units compared; by default all", lower_bound=3),
    options.integer("random", 1000, "random directions compared", lower_bound=3),
    options.real("margin", 0.147, "|Cliff's delta| from which a difference would matter"),
    options.string("feature_layer", None, "the layer of --feature_model for distances"),
    options.seed("of the random directions"),
    options.output("units"),
)
def run(flags: Any) -> None:
    """Runs the comparison that the flags ask for."""
    with outputs.results(flags, (*_FILES, "figures/*"), _FIGURES) as results:
        _compare(flags, results)


def _compare(flags: Any, results: outputs.Results) -> None:
    from intriguing_tf.adversary.pictures import kind_of  # these load TensorFlow
    from intriguing_tf.evaluation.scaling import check_within
    from intriguing_tf.experiments.records import to_json

    bounds = lower, upper = inputs.bounds(flags)
    model = inputs.load_model(flags)
    data = inputs.load_data(flags, model, of_classifier=False)
    images, labels, _ = data
    if labels is None:
        raise ValueError("--data must have labels, which the comparison is about. Received: none.")
    drawn = kind_of(images) == "images"
    if drawn:
        check_within(data, bounds)
    feature_model = flags.feature_model and inputs.load_model(flags, flags.feature_model)
    found = units.compare(
        model,
        flags.layer,
        images,
        labels,
        feature_model=feature_model,
        feature_layer=flags.feature_layer,
        k=flags.k,
        number=flags.units,
        random_number=flags.random,
        margin=flags.margin,
        seed=flags.seed,
    )
    pictures, tables = [], [found.table()]
    for top in (found.natural, found.random):
        rows = top.determined.nonzero()[0][: flags.shown]
        if not drawn:  # tables and series: places in the data
            listed = top.table()
            title = f"{top.kind} directions of {flags.layer}: what goes furthest along each"
            tables.append(reporting.Table(title, listed.columns, [listed.rows[i] for i in rows]))
            continue
        caption = f"{top.kind} directions of {flags.layer}: the images that go furthest along each"
        shown = ((images[top.indices[rows]] - lower) / (upper - lower)).clip(0, 1)
        shown = shown if images.ndim == 4 else shown[..., None]
        names = [top.names()[row] for row in rows]
        pictures.append(reporting.image_rows(top.kind, caption, shown, names))
    title = f"{flags.model}, {flags.layer}: units and random directions"
    report = reporting.Report(title, [], [reporting.Section("Coherence", [], tables, pictures)])
    results.begin(["contrasts.json"], report.files)
    contrasts = json.dumps(to_json(found.contrasts), indent=1)
    write_atomically(results.folder / "contrasts.json", contrasts)
    path = report.save(results.folder)
    say(found, f"Pictures: {path}")


if __name__ == "__main__":
    run()
