"""From a recipe to an entry of the zoo: trained, measured, with card, picture and catalogue.

    publish("mnist/fc100-100-10")

Training is skipped where the weights on disk were made by the very same recipe, so measuring again
is cheap. The card holds the recipe, the seed, the versions and the data's fingerprint.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import io
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from intriguing_tf.files import expanded, write_atomically
from intriguing_tf.publishing import backup
from intriguing_tf.publishing.evaluation import measure_and_draw
from intriguing_tf.publishing.recipes import Recipe, fingerprint, load_recipe, recipe_names
from intriguing_tf.publishing.training import TrainedModel, train
from intriguing_tf.store import locked
from intriguing_tf.zoo import keras_files, locations, site
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import CatalogueError
from intriguing_tf.zoo.integrity import fault
from intriguing_tf.zoo.records import Facts

WEIGHTS = "model.keras"
_KEPT = ".training-"  # begins the names of folders of trainings that are kept
LICENSE = "Apache-2.0"  # of the weights that come with this package


def publish(
    name: str | Path,
    folder: str | os.PathLike | None = None,
    *,
    retrain: bool = False,
    verbose: bool | str = "auto",
) -> ModelCard:
    """Trains, measures and publishes the entry that a recipe describes.

    Each file is written atomically: the weights, then the card that names their hash, then the
    pictures, the measured card, its page, the catalogue and the index. The next call finishes
    whatever was interrupted.

    Args:
        name: of a recipe, or the path of a recipe's `.json`.
        folder: of the zoo to write to; by default the checkout's.
        retrain: train from the beginning, even if the weights on disk were made by this recipe.
        verbose: True or False for progress bars, or "auto": when stderr is a terminal.

    Returns:
        The card of the entry.

    Raises:
        ValueError: no such recipe; or no `folder`, where the package is not a checkout.
        FileNotFoundError: the full MNIST is unavailable.
        RuntimeError: another process is publishing into the folder.
        CatalogueError: the folder's catalogue, leaderboard or a card in it cannot be read.
        ValueError: files that are not a zoo's are in the places of those to be written.

    Example:

        itf.publishing.publish("mnist/fc10-1", "my-zoo")
    """
    recipe = load_recipe(name)
    folder = writable_zoo(folder)
    home = folder / recipe.name
    kept = home / f"{_KEPT}{fingerprint(recipe)[:12]}"
    with locked(folder):
        begun = any(home.glob(f"{_KEPT}*"))  # files without a card are of a call that was stopped
        site.check(folder, {recipe.name: () if begun else (WEIGHTS, *site.PICTURES)})
        if retrain:
            backup.remove(kept)
        card = None if retrain else published(recipe, folder)
        if card is None:
            trained = train(recipe, verbose=verbose, backup=kept)
            kept.mkdir(parents=True, exist_ok=True)  # until the card says whose the files are
            card = _write_trained(trained, folder)
        for each in home.glob(f"{_KEPT}*"):  # of this recipe as it is and as it was
            backup.remove(each)
        model = keras_files.load(home / card.file)
        metrics, pictures = measure_and_draw(model, card, verbose=verbose)
        for stem in ("picture", "sandwich", "radius"):
            if stem in pictures:
                write_atomically(home / f"{stem}.png", pictures[stem])
            else:
                (home / f"{stem}.png").unlink(missing_ok=True)  # of an earlier measurement
        license, source = _origin(recipe)
        card = card.replace(
            title=recipe.title,
            recipe=Facts(recipe.json()),
            license=license,
            source=source,
            metrics=Facts(metrics),
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
        matching = fnmatch.filter(recipe_names(), pattern)
        found += matching or [pattern if load_recipe(pattern) else ""]
    return list(dict.fromkeys(found))


def published(recipe: Recipe, folder: Path) -> ModelCard | None:
    """Returns the card of weights on disk that this very recipe made, if they are whole."""
    home = folder / recipe.name
    try:
        card = site.read_card(home / site.CARD, folder)
    except CatalogueError:
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


def writable_zoo(folder: str | os.PathLike | None) -> Path:
    """Returns the folder of the zoo to write to, by default the checkout's.

    Raises:
        ValueError: no `folder`, where the package is not a checkout.
    """
    if folder is not None:
        return expanded(folder)
    bundled = locations.bundled_folder()
    if bundled.is_relative_to(Path(locations.__file__).parent):
        raise ValueError(
            "The zoo inside an installed package is not written to. Give the folder of your own "
            "zoo: itf-zoo publish NAME --folder=FOLDER."
        )
    return bundled


def _origin(recipe: Recipe) -> tuple[str, str]:
    """Returns the license of a recipe's weights, and where they come from, in words."""
    if recipe.name in recipe_names() and recipe == load_recipe(recipe.name):
        return LICENSE, f"trained here: itf-zoo publish {recipe.name}"
    return recipe.license or "not stated", "trained here, by the recipe in this card"


def _write_trained(trained: TrainedModel, folder: Path) -> ModelCard:
    """Writes weights, filters and a card without metrics; returns the card."""
    recipe, model = trained.recipe, trained.model
    weights = keras_files.to_bytes(model, compressed=recipe.rounding is not None)
    license, source = _origin(recipe)
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
        license=license,
        source=source,
        recipe=Facts(recipe.json()),
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


def _versions() -> Mapping[str, str]:
    packages = ("intriguing-tf", "tensorflow", "keras", "numpy", "scipy")
    return {"python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in packages
    }


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
