"""Any image becomes an ostrich: the paper's Figure 5 on any ImageNet network.

  itf-ostrich --data=cat.jpg,photographs/ --model=imagenet/efficientnet-lite0

Distorts every image until the network classifies it as the target, prints a table, and saves the
original, the difference (ten times as large, around gray) and the adversarial image as PNG. The
model is an ImageNet entry of the zoo, a file of a model that takes pixels in [0, 1], or
applications/NAME for a network of keras.applications.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from intriguing_tf.scripts import inputs, options, outputs
from intriguing_tf.scripts.command import command, import_tensorflow, say

import intriguing_tf as itf
from intriguing_tf.zoo.pixels import rescaled

_FILES = ("result.npz", "result.json", "table.txt", "figure5.png")
_PNGS = r"\d{3,}_.*_(original|difference|adversarial)\.png"


@command(
    options.photographs(),
    options.model("imagenet/efficientnet-lite0"),
    options.checked(
        options.string("target", "ostrich", "class: a name, a WordNet number or an index"),
        "target",
        itf.datasets.imagenet_class_index,
    ),
    options.number("images, from the first on; by default all"),
    options.solver(None),
    options.boolean(
        "survive_rounding",
        True,
        "the PNGs too must be the target: search the pixels of what rounding undoes",
    ),
    options.output("ostrich"),
    renamed={"images": "data"},
    imports_tensorflow=False,
)
def run(flags: Any) -> int:
    """Runs Figure 5 as the flags ask; returns 0 if every image became the target, in its PNG."""
    # TensorFlow leaves oneDNN out on some processors, where convolutions gain a quarter by it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import_tensorflow()
    with outputs.results(flags, _FILES, _PNGS) as results:
        return _run(flags, results)


def _run(flags: Any, results: outputs.Results) -> int:
    files = inputs.image_files(flags.data)
    taken = inputs.known_bounds(flags.model, flags.preprocess)
    model = rescaled(inputs.load_model(flags), taken)
    read = itf.datasets.read_images(files, inputs.size_of_images(model), number=flags.number)
    for file, reason in read.skipped:
        say(f"skipped {file}: {reason}", file=sys.stderr)
    options = {"solver": flags.solver} if flags.solver else {}
    figure = itf.experiments.Figure5(flags.target, flags.survive_rounding, options)
    result = figure.run(model, read.images, [file.name for file in read.files])
    results.begin(result.files[:2], result.files[2:])
    path = result.save(results.folder)
    say(result, f"Picture: {path}")
    became = result.rounded_predictions == result.target
    wanted = became if flags.survive_rounding else result.adversarial.success
    return 0 if wanted.all() else 1


if __name__ == "__main__":
    run()
