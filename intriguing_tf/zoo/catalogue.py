"""The catalogue of the zoo: read, checked, listed and searched."""

from __future__ import annotations

import builtins
import contextlib
import difflib
import fnmatch
import functools
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from intriguing_tf.checks import check_kind
from intriguing_tf.files import write_atomically
from intriguing_tf.zoo import foreign, locations
from intriguing_tf.zoo.cards import NAME, ModelCard
from intriguing_tf.zoo.errors import CatalogueError, DownloadError, IntegrityError
from intriguing_tf.zoo.records import Record, read

VERSION = 1
LARGEST = foreign.BUDGET.json  # bytes of a catalogue
MOST = 10_000  # cards


class Catalogue(Record, frozen=True):
    """The zoo's table of contents, version 1; fields that are not listed are ignored.

    Its entries are cards, each read by itself: one that is wrong leaves the others as they are.
    """

    version: Literal[1]
    entries: Annotated[tuple[Any, ...], msgspec.Meta(max_length=MOST)]


class Cards(Mapping[str, ModelCard]):
    """The cards of a zoo by name.

    Args:
        cards: those that can be read.
        unreadable: names of the others, or their places in the catalogue, and what is wrong.
    """

    def __init__(self, cards: Mapping[str, ModelCard], unreadable: Mapping[str, str]):
        self._cards = MappingProxyType(cards)
        self.unreadable = MappingProxyType(unreadable)

    def __getitem__(self, name: str) -> ModelCard:
        return self._cards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)


def list(pattern: str = "*", **fields: Any) -> builtins.list[str]:
    """Lists the names in the zoo, sorted.

    Entries whose cards cannot be read are left out; `itf-zoo list` and `zoo.verify` say why.

    Args:
        pattern: shell wildcards, matched against whole names; `*` matches `/` too.
        **fields: values that fields of the card must have, e.g. `classes=10`, `pinned=True`.

    Returns:
        Names for `info` and `load`; empty if nothing matches.

    Raises:
        TypeError: the pattern is no str.
        ValueError: a field that cards do not have.

    Example:

        >>> from intriguing_tf import zoo
        >>> zoo.list("mnist/fc10-*")
        ['mnist/fc10-1', 'mnist/fc10-1e-2', 'mnist/fc10-1e-4']
    """
    check_kind("pattern", pattern, str, "a str with wildcards")
    known = {*ModelCard.__struct_fields__, *ModelCard.__struct_encode_fields__, "pinned"}
    if unknown := sorted(set(fields) - known):
        raise ValueError(f"Cards have the fields {sorted(known)}. Received: {unknown}.")
    return sorted(
        card.name
        for card in cards().values()
        if fnmatch.fnmatchcase(card.name, pattern)
        and all(getattr(card, field) == value for field, value in fields.items())
    )


def info(name: str) -> ModelCard:
    """Returns the card of an entry.

    Args:
        name: as `list` gives it.

    Raises:
        TypeError: the name is no str.
        ValueError: no such entry; near names are suggested.
        CatalogueError: its card cannot be read.

    Example:

        >>> from intriguing_tf import zoo
        >>> zoo.info("mnist/fc10-1e-4").parameters
        7850
    """
    check_kind("name", name, str, "the name of an entry")
    entries = cards()
    if name in entries.unreadable:
        raise CatalogueError(f"The card of {name!r} is unreadable: {entries.unreadable[name]}.")
    if name not in entries:
        near = _near(str(name).lower(), entries)
        hint = "See `zoo.list()`; files are for `intriguing_tf.load_model`."
        if near:
            hint = f"Did you mean {', '.join(map(repr, near))}?"
        if not entries:
            hint = f"It has none at all. Received: the zoo {locations.zoo()}."
        raise ValueError(f"The zoo has no entry {name!r}. {hint}")
    return entries[name]


def unreadable(pattern: str = "*") -> dict[str, str]:
    """Returns the names of the entries whose cards cannot be read, and what is wrong with them."""
    return {
        name: why for name, why in cards().unreadable.items() if fnmatch.fnmatchcase(name, pattern)
    }


