"""Any image becomes an ostrich: the paper's Figure 5 on any ImageNet network.

  itf-ostrich --images=cat.jpg,photographs/ --model=imagenet/efficientnet-lite0

Distorts every image until the network reads the target, prints a table, and saves the original, the
difference (ten times as large, around grey) and the adversarial image as PNG. The model is an
ImageNet entry of the zoo, a .keras file that takes pixels in [0, 1], or applications/NAME for a
network of keras.applications.
"""

from __future__ import annotations

import os
import sys

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_list("images", None, "image files, and folders of them (or of wnid folders)")
    flags.DEFINE_string("model", "imagenet/efficientnet-lite0", "whom to fool")
    flags.DEFINE_string("target", "ostrich", "class: a name, a WordNet number or an index")
    flags.DEFINE_integer("number", None, "only the first so many images", lower_bound=1)
    flags.DEFINE_enum("solver", None, ["scipy", "compiled"], "the adversary's solver")
    flags.DEFINE_bool(
        "survive_rounding", False, "magnify distortions that rounding to 8 bits would undo"
    )
    flags.DEFINE_string("output", "ostrich", "folder of the results")
    flags.DEFINE_bool("overwrite", False, "whether the folder may hold something already")


def make_ostriches() -> int:
    """Runs Figure 5 as the flags ask; returns 0 if every image became the target."""
    FLAGS = flags.FLAGS
    if not FLAGS.images:
        raise ValueError("--images must name image files or folders, such as --images=cat.jpg.")
    folder = command.empty_folder(FLAGS.output, FLAGS.overwrite)

    from intriguing_tf import datasets
    from intriguing_tf.experiments import figure5
    from intriguing_tf.experiments.imagenet_inputs import load_imagenet_model, named_files

    files = named_files(FLAGS.images)[: FLAGS.number]
    datasets.imagenet_class_index(FLAGS.target)  # before anything is loaded
    model = load_imagenet_model(FLAGS.model)
    read = datasets.read_images(files, model.input_shape[1:3])
    for file, reason in read.skipped:
        print(f"skipped {file}: {reason}", file=sys.stderr)
    options = {"solver": FLAGS.solver} if FLAGS.solver else {}
    figure = figure5.Figure5(FLAGS.target, FLAGS.survive_rounding, options)
    result = figure.run(model, read.images, [file.name for file in read.files])
    print(result)
    print(f"\nPicture: {result.save(folder)}")
    return 0 if result.adversarial.success.all() else 1


main = command.main_of(make_ostriches)


def run() -> None:
    """Entry point of the command `itf-ostrich`."""
    # TensorFlow leaves oneDNN out on some processors, where convolutions gain a quarter by it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
