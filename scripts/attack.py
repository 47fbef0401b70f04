"""Adversarial examples for a model: the least change that gives each image another class.

  itf-attack --model=mnist/fc100-100-10 --data=sample --number=64 --output=attack
  itf-attack --model=my.keras --data=my.npz --bounds=-1,1 --targets=nearest
  itf-attack --model=mine.py:build --data=photographs/ --save_images

The other class is a random one, or with --targets=nearest whichever is nearest. Prints a table, and
saves the result (attack.npz, attack.json) and a picture of originals, perturbations and adversarial
images (attack.png). Photographs are fitted to the model.
"""

from __future__ import annotations

import signal
from typing import Any

from intriguing_tf.scripts import inputs, options, outputs
from intriguing_tf.scripts.command import command, say

import intriguing_tf as itf
from intriguing_tf.adversary import AttackInterrupted
from intriguing_tf.files import write_atomically
from intriguing_tf.text import is_integer

_OF_KNOWN = 64
_ARRAYS = ("attack.npz", "attack.json")
_SHOWN = ("attack.png", "examples.md")
_PNGS = r"images/\d{4,}_.*_as_.*\.png"


@command(
    options.model("mnist/fc100-100-10"),
    options.data(),
    options.bounds(),
    options.number_of_data(f"all of a file or folder, {_OF_KNOWN} of other data"),
    options.string("targets", "random", "'random', 'least_likely', 'nearest', or one class"),
    options.seed("of the random targets"),
    options.solver(),
    options.loss(),
    options.outputs("model"),
    options.integer("shown", 64, "images in the picture, at most", lower_bound=1),
    options.boolean("save_images", False, "also save PNGs of 8 bits that still are adversarial"),
    options.output("attack"),
    grace=20,  # what was found is confirmed and saved; a second Ctrl-C ends that
)
def run(flags: Any) -> int:
    """Runs the attack that the flags ask for; returns 0 if it succeeded on every image.

    On Ctrl-C what was found until then is saved.
    """
    with outputs.results(flags, fixed=(*_ARRAYS, *_SHOWN, "images/*"), others=_PNGS) as results:
        return _attack(flags, results)


def _attack(flags: Any, results: outputs.Results) -> int:
    from intriguing_tf.adversary import pictures  # here: --help must not load TensorFlow

    model = inputs.load_model(flags)
    data = inputs.load_data(flags, model, of_known=_OF_KNOWN)
    images, labels, names = data
    if flags.save_images and pictures.kind_of(images) != "images":
        raise ValueError(f"--save_images is for images. Received: data of shape {images.shape}.")
    targets = int(flags.targets) if is_integer(flags.targets) else flags.targets
    chosen = {name: getattr(flags, name) for name in ("loss", "solver", "outputs")}
    adversary = itf.LBFGSAdversary(model, bounds=inputs.bounds(flags), **chosen)
    interrupted = False
    try:
        result = adversary(images, labels, targets=targets, seed=flags.seed)
    except AttackInterrupted as stopped:
        result, interrupted = stopped.result, True
    folder = results.folder
    rows = (result.status == "found").nonzero()[0] if flags.save_images else ()
    pngs = [f"images/{pictures.file_name_of(result, row, names)}" for row in rows]
    results.begin(_ARRAYS, [] if interrupted else [*_SHOWN, *pngs])
    result.save(folder / "attack")
    if interrupted:
        say(result)
        return 128 + signal.SIGINT
    shown = result.plot(names, number=flags.shown, columns=16)
    if isinstance(shown, itf.reporting.Picture):
        path = write_atomically(folder / "attack.png", shown.png())
        told = [f"Picture: {path}. {shown.caption}"]
    else:
        path = write_atomically(folder / "examples.md", shown.markdown())
        told = [str(shown), f"The examples: {path}"]
    if flags.save_images:
        told.append(str(result.save_images(folder / "images", class_names=names)))
    say(result, *told)  # once all is saved: the terminal may be gone
    return 0 if result.success.all() else 1


if __name__ == "__main__":
    run()
