"""The 1000 classes of ImageNet: their names, WordNet numbers and indices.

`imagenet_classes.tsv` holds, in the order of the networks' logits, each class's WordNet number and
the words of its synset (WordNet 3.0, Princeton University; the table as the package timm 1.0.31
carries it).
"""

from __future__ import annotations

import difflib
import functools
import os
from pathlib import Path

from intriguing_tf.text import is_integer

_TABLE = Path(__file__).with_name("imagenet_classes.tsv")


@functools.cache
def _classes() -> tuple[tuple[str, str], ...]:
    lines = _TABLE.read_text("utf-8").splitlines()
    return tuple((wnid, name) for wnid, name in (line.split("\t") for line in lines))


def imagenet_class_names() -> list[str]:
    """Returns the names of the 1000 classes in the order of the logits.

    A name is all words of the class: "ostrich, Struthio camelus". One name, "crane", stands for
    two classes, a bird (134) and a machine (517).

    Example:

        itf.datasets.imagenet_class_names()[9]  # "ostrich, Struthio camelus"
    """
    return [name for _, name in _classes()]


def imagenet_wnids() -> list[str]:
    """Returns the WordNet numbers of the 1000 classes in the order of the logits.

    Example:

        itf.datasets.imagenet_wnids()[9]  # "n01518878"
    """
    return [wnid for wnid, _ in _classes()]


def wnid_of(file: Path) -> str:
    """Returns the class's WordNet number that a file's folder is named by, or "".

    The folder is that which the path names; or else that in which the file lies, behind all links.
    """
    wnids = imagenet_wnids()
    places = (Path(os.path.abspath(file)), Path(os.path.realpath(file)))
    return next((place.parent.name for place in places if place.parent.name in wnids), "")


def imagenet_class_index(name: str | int) -> int:
    """Returns the index of a class, 0 to 999.

    Args:
        name: the class's name or one of its words in any case ("ostrich", "Struthio camelus",
            "ostrich, Struthio camelus"), its WordNet number ("n01518878"), or its index.

    Raises:
        ValueError: no class, or several, are called so; near names are suggested.

    Example:

        itf.datasets.imagenet_class_index("ostrich")  # 9
    """
    wanted = str(name).strip().lower()
    if is_integer(wanted):
        index = int(wanted)
        if not 0 <= index < len(_classes()):
            raise ValueError(f"ImageNet's classes are 0 to 999. Received: {index}.")
        return index
    found = _indices_by_name().get(wanted, ())
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{name!r} names several classes of ImageNet; give the index or the WordNet number: "
            f"{_listed(found)}."
        )
    raise ValueError(f"ImageNet has no class {name!r}. {_suggestion(wanted)}")


@functools.cache
def _indices_by_name() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for index, (wnid, name) in enumerate(_classes()):
        for word in {wnid, name.lower(), *name.lower().split(", ")}:
            found[word] = (*found.get(word, ()), index)
    # A class that is called exactly so goes before one that has the word among others.
    for index, (_, name) in enumerate(_classes()):
        if [c.lower() for _, c in _classes()].count(name.lower()) == 1:
            found[name.lower()] = (index,)
    return found


def _suggestion(wanted: str) -> str:
    words = _indices_by_name()
    near = difflib.get_close_matches(wanted, words, n=5, cutoff=0.6)
    within = [word for word in words if wanted and wanted in word][: 5 - len(near)]
    indices = tuple(dict.fromkeys(i for word in [*near, *within] for i in words[word]))[:5]
    if not indices:
        return "Names are WordNet's: see intriguing_tf.datasets.imagenet_class_names()."
    return f"Near: {_listed(indices)}."


def _listed(indices: tuple[int, ...]) -> str:
    return "; ".join(f"{i} {_classes()[i][0]} {_classes()[i][1]!r}" for i in indices)