def _near(name: str, entries: Iterable[str]) -> builtins.list[str]:
    """At most three entries that a name may mean: those that contain it first."""
    close = difflib.get_close_matches(name, entries, n=3, cutoff=0.4)
    longer = sorted((entry for entry in entries if name in entry), key=len)
    return builtins.list(dict.fromkeys([*longer, *close]))[:3]


def cards() -> Cards:
    """Returns the cards of the zoo in use by name.

    Raises:
        CatalogueError: the catalogue is damaged, hostile, or of another version.
        DownloadError: it is at an address that does not answer and was never read before.
    """
    where = locations.zoo()
    if isinstance(where, str):
        return _remote(where, locations.cache())
    file = where / locations.CATALOGUE
    try:
        state = file.stat()
    except FileNotFoundError:
        raise CatalogueError(f"The zoo's catalogue is missing: {file}.") from None
    return _local(file, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4)
def _local(file: Path, mtime_ns: int, size: int) -> Cards:
    return read_file(file)


@functools.lru_cache(maxsize=4)
def _remote(address: str, cache: Path) -> Cards:
    """Reads an address's catalogue once per process; without a network, the last one read."""
    from intriguing_tf.zoo import downloads  # here, for requests is slow to import

    url = f"{address}/{locations.CATALOGUE}"
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    copy = cache / "catalogues" / f"{key}.json"
    try:
        entries = parse(content := downloads.read(url, LARGEST), url)
    except DownloadError as error:
        if not copy.is_file():
            raise
        warnings.warn(f"{error} Using the catalogue last read from there.", stacklevel=4)
        return read_file(copy)
    with contextlib.suppress(OSError):  # a read-only cache only costs offline runs their copy
        write_atomically(copy, content)
    return entries


def read_file(file: Path) -> Cards:
    """Returns the cards in a catalogue, as `parse`."""
    with foreign.reading(file, "a catalogue of the zoo", CatalogueError):
        content = foreign.read_bytes(file)
    return parse(content, str(file))


def parse(content: bytes, origin: str) -> Cards:
    """Returns the cards in the JSON of a catalogue, the unreadable ones apart.

    Args:
        content: UTF-8 JSON.
        origin: file or address, for messages.

    Raises:
        CatalogueError: not JSON, another version, against the schema, or without one card that
            can be read.
    """
    with foreign.reading(origin, "a catalogue of the zoo", CatalogueError):
        # Not msgspec's, which refuses the whole for one NaN: its card is refused below.
        values = foreign.json_values(content)
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise CatalogueError(
            f"{origin} has catalogue version {foreign.shown(version)}; this release reads version "
            f"{VERSION}. A newer catalogue needs a newer release of intriguing_tf. "
            "If there is none, check INTRIGUING_TF_ZOO."
        )
    with foreign.reading(origin, "a catalogue of the zoo", CatalogueError):
        entries = read(values, Catalogue, "a catalogue", IntegrityError).entries
    found = _sorted_out(entries)
    if entries and not found:
        name, why = next(iter(found.unreadable.items()))
        raise CatalogueError(f"{origin} has no card that can be read. {name}: {why}")
    return found


def _sorted_out(entries: Iterable[Any]) -> Cards:
    """Returns the cards that can be read, and what is wrong with the others."""
    cards: dict[str, ModelCard] = {}
    unreadable: dict[str, str] = {}
    for number, values in enumerate(entries, 1):
        try:
            card = ModelCard.from_json(values)
        except CatalogueError as error:
            unreadable[_name_of(values) or f"entry {number}"] = foreign.in_words(error)
            continue
        if card.name in cards or card.name in unreadable:
            unreadable[card.name] = "the catalogue has the name twice"
        else:
            cards[card.name] = card
    for name in unreadable.keys() & cards.keys():
        del cards[name]
    return Cards(cards, unreadable)


def _name_of(values: Any) -> str:
    """Returns the name in an unreadable card, or nothing if that is not one."""
    name = values.get("name") if isinstance(values, dict) else None
    return name if isinstance(name, str) and NAME.match(name) else ""
