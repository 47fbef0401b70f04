"""What is measured of an entry for its card, and a card beside a new measurement."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from intriguing_tf import datasets, lipschitz
from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.classifier import Classifier
from intriguing_tf.publishing.certificates import ATTACKED, CertifiedAndFound, is_certified
from intriguing_tf.reporting import Table, adversarial_rows
from intriguing_tf.zoo import catalogue, loading
from intriguing_tf.zoo.cards import METRICS, ModelCard
from intriguing_tf.zoo.pixels import UNIT, rescaled

ATTACK: dict[str, Any] = {"targets": "random", "seed": 0}
PICTURED = 10
RADII = (0.3, 0.5, 1.0, 1.58)  # of the verified-robust accuracy
BATCH = 2000  # images that are certified at once

# How far a metric may move on another machine: errors by this many images, others by this share.
IMAGES_APART = 2
SHARE_APART = {
    "average_distortion": 0.01,
    "lipschitz_total": 0.001,
    "lipschitz_product": 0.001,
    "certified_radius_median": 0.01,
    "found_over_certified": 0.02,
}


def measure(
    model: keras.Model, card: ModelCard, *, full: bool = True, verbose: bool | str = "auto"
) -> tuple[dict[str, Any], bytes]:
    """Measures an MNIST classifier for its card.

    Args:
        model: images `[n, 28, 28, 1]` within `card.bounds` to logits. Distances and Lipschitz
            bounds are those of pixels in [0, 1] all the same.
        card: its recipe says which images it was trained on.
        full: also errors on the full training and test sets; they need MNIST.
        verbose: True or False for progress bars, or "auto".

    Returns:
        Metrics by the names of `zoo.cards.METRICS`, errors as fractions, and a picture as PNG:
        the first test images that are correctly classified, magnified changes, adversarial images.
        Where no adversarial image is found, there is no average distortion, and the picture is
        empty bytes; a certified radius that is not finite is left out.
    """
    metrics, pictures = measure_and_draw(model, card, full=full, verbose=verbose)
    return metrics, pictures.get("picture", b"")


def measure_and_draw(
    model: keras.Model, card: ModelCard, *, full: bool = True, verbose: bool | str = "auto"
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """As `measure`, with all pictures of the card as PNG by file stem.

    Besides "picture" those are, of a network that was trained for certificates, "sandwich" and
    "radius".
    """
    images, labels = datasets.mnist_sample()
    model = rescaled(model, card.bounds)
    classifier = Classifier(model)
    metrics = _full_errors(classifier, card.recipe.get("data", "train")) if full else {}
    metrics["sample_error"] = _error(classifier, images, labels)
    adversary = LBFGSAdversary(model, loss="cross_entropy")
    result = adversary(images, labels, **ATTACK, verbose=verbose)
    found = bool((result.status == "found").any())
    if found:
        metrics["average_distortion"] = result.mean_distortion
    metrics["attack"] = {
        "images": len(images),
        **ATTACK,
        "loss": adversary.loss,
        "solver": adversary.solver,
        "success": float(result.success.mean()),
    }
    metrics |= _lipschitz(model, images)
    if full:
        metrics |= verified_robust_accuracy(model, *datasets.mnist("test"))
    pictures = {"picture": _picture(result)} if found else {}
    if is_certified(card):
        first = slice(ATTACKED)
        both = CertifiedAndFound.of(model, images[first], labels[first], UNIT, verbose)
        metrics |= both.metrics()
        pictures |= {stem: each.png(dpi=80) for stem, each in both.pictures().items()}
    return metrics, pictures


def verified_robust_accuracy(
    model: keras.Model, images: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns the share of images that are classified correctly and certified, at each radius.

    Args:
        model: images to logits.
        images, labels: the images that count, and their classes.
    """
    correct = Classifier(model).predict(images) == labels
    radii = lipschitz.certified_radius(model, images[correct], BATCH)
    return {f"vra_{r:g}": float(np.sum(radii >= r) / len(images)) for r in RADII}


