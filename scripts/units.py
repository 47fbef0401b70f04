"""Units against random directions of a layer: their images, and whether they differ (section 3).

  itf-units --model=mnist/conv --layer=fc1
  itf-units --model=my.keras --layer=dense_1 --feature_model=mnist/conv --feature_layer=fc1

Prints a table of tests and writes it, with rows of images for units and for random directions, to
the output folder.
"""

from __future__ import annotations

import json

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("model", "mnist/conv", "a name of the zoo, or a path to a .keras file")
    flags.DEFINE_string("layer", "fc1", "the layer whose activation space is looked at")
    command.define_data()
    flags.DEFINE_integer("number", None, "first images of the data; by default all", lower_bound=2)
    flags.DEFINE_integer("k", 9, "images per direction", lower_bound=2)
    flags.DEFINE_integer("shown", 8, "directions drawn", lower_bound=1)
    flags.DEFINE_integer("units", None, "units compared; by default all", lower_bound=3)
    flags.DEFINE_integer("random", 1000, "random directions compared", lower_bound=3)
    flags.DEFINE_float("margin", 0.147, "|Cliff's delta| from which a difference would matter")
    flags.DEFINE_string("feature_model", None, "another model, for distances in its features")
    flags.DEFINE_string("feature_layer", None, "the layer of those features")
    flags.DEFINE_integer("seed", 0, "of the random directions")
    flags.DEFINE_string("output", "units", "folder of the table and the pictures")
    flags.DEFINE_bool("overwrite", False, "whether the folder may hold something already")


def compare_and_draw() -> None:
    """Runs the comparison that the flags ask for."""
    FLAGS = flags.FLAGS
    folder = command.empty_folder(FLAGS.output, FLAGS.overwrite)
    lower, upper = command.bounds()

    from intriguing_tf import units
    from intriguing_tf.experiments.inputs import load_images, load_model
    from intriguing_tf.experiments.records import to_json
    from intriguing_tf.files import write_atomically
    from intriguing_tf.reporting import Report, Section, image_rows

    images, labels = load_images(FLAGS.data, FLAGS.number, (lower, upper))
    found = units.compare(
        load_model(FLAGS.model),
        FLAGS.layer,
        images,
        labels,
        feature_model=load_model(FLAGS.feature_model) if FLAGS.feature_model else None,
        feature_layer=FLAGS.feature_layer,
        k=FLAGS.k,
        number=FLAGS.units,
        random_number=FLAGS.random,
        margin=FLAGS.margin,
        seed=FLAGS.seed,
        verbose=True,
    )
    print(found)
    pictures, shown = [], (images - lower) / (upper - lower)
    for top in (found.natural, found.random):
        rows = top.determined.nonzero()[0][: FLAGS.shown]
        caption = f"{top.kind} directions of {FLAGS.layer}: the images that go furthest along each"
        names = [top.names()[row] for row in rows]
        pictures.append(image_rows(top.kind, caption, shown[top.indices[rows]], names))
    title = f"{FLAGS.model}, {FLAGS.layer}: units and random directions"
    report = Report(title, [], [Section("Coherence", [], [found.table()], pictures)])
    path = report.save(folder)
    write_atomically(
        path.with_name("contrasts.json"), json.dumps(to_json(found.contrasts), indent=1)
    )
    print(f"\nPictures: {path}")


main = command.main_of(compare_and_draw)


def run() -> None:
    """Entry point of the command `itf-units`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
