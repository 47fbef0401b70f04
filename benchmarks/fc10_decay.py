"""Which weight decay explains the paper's FC10? Errors, noise and distortion along λ.

    python benchmarks/fc10_decay.py 1e-3 1e-1 3 10

FC10(λ) is convex; each is trained to its optimum with the decay as the paper prints it, and
measured as Tables 1 and 2 measure it, on the first 256 training images. The rows of the paper stand
below.
"""

from __future__ import annotations

import sys

import intriguing_tf as itf
from intriguing_tf.classifier import Classifier
from intriguing_tf.experiments import paper
from intriguing_tf.publishing import load_recipe, train
from intriguing_tf.reporting import Table

IMAGES = 256


def main(decays: list[float]) -> None:
    """Trains, attacks and prints one row for each decay."""
    rows = [measured(decay) for decay in decays]
    for name in ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)"):
        printed = paper.TABLE_1[name]
        column = paper.TABLE_2.columns.index(name)
        noise = [paper.TABLE_2.errors[f"Gaussian noise {s}"][column] for s in (0.1, 0.3)]
        errors = [f"{100 * e:.1f}" for e in (printed.train_error, printed.test_error, *noise)]
        rows.append((f"paper, {name}", *errors, f"{printed.distortion:.3f}", ""))
    head = ("λ", "train, %", "test, %", "noise 0.1, %", "noise 0.3, %", "distortion",
            "… of correctly classified")  # fmt: skip
    print(Table("", head, rows).markdown())


def measured(decay: float) -> tuple[str, ...]:
    """Trains FC10(λ) to its optimum and measures it."""
    recipe = load_recipe("mnist/fc10-1e-4")
    recipe = recipe.replace(
        arguments={"weight_decay": decay}, fitting=recipe.fitting.replace(tolerance=1e-5)
    )
    model = train(recipe, verbose=False).model
    classifier = Classifier(model)
    errors = [
        (classifier.predict(images) != labels).mean()
        for images, labels in (itf.datasets.mnist("train"), itf.datasets.mnist("test"))
    ]
    images, labels = (part[:IMAGES] for part in itf.datasets.mnist("train"))
    for stddev in (0.1, 0.3):
        noisy = itf.transfer.gaussian_noise(images, stddev)
        errors.append((classifier.predict(noisy) != labels).mean())
    result = itf.LBFGSAdversary(model, loss="cross_entropy")(images, labels, verbose=False)
    return (
        f"{decay:g}",
        *(f"{100 * error:.1f}" for error in errors),
        f"{result.distortion[result.success].mean():.3f}",
        f"{result.mean_distortion:.3f}",
    )


if __name__ == "__main__":
    main([float(decay) for decay in sys.argv[1:]] or [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 3.0, 10.0])
