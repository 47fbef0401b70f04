"""What is measured of an ImageNet entry for its card, on photographs that scikit-image brings."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf import datasets, lipschitz
from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.adversary.naming import whole_name
from intriguing_tf.classifier import Classifier
from intriguing_tf.digits import rounded_down, rounded_up
from intriguing_tf.files import write_atomically
from intriguing_tf.publishing.entries import writable_zoo
from intriguing_tf.reporting import image_triples
from intriguing_tf.store import locked
from intriguing_tf.zoo import catalogue, loading, site
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import DownloadError, UnpinnedError
from intriguing_tf.zoo.pixels import rescaled
from intriguing_tf.zoo.records import Facts

# Free of rights: by NASA and SpaceX (public domain), Stefan van der Walt and Rachel Michetti (CC0).
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
SEEDS = (0, 1, 2)  # of random targets: as many for each photograph
MAGNIFIED = 10  # times, the changes in the picture

# Accuracy on ImageNet's validation images, centre crop: top-1, top-5, and who says so.
PUBLISHED: dict[str, tuple[float, float | None, str]] = {
    "imagenet/alexnet": (0.571, 0.802, "BVLC/caffe, models/bvlc_alexnet/readme.md"),
    "imagenet/alexnet-one-tower": (
        0.56522, 0.79066, "torchvision's documentation, AlexNet_Weights.IMAGENET1K_V1",
    ),
    "imagenet/squeezenet-1.1": (
        0.575, 0.803, "Iandola et al. 2016, of version 1.0; its repository calls 1.1 as accurate",
    ),
    "imagenet/googlenet": (0.687, 0.889, "BVLC/caffe, models/bvlc_googlenet/readme.md"),
    **{
        f"imagenet/efficientnet-lite{i}": (
            top1, None, "tensorflow/tpu, models/official/efficientnet/lite, README.md, float32",
        )
        for i, top1 in enumerate((0.751, 0.767, 0.776))
    },
}  # fmt: skip


def describe(
    name: str, folder: str | os.PathLike | None = None, *, verbose: bool | str = "auto"
) -> ModelCard:
    """Measures an ImageNet entry and writes its card, page, picture, catalogue and index.

    Its publisher's accuracy is written with its source. Where the weights are here, or can be
    downloaded, so are the bounds of its layers, and the average distortion on four photographs.

    Args:
        name: of an entry of 1 000 classes.
        folder: of the zoo to write to; by default the checkout's.
        verbose: True or False for progress bars, or "auto".

    Returns:
        The card.

    Raises:
        ValueError: another entry, no `folder` where the package is not a checkout, or files that
            are not a zoo's in the places of those to be written.
        CatalogueError: the folder's catalogue, leaderboard or a card in it cannot be read.
        ModuleNotFoundError: scikit-image is not installed.
        RuntimeError: another process is publishing into the folder.

    Example:

        itf.publishing.describe("imagenet/efficientnet-lite0", "my-zoo")
    """
    card = catalogue.info(name)
    if card.classes != 1000 or len(card.input_shape) != 3:
        raise ValueError(
            "Entries of ImageNet are described; itf-zoo publish measures those that are trained "
            f"here. Received: {name!r}, {card.input_shape} → {card.classes} classes."
        )
    folder = writable_zoo(folder)
    metrics = published_accuracy(name)
    picture = None
    with locked(folder):
        site.check(folder, {name: [site.PICTURE]})
        try:
            loading.path(name)
        except (DownloadError, UnpinnedError):
            metrics = {**card.metrics.json(), **metrics}  # what was measured where the weights were
        else:
            model = rescaled(loading.load(name), card.bounds)
            measured, picture = measure_photographs(model, verbose=verbose)
            metrics |= measured
        card = card.replace(metrics=Facts(metrics))
        site.write_card(folder, card)  # first: beside a card all is the entry's
        if picture is not None:
            write_atomically(folder / name / site.PICTURE, picture)
        site.refresh(folder)
    return card


def published_accuracy(name: str) -> dict[str, Any]:
    """Returns what an entry's publisher says of its accuracy, as metrics of a card."""
    if name not in PUBLISHED:
        return {}
    top1, top5, source = PUBLISHED[name]
    metrics = {"published_top1": top1, "published_top5": top5, "published_source": source}
    return {key: value for key, value in metrics.items() if value is not None}


def measure_photographs(
    model: keras.Model, *, verbose: bool | str = "auto"
) -> tuple[dict[str, Any], bytes]:
    """Bounds an ImageNet network's layers, and attacks it on the photographs.

    Args:
        model: RGB images in [0, 1] to 1 000 logits.
        verbose: True or False for progress bars, or "auto".

    Returns:
        Metrics of a card, and a picture as PNG: a photograph, the change, the adversarial image.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    images = datasets.read_images(_files(), model.input_shape[1:3]).images
    adversary = LBFGSAdversary(model, loss="cross_entropy")  # the paper's
    results = [adversary(images, targets="random", seed=seed, verbose=verbose) for seed in SEEDS]
    distortions = np.concatenate(
        [result.distortion[result.status == "found"] for result in results]
    )
    report = lipschitz.bound(model, method="product", unbounded="inf", verbose=verbose)
    metrics: dict[str, Any] = {
        **({"average_distortion": float(distortions.mean())} if len(distortions) else {}),
        "attack": {
            "photographs": ", ".join(Path(name).stem for name in PHOTOGRAPHS),
            "targets": f"random, {len(SEEDS)} for each",
            "loss": adversary.loss,
            "solver": adversary.solver,
            "success": len(distortions) / (len(images) * len(SEEDS)),
        },
        "layers": [
            [
                row.layer,
                row.kind,
                _finite(row.bound, rounded_up),
                _finite(row.attained, rounded_down),
            ]
            for row in report.rows
            if row.size
        ],
    }
    if report.product < 1e300:
        metrics["lipschitz_product"] = float(report.product)
    return metrics, _picture(results[0], Classifier(model))


def _files() -> list[Path]:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            "The photographs come with scikit-image: pip install scikit-image."
        )
    return [Path(found.origin).parent / "data" / name for name in PHOTOGRAPHS]


def _finite(value: float | None, rounded: Callable[[float, int], float]) -> float | None:
    return None if value is None or not math.isfinite(value) else rounded(value, 6)


def _picture(result: AdversarialResult, classifier: Classifier) -> bytes:
    names = datasets.imagenet_class_names()
    originals, images = np.asarray(result.originals), np.asarray(result.images)
    rows = np.stack([originals, 0.5 + MAGNIFIED * (images - originals), images], axis=1)
    before, after = classifier.predict(originals), classifier.predict(images)
    titles = [
        [whole_name(a, names), f"change × {MAGNIFIED}", whole_name(b, names)]
        for a, b in zip(before, after, strict=True)
    ]
    return image_triples("photographs", "", rows, titles).png(dpi=60)
