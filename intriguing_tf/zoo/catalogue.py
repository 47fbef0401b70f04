"""The catalogue of the zoo: read, checked, listed and searched."""

from __future__ import annotations

import builtins
import contextlib
import difflib
import fnmatch
import functools
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from intriguing_tf.files import write_atomically
from intriguing_tf.zoo import locations
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import CatalogueError, DownloadError
from intriguing_tf.zoo.records import Record, read

VERSION = 1
LARGEST = 16 << 20  # bytes of a catalogue


class Catalogue(Record, frozen=True):
    """The zoo's table of contents, version 1; fields that are not listed are ignored."""

    version: Literal[1]
    entries: Annotated[tuple[ModelCard, ...], msgspec.Meta(max_length=10_000)]


def list(pattern: str = "*", **fields: Any) -> builtins.list[str]:
    """Lists the names in the zoo, sorted.

    Args:
        pattern: shell wildcards, matched against whole names; `*` matches `/` too.
        **fields: values that fields of the card must have, e.g. `classes=10`, `pinned=True`.

    Returns:
        Names for `info` and `load`; empty if nothing matches.

    Raises:
        ValueError: a field that cards do not have.

    Example:

        >>> from intriguing_tf import zoo
        >>> zoo.list("mnist/fc10-*")
        ['mnist/fc10-1', 'mnist/fc10-1e-2', 'mnist/fc10-1e-4']
    """
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
        ValueError: no such entry; near names are suggested.

    Example:

        >>> from intriguing_tf import zoo
        >>> zoo.info("mnist/fc10-1e-4").parameters
        7850
    """
    entries = cards()
    if name not in entries:
        near = _near(str(name).lower(), entries)
        hint = f"Did you mean {', '.join(map(repr, near))}?" if near else "See `zoo.list()`."
        raise ValueError(f"The zoo has no entry {name!r}. {hint}")
    return entries[name]


def _near(name: str, entries: Iterable[str]) -> builtins.list[str]:
    """At most three entries that a name may mean: those that contain it first."""
    close = difflib.get_close_matches(name, entries, n=3, cutoff=0.4)
    longer = sorted((entry for entry in entries if name in entry), key=len)
    return builtins.list(dict.fromkeys([*longer, *close]))[:3]


def cards() -> Mapping[str, ModelCard]:
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
def _local(file: Path, mtime_ns: int, size: int) -> Mapping[str, ModelCard]:
    if size > LARGEST:
        raise CatalogueError(f"{file} has {size} bytes; a catalogue has at most {LARGEST}.")
    return parse(file.read_bytes(), str(file))


@functools.lru_cache(maxsize=4)
def _remote(address: str, cache: Path) -> Mapping[str, ModelCard]:
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
        return parse(copy.read_bytes(), str(copy))
    with contextlib.suppress(OSError):  # a read-only cache only costs offline runs their copy
        write_atomically(copy, content)
    return entries


def parse(content: bytes, origin: str) -> Mapping[str, ModelCard]:
    """Returns the cards in the JSON of a catalogue.

    Args:
        content: UTF-8 JSON.
        origin: file or address, for messages.

    Raises:
        CatalogueError: not JSON, another version, against the schema, or a name twice.
    """
    try:
        values = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CatalogueError(f"{origin} is not JSON: {error}.") from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise CatalogueError(
            f"{origin} has catalogue version {version!r}; this release reads version {VERSION}. "
            "A newer catalogue needs a newer release: pip install --upgrade intriguing-tf. If that "
            "does not help, check INTRIGUING_TF_ZOO."
        )
    try:
        entries = read(values, Catalogue, "a catalogue of the zoo", CatalogueError).entries
    except CatalogueError as error:
        raise CatalogueError(f"{origin}: {error}") from None
    by_name = {card.name: card for card in entries}
    if len(by_name) < len(entries):
        raise CatalogueError(f"{origin} has a name twice.")
    return MappingProxyType(by_name)
