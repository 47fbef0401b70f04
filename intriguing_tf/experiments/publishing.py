"""From a recipe to an entry of the zoo: trained, measured, with card, picture and catalogue.

    publish("mnist/fc100-100-10")

Training is skipped where the weights on disk were made by the very same recipe, so measuring again
is cheap. The card holds the recipe, the seed, the versions and the data's fingerprint.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_atomically
from ..reporting import Table
from ..zoo import catalogue, keras_files, loading, locations, site
from ..zoo.cards import METRICS, Facts, ModelCard
from ..zoo.downloads import fault
from ..zoo.errors import CatalogueError
from .recipes import Recipe, TrainedModel, load_recipe, recipes, train

if TYPE_CHECKING:
    import keras
    import numpy as np

    from ..adversary import AdversarialResult
    from ..classifier import Classifier

WEIGHTS = "model.keras"
LICENCE = "Apache-2.0"
ATTACK: dict[str, Any] = {"targets": "random", "seed": 0}
PICTURED = 10

# What of a recipe determines the weights.
DETERMINING = (
    *("builder", "arguments", "data", "seed", "fitting", "initialisation", "autoencoder"),
    *("pools", "penalties"),
)

# What newer releases of Keras write for each layer, mostly as null, and older ones cannot read.
NEWER = {"quantization_config", "input_axes", "output_axes"}

# How far a metric may move on another machine: errors by this many images, others by this share.
IMAGES_APART = 2
SHARE_APART = {
    "average_distortion": 0.01,
    "lipschitz_total": 0.001,
    "lipschitz_product": 0.001,
    "certified_radius_median": 0.01,
}


def publish(
    name: str | Path,
    folder: str | os.PathLike | None = None,
    *,
    retrain: bool = False,
    verbose: bool | str = "auto",
) -> ModelCard:
    """Trains, measures and publishes the entry that a recipe describes.

    Each file is written whole: the weights, then the card that names their hash, then the pictures,
    the measured card, its page, the catalogue and the index. Whatever was interrupted is made
    good by the next call.

    Args:
        name: of a recipe, or the path of a recipe's `.json`.
        folder: of the zoo to write to; by default the checkout's.
        retrain: train even if the weights on disk were made by this recipe.
        verbose: True or False for progress bars, or "auto": when stderr is a terminal.

    Returns:
        The card of the entry.

    Raises:
        ValueError: no such recipe; or no `folder`, where the package is not a checkout.
        FileNotFoundError: the full MNIST cannot be had.

    Example:

        itf.experiments.publishing.publish("mnist/fc10-1", "my-zoo")
    """
    recipe = load_recipe(name)
    folder = _writable_zoo(folder)
    card = None if retrain else published(recipe, folder)
    if card is None:
        card = _write_trained(train(recipe, verbose=verbose), folder)
    home = folder / card.name
    model = keras_files.load(home / card.file)
    metrics, picture = measure(model, card, verbose=verbose)
    write_atomically(home / site.PICTURE, picture)
    card = dataclasses.replace(
        card, title=recipe.title, recipe=Facts(recipe.to_json()), metrics=Facts(metrics)
    )
    site.write_card(folder, card)
    site.refresh(folder)
    return card


def matching_recipes(patterns: Iterable[str]) -> list[str]:
    """Returns the recipes whose names match; paths of `.json` files stay as they are.

    Raises:
        ValueError: a pattern that no recipe matches.
    """
    found: list[str] = []
    for pattern in patterns:
        matching = fnmatch.filter(recipes(), pattern)
        found += matching or [pattern if load_recipe(pattern) else ""]
    return list(dict.fromkeys(found))


def published(recipe: Recipe, folder: Path) -> ModelCard | None:
    """Returns the card of weights on disk that this very recipe made, if they are whole."""
    home = folder / recipe.name
    try:
        card = ModelCard.from_json(json.loads((home / site.CARD).read_text("utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, CatalogueError):
        return None
    same = card.training.get("recipe_sha256") == fingerprint(recipe)
    file = home / card.file
    if not same or not file.is_file() or card.size is None or card.sha256 is None:
        return None
    return None if fault(file, card.size, card.sha256) else card


def published_network(recipe: Recipe, data: str) -> tuple[keras.Model, float] | None:
    """Returns the zoo's network if this very recipe made it, and the seconds that it took.

    Args:
        recipe: the recipe.
        data: `intriguing_tf.datasets.fingerprint` of the training images.
    """
    folder = locations.bundled_folder()
    card = published(recipe, folder)
    if card is None or card.training["data_sha256"] != data:
        return None
    return keras_files.load(folder / card.name / card.file), card.training["seconds"]


def fingerprint(recipe: Recipe) -> str:
    """Returns the SHA-256 of what determines a recipe's weights: not of titles and remarks."""
    values = {key: value for key, value in recipe.to_json().items() if key in DETERMINING}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def measure(
    model: keras.Model, card: ModelCard, *, full: bool = True, verbose: bool | str = "auto"
) -> tuple[dict[str, Any], bytes]:
    """Measures an MNIST classifier for its card.

    Args:
        model: images `[n, 28, 28, 1]` in [0, 1] to logits.
        card: its recipe says which images it was trained on.
        full: also errors on the full training and test sets; they need MNIST.
        verbose: True or False for progress bars, or "auto".

    Returns:
        Metrics by the names of `zoo.cards.METRICS`, errors as fractions, and a picture as PNG:
        the first test images that are read correctly, magnified changes, adversarial images.
    """
    from ..adversary import LBFGSAdversary
    from ..classifier import Classifier
    from ..datasets import mnist_sample

    images, labels = mnist_sample()
    classifier = Classifier(model)
    metrics = _full_errors(classifier, card.recipe.get("data", "train")) if full else {}
    metrics["sample_error"] = _error(classifier, images, labels)
    adversary = LBFGSAdversary(model, bounds=card.bounds)
    result = adversary(images, labels, **ATTACK, verbose=verbose)
    metrics["average_distortion"] = result.mean_distortion
    metrics["attack"] = {
        "images": len(images),
        **ATTACK,
        "loss": adversary.loss,
        "solver": adversary.solver,
        "success": float(result.success.mean()),
    }
    return metrics | _lipschitz(model, images), _picture(result)


