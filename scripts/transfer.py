"""Do images distorted for one model fool the others? The error of every model on every set.

  itf-transfer --models=mnist/fc10-1e-4,mnist/fc100-100-10,my.keras --number=256

Attacks the first images for every model, adds Gaussian noise and amplified distortions, prints the
matrix of errors, and writes it as JSON with a picture and the adversarial images.
"""

from __future__ import annotations

import json

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_list(
        "models",
        ["mnist/fc10-1e-4", "mnist/fc100-100-10", "mnist/ae400-10"],
        "names of the zoo, or paths to .keras files",
    )
    command.define_data()
    flags.DEFINE_integer("number", 128, "how many of them, from the first on", lower_bound=1)
    flags.DEFINE_list("noise", ["0.1", "0.3"], "stddevs of Gaussian noise")
    flags.DEFINE_list("amplify", ["0.1"], "stddevs to amplify the distortions to")
    flags.DEFINE_integer("seed", 0, "of targets and noise")
    flags.DEFINE_string("output", "transfer", "folder of the results")
    flags.DEFINE_bool("overwrite", False, "whether the folder may hold something already")


def measure() -> None:
    """Measures the matrix that the flags ask for."""
    FLAGS = flags.FLAGS
    folder = command.empty_folder(FLAGS.output, FLAGS.overwrite)
    bounds = command.bounds()

    import intriguing_tf as itf
    from intriguing_tf.experiments.inputs import load_images, load_model
    from intriguing_tf.files import write_atomically
    from intriguing_tf.reporting import heat_maps

    noise, amplified = ([float(s) for s in stddevs] for stddevs in (FLAGS.noise, FLAGS.amplify))
    models = {name: load_model(name) for name in FLAGS.models}
    images, labels = load_images(FLAGS.data, FLAGS.number, bounds)
    sets = {"undistorted": images}
    for name, model in models.items():
        adversary = itf.LBFGSAdversary(model, bounds=bounds)
        result = adversary(images, labels, targets="random", seed=FLAGS.seed)
        (folder / "adversarial").mkdir(parents=True, exist_ok=True)
        result.save(folder / "adversarial" / f"{name.replace('/', '_')}.npz")
        sets[f"for {name}"] = result.images
        for stddev in amplified:
            sets[f"for {name}, amplified to {stddev}"] = itf.transfer.amplify(result, stddev)
    for stddev in noise:
        noisy = itf.transfer.gaussian_noise(images, stddev, FLAGS.seed, bounds)
        sets[f"Gaussian noise {stddev}"] = noisy
    matrix = itf.transfer.error_matrix(models, sets, labels, originals=images, bounds=bounds)
    print(matrix)
    caption = "Error in % of the column's model on the row's images."
    picture = heat_maps("errors", caption, {"": matrix.errors}, matrix.rows, matrix.columns)
    write_atomically(folder / "errors.svg", picture.svg())
    assert matrix.distortion is not None
    values = {
        "rows": matrix.rows,
        "columns": matrix.columns,
        "errors": matrix.errors.tolist(),
        "intervals": matrix.intervals().tolist(),
        "distortions": matrix.distortion.tolist(),
    }
    path = write_atomically(folder / "errors.json", json.dumps(values, indent=1))
    print(f"\nResults: {path}")


main = command.main_of(measure)


def run() -> None:
    """Entry point of the command `itf-transfer`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