def _lipschitz(model: keras.Model, images: np.ndarray) -> dict[str, Any]:
    """Certified bounds, and the radius that they give half of the images at least."""
    report = lipschitz.bound(model)
    metrics = {"lipschitz_total": float(report.total), "lipschitz_product": float(report.product)}
    radius = float(np.median(lipschitz.certified_radius(model, images)))
    if np.isfinite(radius):  # that of a constant is not
        metrics["certified_radius_median"] = radius
    return metrics


def _error(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the fraction of images that a classifier misclassifies."""
    return float((classifier.predict(images) != labels).mean())


@dataclasses.dataclass(frozen=True)
class CardComparison:
    """A card beside a new measurement; prints as a table.

    Args:
        name: of the entry.
        rows: metric, value in the card, value now (NaN: there is none), allowed difference.
        unchecked: metrics that need the full MNIST, which is not here.
    """

    name: str
    rows: tuple[tuple[str, float, float, float], ...]
    unchecked: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every metric that was measured is within its allowed difference."""
        return all(abs(before - now) <= allowed for _, before, now, allowed in self.rows)

    def __str__(self) -> str:
        rows = [
            (metric, before, now, allowed, "agrees" if abs(before - now) <= allowed else "DIFFERS")
            for metric, before, now, allowed in self.rows
        ]
        columns = ("metric", "card", "now", "allowed difference", "")
        notes = [f"Not checked without the full MNIST: {', '.join(self.unchecked)}."]
        return str(Table(self.name, columns, rows, notes if self.unchecked else (), digits=5))


def verify_metrics(name: str, *, verbose: bool | str = "auto") -> CardComparison:
    """Evaluates an entry of the zoo again and compares it with its card.

    Without the full MNIST, what can be measured on the bundled sample is.

    Args:
        name: of an MNIST entry.
        verbose: True or False for progress bars, or "auto".

    Raises:
        ValueError: no such entry, or its card has no metrics.

    Example:

        print(itf.publishing.verify_metrics("mnist/fc10-1"))
    """
    card = catalogue.info(name)
    if "sample_error" not in card.metrics:
        raise ValueError(f"The card of {name!r} has no metrics to compare with.")
    full = _mnist_is_here()
    now, _ = measure(loading.load(name), card, full=full, verbose=verbose)
    keys = [key for key in METRICS if card.metrics.get(key) is not None]
    unchecked = () if full else tuple(key for key in keys if key not in now)
    return CardComparison(
        name,
        tuple(
            (key, card.metrics[key], now.get(key, math.nan), _allowed(key, card))
            for key in keys
            if key not in unchecked
        ),
        unchecked,
    )


def _allowed(key: str, card: ModelCard) -> float:
    if key in SHARE_APART:
        return SHARE_APART[key] * card.metrics[key]
    training = 60_000 if card.recipe.get("data", "train") == "train" else 30_000
    images = {"sample_error": 1_000, "test_error": 10_000}.get(key, training)
    images = 10_000 if key.startswith("vra_") else images
    return IMAGES_APART / images + 1e-12


def _mnist_is_here() -> bool:
    try:
        datasets.mnist("test")
    except FileNotFoundError:
        return False
    return True


def _full_errors(classifier: Classifier, data: str) -> dict[str, Any]:
    """Errors on the images it was trained on, on the other half if there is one, and in test."""
    errors = {
        "train_error": _error(
            classifier, *datasets.mnist("train", None if data == "train" else data)
        )
    }
    if data in ("p1", "p2"):
        errors["other_half_error"] = _error(
            classifier, *datasets.mnist("train", "p2" if data == "p1" else "p1")
        )
    return errors | {"test_error": _error(classifier, *datasets.mnist("test"))}


def _picture(result: AdversarialResult) -> bytes:
    shown = (result.status == "found").nonzero()[0][:PICTURED]
    titles = [
        f"{before} → {after}"
        for before, after in zip(
            result.original_predictions[shown], result.predictions[shown], strict=True
        )
    ]
    rows = adversarial_rows(result.originals[shown], result.images[shown], titles, columns=PICTURED)
    return rows.png(dpi=80)
