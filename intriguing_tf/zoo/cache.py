"""The local files of the zoo: where each is, whether it is whole, and removal."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from intriguing_tf.zoo import catalogue, integrity, locations, pins
from intriguing_tf.zoo.cards import ModelCard, Pin
from intriguing_tf.zoo.errors import IntegrityError, UnpinnedError

_HASH = re.compile("[0-9a-f]{16}|unpinned")  # folders of `locations.download_of`, and of pins


@dataclasses.dataclass(frozen=True)
class Check:
    """What `verify` found of one entry or file.

    Args:
        name: of the entry, or the path of a file that belongs to none.
        status: "verified" | "damaged" | "absent" (not downloaded) | "unpinned" | "unreadable" (its
            card) | "unknown".
        file: where it is, if it is anywhere.
        detail: what is wrong.
    """

    name: str
    status: str
    file: Path | None = None
    detail: str = ""


def local_files(card: ModelCard, pin: Pin) -> Iterator[Path]:
    """Yields the existing files that should be the entry's, best first.

    Raises:
        IntegrityError: the zoo's folder has a link to a file outside itself.
    """
    where = locations.zoo()
    if isinstance(where, Path):
        file = where / card.name / card.file
        if file.is_file():
            if not file.resolve().is_relative_to(where.resolve()):
                raise IntegrityError(f"{file} is a link to a file outside the zoo.")
            yield file
    if card.package is not None:
        try:
            distribution = importlib.metadata.distribution(card.package.distribution)
        except importlib.metadata.PackageNotFoundError:
            pass
        else:
            file = Path(str(distribution.locate_file(card.package.path)))
            if file.is_file():
                yield file
    if (file := locations.download_of(card.name, card.file, pin.sha256)).is_file():
        yield file


def verify(pattern: str = "*") -> list[Check]:
    """Checks size and SHA-256 of every local file of the zoo, downloading nothing.

    Args:
        pattern: as in `zoo.list`. With "*", downloads in the cache that belong to no entry are
            reported too; what does not lie where downloads do is not the zoo's.

    Returns:
        One `Check` per local file or absent entry.

    Example:

        >>> from intriguing_tf import zoo
        >>> {check.status for check in zoo.verify("mnist/*")}
        {'verified'}
    """
    checks = []
    for name in catalogue.list(pattern):
        checks += _checks(catalogue.info(name))
    for name, why in catalogue.unreadable(pattern).items():
        checks.append(Check(name, "unreadable", None, why))
    if pattern == "*":
        known = {check.file for check in checks}
        checks += [
            Check(str(file), "unknown", file, "belongs to no entry; itf-zoo clear removes it")
            for file in _cached_files()
            if file not in known
        ]
    return checks


def clear(pattern: str = "*") -> int:
    """Removes downloads from the cache; pins and the bundled entries stay.

    Args:
        pattern: as in `zoo.list`; "*" also removes downloads that belong to no entry. Folders of
            others are left alone, and so is what a link points to.

    Returns:
        The number of bytes that this freed.
    """
    folder = locations.cache()
    doomed = {file.parent for file in _cached_files()}
    if pattern == "*":
        doomed.add(folder / "catalogues")
    else:
        entries = {folder / name for name in catalogue.list(pattern)}
        doomed = {path for path in doomed if path.parent in entries}
    freed = 0
    for path in sorted(filter(_is_in_cache, doomed)):
        freed += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # there is something else in the entry's folder
            path.parent.rmdir()
    return freed


def _checks(card: ModelCard) -> list[Check]:
    try:
        pin = pins.expected(card)
        files = list(local_files(card, pin))
    except UnpinnedError:
        return [Check(card.name, "unpinned", None, f"itf-zoo pin {card.name}")]
    except IntegrityError as error:
        return [Check(card.name, "damaged", None, str(error))]
    if not files:
        return [Check(card.name, "absent", None, f"itf-zoo download {card.name}")]
    faults = [integrity.fault(file, pin.size, pin.sha256) for file in files]
    return [
        Check(card.name, "damaged" if wrong else "verified", file, wrong)
        for file, wrong in zip(files, faults, strict=True)
    ]


def _cached_files() -> list[Path]:
    """Weights in the cache: `family/model/hash/file`, without locks."""
    files = (file for file in locations.cache().glob("[!.]*/[!.]*/*/[!.]*") if file.is_file())
    return sorted(
        file
        for file in files
        if file.suffix != ".lock" and _HASH.fullmatch(file.parent.name) and _is_in_cache(file)
    )


def _is_in_cache(path: Path) -> bool:
    return path.resolve().is_relative_to(locations.cache().resolve())
