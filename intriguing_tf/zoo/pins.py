"""Pins: sizes and hashes that the user has accepted for entries whose publisher gives none."""

from __future__ import annotations

import json
from pathlib import Path

import filelock
import msgspec

from intriguing_tf.aliases import renamed_keywords
from intriguing_tf.files import write_atomically
from intriguing_tf.zoo import catalogue, foreign, locations
from intriguing_tf.zoo.cards import ModelCard, Pin
from intriguing_tf.zoo.errors import IntegrityError, UnpinnedError
from intriguing_tf.zoo.patience import PATIENCE, Patience
from intriguing_tf.zoo.records import read


def expected(card: ModelCard) -> Pin:
    """Returns what the entry's file must be: by the catalogue, else by the user's own pin.

    Raises:
        UnpinnedError: neither says.
    """
    if card.size is not None and card.sha256 is not None:
        return Pin(card.size, card.sha256)
    remembered = _remembered()
    if card.name not in remembered:
        raise UnpinnedError(
            f"No SHA-256 is known of {card.name!r}, so its file is not loaded: pin it with "
            f"`itf-zoo pin {card.name}` (or `zoo.pin`): that downloads it, shows size and hash, "
            "and from then on accepts this file only."
        )
    return remembered[card.name]


@renamed_keywords(progress="verbose")
def pin(name: str, *, verbose: bool | str = "auto", patience: Patience = PATIENCE) -> Pin:
    """Downloads an unpinned entry, and remembers and from then on enforces its size and hash.

    The file is not opened. Size and SHA-1 are enforced where the card has them. Compare the
    SHA-256 with one from a source that you trust.

    Args:
        name: of an entry whose card has no hash.
        verbose: True or False for a progress bar, or "auto": when stderr is a terminal.
        patience: how long the download waits for what.

    Returns:
        What was remembered, in `pins.json` in the cache. An entry that is pinned already keeps
        its pin: `itf-zoo clear --pins` forgets it.

    Raises:
        ValueError: the catalogue itself pins the entry, or there is no such entry.
        DownloadError: the file is unavailable.
    """
    from intriguing_tf.zoo import downloads  # here, for requests is slow to import

    card = catalogue.info(name)
    if card.pinned:
        raise ValueError(f"The catalogue itself pins {name!r}: sha256 {card.sha256}.")
    if name in _remembered():
        return _remembered()[name]
    arrival = locations.cache() / name / "unpinned" / card.file
    found = downloads.download_unknown(card.urls, arrival, card.size, card.sha1, verbose, patience)
    accepted = Pin(*found)
    with filelock.FileLock(_file().with_suffix(".lock")):
        _write(_remembered() | {name: accepted})
    home = locations.download_of(name, card.file, accepted.sha256)
    home.parent.mkdir(parents=True, exist_ok=True)
    arrival.replace(home)
    return accepted


def forget(pattern: str = "*") -> None:
    """Removes the pins of the entries that match a pattern, as in `zoo.list`."""
    with filelock.FileLock(_file().with_suffix(".lock")):
        if pattern == "*":
            _file().unlink(missing_ok=True)
            return
        pins = _remembered()
        forgotten = set(catalogue.list(pattern))
        _write({name: pin for name, pin in pins.items() if name not in forgotten})


def _write(pins: dict[str, Pin]) -> None:
    content = {name: pin.json() for name, pin in sorted(pins.items())}
    write_atomically(_file(), json.dumps(content, indent=2))


def _file() -> Path:
    return locations.cache() / "pins.json"


def _remembered() -> dict[str, Pin]:
    if not _file().exists():
        return {}
    with foreign.reading(_file(), "a list of pins: remove it and pin again"):
        values = foreign.json_values(foreign.read_bytes(_file()), msgspec.json.decode)
        return read(values, dict[str, Pin], "size and SHA-256 by name", IntegrityError)
