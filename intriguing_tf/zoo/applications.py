"""Networks of `keras.applications` by name: `applications/ResNet50`, `.../VGG16:random`."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from intriguing_tf import models

if TYPE_CHECKING:
    import keras

APPLICATIONS = "applications/"
_WEIGHTS = {"imagenet": "imagenet", "random": None}


def load(name: str, weights: str | None = "imagenet") -> keras.Model:
    """Returns a network of `keras.applications` that takes pixels in [0, 1].

    Args:
        name: "applications/NAME", or with ":random" or ":imagenet" behind it.
        weights: of a name with nothing behind it: "imagenet", whose hash Keras checks, or `None`
            for random ones.

    Raises:
        ValueError: as `check`; or Keras cannot get the weights.
    """
    network, said = check(name)
    chosen = weights if said is None else _WEIGHTS[said]
    try:
        return models.keras_application(network, chosen)
    except ValueError as error:
        if chosen is None:
            raise
        raise ValueError(f"{error} {APPLICATIONS}{network}:random needs no download.") from error


def check(name: str) -> tuple[str, str | None]:
    """Returns the network of `applications/NAME:WEIGHTS` and which weights, if the name says so.

    Raises:
        ValueError: keras.applications has no such network, or there are no such weights.
    """
    network, colon, weights = name.removeprefix(APPLICATIONS).partition(":")
    if colon and weights not in _WEIGHTS:
        raise ValueError(
            f"applications/{network} may have ':random' or ':imagenet' behind it. Received: "
            f"{name!r}."
        )
    known = _application_names()
    if known and network not in known:
        raise ValueError(
            f"keras.applications has no {network!r}. {meant(network, known)} Valid: "
            f"{', '.join(known)}."
        )
    return network, weights or None


def _application_names() -> list[str]:
    """The names that Keras's package lists, read without importing it; empty if not found."""
    keras_package = importlib.util.find_spec("keras")
    for folder in (keras_package and keras_package.submodule_search_locations) or ():
        for place in ("applications", "api/applications"):
            file = Path(folder, place, "__init__.py")
            if file.is_file():
                return re.findall(r" as ([A-Z]\w+),?$", file.read_text("utf-8"), re.M)
    return []


def meant(name: str, known: Iterable[str]) -> str:
    """Returns a question with the names that a wrong one may mean, or nothing."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3)
    return f"Did you mean {', '.join(repr(by_lower[each]) for each in near)}?" if near else ""
