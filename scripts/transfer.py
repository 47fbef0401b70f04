"""Do images distorted for one model fool the others? The error of every model on every set.

  itf-transfer --models=mnist/fc10-1e-4,mnist/fc100-100-10,my.keras --number=256

Attacks the first images for every model, adds Gaussian noise and amplified distortions, prints the
matrix of errors, and writes it as JSON with a picture and the adversarial images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from intriguing_tf.scripts import inputs, options
from intriguing_tf.scripts import outputs as outputs_folder
from intriguing_tf.scripts.command import command, say

import intriguing_tf as itf
from intriguing_tf import reporting
from intriguing_tf.files import short_stem, write_atomically

_OF_KNOWN = 128
_FILES = ("errors.svg", "errors.json")
_SETS = r"adversarial/.*\.(npz|json)"


def _stddevs(name: str, default: Sequence[float], text: str) -> options.Option:
    def check(values: Sequence[float]) -> None:
        if not all(0 <= value < math.inf for value in values):
            raise ValueError("stddevs are finite and at least 0.")

    return options.checked(options.reals(name, default, text), name, check)


@command(
    options.models(["mnist/fc10-1e-4", "mnist/fc100-100-10", "mnist/ae400-10"]),
    options.data(),
    options.bounds(),
    options.number_of_data(f"all of a file or folder, {_OF_KNOWN} of other data"),
    options.outputs("models"),
    _stddevs("noise", [0.1, 0.3], "stddevs of Gaussian noise"),
    _stddevs("amplify", [0.1], "stddevs to amplify the distortions to"),
    options.seed("of targets and noise"),
    options.output("transfer"),
)
def run(flags: Any) -> None:
    """Measures the matrix that the flags ask for."""
    with outputs_folder.results(flags, (*_FILES, "adversarial/*"), _SETS) as results:
        _measure(flags, results)


def _measure(flags: Any, results: outputs_folder.Results) -> None:
    from intriguing_tf.adversary.inputs import check_images, check_logits  # these load TensorFlow
    from intriguing_tf.adversary.result import STATUSES
    from intriguing_tf.checks import of_model

    folder, bounds = results.folder, inputs.bounds(flags)
    files = {name: f"adversarial/{short_stem(name.replace('/', '_'))}" for name in flags.models}
    if len({*files.values()}) < len(flags.models):
        raise ValueError(
            f"--models must differ, in more than / and _. Received: {','.join(flags.models)}."
        )
    models = {name: inputs.load_model(flags, name) for name in flags.models}
    outputs = {name: inputs.outputs_of(flags, name) for name in models}
    first = flags.models[0]
    images, labels, _ = inputs.load_data(flags, models[first], first, of_known=_OF_KNOWN)
    if labels is None:
        raise ValueError("--data must have labels, for errors are counted. Received: none.")
    sets = {"undistorted": images}
    shown = {name: _predicting(model, outputs[name]) for name, model in models.items()}
    itf.transfer.error_matrix(shown, sets, labels)  # complains before the attacks
    adversaries = {}
    settings = {"bounds": bounds, "loss": "cross_entropy"}
    for name, model in models.items():
        with of_model(name):  # complains, too
            adversary = itf.LBFGSAdversary(model, **settings, outputs=outputs[name])
            rows = check_images(images, adversary.classifier, adversary.bounds)
            check_logits(adversary.classifier.predict_logits(rows), adversary.classifier)
        adversaries[name] = adversary
    attacks: dict[str, dict[str, int]] = {}
    for name, adversary in adversaries.items():
        result = adversary(images, labels, targets="random", seed=flags.seed)
        if name == first:  # of an earlier run nothing is left from here on
            saved = [f"{file}{ending}" for file in files.values() for ending in (".npz", ".json")]
            results.begin(saved[:2], [*saved[2:], *_FILES])
        result.save(folder / f"{files[name]}.npz")
        attacks[name] = {each: int((result.status == each).sum()) for each in STATUSES}
        sets[f"for {name}"] = result.images
        for stddev in flags.amplify:
            sets[f"for {name}, amplified to {stddev}"] = itf.transfer.amplify(result, stddev)
    for stddev in flags.noise:
        noisy = itf.transfer.gaussian_noise(images, stddev, flags.seed, bounds)
        sets[f"Gaussian noise {stddev}"] = noisy
    matrix = itf.transfer.error_matrix(shown, sets, labels, originals=images, bounds=bounds)
    caption = "Error in % of the column's model on the row's images."
    picture = reporting.heat_maps(
        "errors", caption, {"": matrix.errors}, matrix.rows, matrix.columns
    )
    write_atomically(folder / "errors.svg", picture.svg(captioned=True))
    assert matrix.distortion is not None
    values = {
        "rows": matrix.rows,
        "columns": matrix.columns,
        "errors": matrix.errors.tolist(),
        "intervals": matrix.intervals().tolist(),
        "distortions": matrix.distortion.tolist(),
        "attacks": attacks,
    }
    path = write_atomically(folder / "errors.json", json.dumps(values, indent=1))
    say(matrix)
    for name, counts in attacks.items():
        told = ", ".join(f"{number} {status}" for status, number in counts.items())
        say(f"for {name}: {told}; images that are not found are as they were.")
    say(f"\nResults: {path}")


def _predicting(model: Any, outputs: str) -> Any:
    """Returns a model of the same predictions whose graph says where two classes are divided."""
    given = getattr(model, "outputs", None)
    if outputs == "auto" or not given or given[0].shape[-1] != 1:
        return model
    import keras  # here: --help must not load it

    above = given[0] - (0.5 if outputs == "probabilities" else 0.0)
    steep = keras.layers.Activation("sigmoid")(2.0**20 * above)  # 0.5 for no other number than 0
    return keras.Model(model.inputs, steep)


if __name__ == "__main__":
    run()