def _lipschitz(model: keras.Model, images: np.ndarray) -> dict[str, Any]:
    """Certified bounds, and the radius that they give half of the images at least."""
    import numpy as np

    from .. import lipschitz

    report = lipschitz.bound(model)
    return {
        "lipschitz_total": float(report.total),
        "lipschitz_product": float(report.product),
        "certified_radius_median": float(np.median(lipschitz.certified_radius(model, images))),
    }


def _error(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the fraction of images that a classifier misreads."""
    return float((classifier.predict(images) != labels).mean())


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A card beside a new measurement; prints as a table.

    Args:
        name: of the entry.
        rows: metric, value in the card, value now, allowed difference.
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


def verify_metrics(name: str, *, verbose: bool | str = "auto") -> Comparison:
    """Evaluates an entry of the zoo again and compares it with its card.

    Without the full MNIST, what can be measured on the bundled sample is.

    Args:
        name: of an MNIST entry.
        verbose: True or False for progress bars, or "auto".

    Raises:
        ValueError: no such entry, or its card has no metrics.

    Example:

        print(itf.experiments.publishing.verify_metrics("mnist/fc10-1"))
    """
    card = catalogue.info(name)
    if "sample_error" not in card.metrics:
        raise ValueError(f"The card of {name!r} has no metrics to compare with.")
    full = _mnist_is_here()
    now, _ = measure(loading.load(name), card, full=full, verbose=verbose)
    keys = [key for key in METRICS if card.metrics.get(key) is not None]
    return Comparison(
        name,
        tuple(
            (key, card.metrics[key], now[key], _allowed(key, card)) for key in keys if key in now
        ),
        tuple(key for key in keys if key not in now),
    )


def _allowed(key: str, card: ModelCard) -> float:
    if key in SHARE_APART:
        return SHARE_APART[key] * card.metrics[key]
    training = 60_000 if card.recipe.get("data", "train") == "train" else 30_000
    images = {"sample_error": 1_000, "test_error": 10_000}.get(key, training)
    return IMAGES_APART / images + 1e-12


def _mnist_is_here() -> bool:
    from ..datasets import mnist

    try:
        mnist("test")
    except FileNotFoundError:
        return False
    return True


def _full_errors(classifier: Classifier, data: str) -> dict[str, Any]:
    """Errors on the images it was trained on, on the other half if there is one, and in test."""
    from ..datasets import mnist

    errors = {"train_error": _error(classifier, *mnist("train", None if data == "train" else data))}
    if data in ("p1", "p2"):
        errors["other_half_error"] = _error(
            classifier, *mnist("train", "p2" if data == "p1" else "p1")
        )
    return errors | {"test_error": _error(classifier, *mnist("test"))}


def _writable_zoo(folder: str | os.PathLike | None) -> Path:
    if folder is not None:
        return Path(folder).expanduser()
    bundled = locations.bundled_folder()
    if bundled.is_relative_to(Path(locations.__file__).parent):
        raise ValueError(
            "The zoo inside an installed package is not written to. Give the folder of your own "
            "zoo: itf-zoo publish NAME --folder=FOLDER."
        )
    return bundled


def _write_trained(trained: TrainedModel, folder: Path) -> ModelCard:
    """Writes weights, filters and a card without metrics; returns the card."""
    recipe, model = trained.recipe, trained.model
    weights = _keras_bytes(model)
    card = ModelCard(
        name=recipe.name,
        title=recipe.title,
        format="keras",
        builder=recipe.builder,
        arguments=Facts(recipe.arguments),
        file=WEIGHTS,
        size=len(weights),
        sha256=hashlib.sha256(weights).hexdigest(),
        input_shape=tuple(model.input_shape[1:]),
        bounds=(0.0, 1.0),
        classes=model.output_shape[-1],
        parameters=model.count_params(),
        licence=LICENCE,
        source=f"trained here: itf-zoo publish {recipe.name}",
        recipe=Facts(recipe.to_json()),
        training=Facts(
            {
                "recipe_sha256": fingerprint(recipe),
                "data_sha256": trained.data_sha256,
                "seed": recipe.seed,
                "seconds": round(trained.seconds, 1),
                "versions": _versions(),
            }
        ),
    )
    home = folder / card.name
    write_atomically(home / WEIGHTS, weights)
    for stem, figure in trained.figures().items():
        write_atomically(home / f"{stem}.png", _png(figure))
    site.write_card(folder, card)
    site.refresh(folder)
    return card


def _keras_bytes(model: keras.Model) -> bytes:
    """The model as Keras saves it, without an optimiser's state; equal weights give equal bytes."""
    import keras

    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / WEIGHTS
        bare.save(file)
        _make_portable(file)
        keras_files.check(file)
        return file.read_bytes()


def _make_portable(file: Path) -> None:
    """Takes the date, objects' addresses and what older Keras refuses out of a `.keras` file."""
    with zipfile.ZipFile(file) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    metadata = json.loads(contents["metadata.json"])
    contents["metadata.json"] = json.dumps(metadata | {"date_saved": ""}).encode()
    addresses: dict[int, int] = {}

    def portable(values: dict[str, Any]) -> dict[str, Any]:
        if "shared_object_id" in values:
            address = values["shared_object_id"]
            values["shared_object_id"] = addresses.setdefault(address, len(addresses))
        return {
            key: value for key, value in values.items() if value is not None or key not in NEWER
        }

    configuration = json.loads(contents["config.json"], object_hook=portable)
    contents["config.json"] = json.dumps(configuration).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _versions() -> Mapping[str, str]:
    packages = ("intriguing-tf", "tensorflow", "keras", "numpy", "scipy")
    return {"python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in packages
    }


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _picture(result: AdversarialResult) -> bytes:
    from ..reporting import adversarial_rows

    shown = (result.status == "found").nonzero()[0][:PICTURED]
    titles = [
        f"{before} → {after}"
        for before, after in zip(
            result.original_predictions[shown], result.predictions[shown], strict=True
        )
    ]
    rows = adversarial_rows(result.originals[shown], result.images[shown], titles, columns=PICTURED)
    return rows.png(dpi=80)
