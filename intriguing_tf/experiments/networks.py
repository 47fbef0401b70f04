"""Networks that experiments train by recipes, kept in a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.checks import as_array, check_kind, check_labels
from intriguing_tf.files import naming
from intriguing_tf.fingerprints import array_fingerprint
from intriguing_tf.publishing import Recipe, published_network, train_on
from intriguing_tf.publishing import fingerprint as recipe_fingerprint
from intriguing_tf.store import Store

Images = tuple[np.ndarray, np.ndarray]  # with their labels
_FILE = "model.keras"


def labelled(images: Any, labels: Any) -> Images:
    """Returns images as an array and their labels as `[n]`, one for each.

    Args:
        images: floats `[n, ...]`.
        labels: integers `[n]` of at least 0; they may come as a column or one-hot rows.

    Raises:
        ValueError: no such labels, or another number of them than of images.
    """
    images, labels = as_array("images", images), check_labels(labels)
    if len(labels) != len(images):
        raise ValueError(
            f"`labels` must be one per image. Received: {len(labels)} labels and {len(images)} "
            "images."
        )
    return images, labels


def papers_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options of an adversary of images in [0, 1], with the paper's loss as the default.

    Args:
        options: keywords of `LBFGSAdversary`.

    Raises:
        TypeError: options that are no dictionary.
        ValueError: options with bounds: the images are in [0, 1].
    """
    check_kind("options", options, Mapping, "a dictionary of LBFGSAdversary's keywords")
    if "bounds" in options:
        raise ValueError(
            "`options` must leave `bounds` out: the images are in [0, 1]. Received: "
            f"bounds={options['bounds']!r}."
        )
    return {"loss": "cross_entropy", **options}


def papers_adversary(model: keras.Model, options: Mapping[str, Any]) -> LBFGSAdversary:
    """Returns the adversary of images in [0, 1] with `papers_options`, and raises what they do."""
    return LBFGSAdversary(model, bounds=(0.0, 1.0), **papers_options(options))


def trained(
    store: Store, recipe: Recipe, train_set: Images, verbose: Any = "auto"
) -> tuple[keras.Model, float]:
    """Returns a recipe's network, trained unless it is in the store, and the seconds that it took.

    Args:
        store: entered.
        recipe: with its seed.
        train_set: images and labels to train on.
        verbose: True or False for the progress bar, or "auto".
    """
    made_from = {
        "recipe": recipe_fingerprint(recipe),
        "data": array_fingerprint(*train_set),
    }

    def train(folder: Path) -> None:
        model = train_on(recipe, *train_set, verbose=verbose).model
        with naming(folder / _FILE):
            model.save(folder / _FILE)

    piece = store.make(f"models/{recipe.name}, seed {recipe.seed}", made_from, train)
    return keras.models.load_model(piece.folder / _FILE), piece.seconds


def published_or_trained(
    store: Store, recipe: Recipe, train_set: Images, verbose: Any = "auto"
) -> tuple[keras.Model, float]:
    """As `trained`, but takes the zoo's network where this recipe made it from these images."""
    known = published_network(recipe, array_fingerprint(*train_set))
    return known if known is not None else trained(store, recipe, train_set, verbose)
