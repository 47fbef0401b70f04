"""Finished work in folders: one process at a time, keyed, written atomically, resumed after a kill.

A piece of work stands under a key: the SHA-256 of all that determines it, data, models, settings
and versions (`intriguing_tf.fingerprints`). What is there under its key is not done again; what
has another key is other work, so an upgrade never brings back what older code computed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from intriguing_tf.archives import JSON, read_json
from intriguing_tf.files import check_folder, expanded, leftovers, read_content, write_atomically
from intriguing_tf.fingerprints import json_fingerprint, versions
from intriguing_tf.progress import shows_progress
from intriguing_tf.text import cut

MANIFEST = "manifest.json"
_RECORD = "made.json"
_RECORD_FORMAT = 2  # format 1 had neither a number nor "files"
_UNFINISHED = ".unfinished"
_LINES = 20  # differences that are listed
_CHUNK = 2**24  # bytes of a file that are read at a time


class Piece(NamedTuple):
    """A finished piece of work.

    Attributes:
        folder: with its files.
        seconds: that it took, without the pieces that were made on the way.
    """

    folder: Path
    seconds: float


class Store:
    """A folder of finished pieces of work, each a folder of its own.

    Args:
        folder: made when the store is entered.
        verbose: name what is being made, on stderr; "auto": if that is a terminal.
        outdated: patterns of files by which earlier releases' work is known, which is refused.

    Attributes:
        seconds: of every piece that was used, by the name of its folder.

    Raises:
        RuntimeError: on entering: another process is at work in the folder.
        ValueError: on entering: the folder holds work of an earlier release.

    Example:

        with Store("work") as store:
            piece = store.make("sums/of squares", {"up to": 3}, write_sum)
            print((piece.folder / "sum.txt").read_text())
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        verbose: bool | str = "auto",
        outdated: Iterable[str] = (),
    ):
        self.folder = expanded(folder)
        self._names_work = shows_progress(verbose)
        self.seconds: dict[str, float] = {}
        self._spent = 0.0
        self._outdated = tuple(outdated)

    def __enter__(self) -> Store:
        with contextlib.ExitStack() as entered:
            entered.enter_context(locked(self.folder))
            self._refuse_earlier_work()
            for leftover in self.folder.glob(f"[!.]*/.*-*{_UNFINISHED}"):
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover)
            self._entered = entered.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._entered.close()

    def make(self, name: str, made_from: Mapping[str, Any], fill: Callable[[Path], None]) -> Piece:
        """Returns a piece, made unless it is there and undamaged.

        Args:
            name: for readers, "kind/label"; pieces of a kind stand in one folder.
            made_from: JSON of all that determines the piece; the store adds kind and versions.
            fill: writes the piece's files into a folder. It may make other pieces.
        """
        kind, _, label = name.partition("/")
        made_from = {"kind": kind, **made_from, "versions": versions()}
        folder = self.folder / kind / _folder_name(label, json_fingerprint(made_from))
        if folder.name not in self.seconds:
            record = _read_record(folder) or self._fill(label, folder, made_from, fill)
            self.seconds[folder.name] = record["seconds"]
        return Piece(folder, self.seconds[folder.name])

    def _fill(
        self, label: str, folder: Path, made_from: Mapping, fill: Callable[[Path], None]
    ) -> dict[str, Any]:
        if self._names_work:
            print(label, file=sys.stderr, flush=True)
        start, before = time.perf_counter(), self._spent
        record: dict[str, Any] = {"format": _RECORD_FORMAT, "made_from": made_from}

        def fill_and_record(temporary: Path) -> None:
            fill(temporary)
            # The pieces that were made for this one count their own time.
            record["seconds"] = time.perf_counter() - start - (self._spent - before)
            record["files"] = _hashes(temporary)
            write_atomically(temporary / _RECORD, json.dumps(record, indent=1))

        write_folder_atomically(folder, fill_and_record)
        self._spent += record["seconds"]
        return record

    def _refuse_earlier_work(self) -> None:
        earlier = [file for pattern in self._outdated for file in self.folder.glob(pattern)]
        for file in self.folder.glob(f"[!.]*/[!.]*/{_RECORD}"):
            record = _record_in(file)
            if record is not None and record.get("format") != _RECORD_FORMAT:
                earlier.append(file)
        if earlier:
            raise ValueError(
                f"{str(self.folder)!r} holds work of an earlier release, which did not record all "
                "that determines it. Give another folder, or delete what is there. Received: a "
                f"folder with {str(earlier[0].relative_to(self.folder))!r}."
            )


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes out of a folder, which is made when it is not there.

    Raises:
        RuntimeError: another process is at work in it.
    """
    folder = check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise RuntimeError(
            f"Another process is at work in {str(folder)!r}. Wait for it, or choose another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a folder the place of one piece of work, or checks that it is.

    Args:
        folder: locked.
        manifest: JSON of all that determines the work, with its "kind" and its "format".

    Returns:
        The manifest that is there; its dictionaries may be in another order.

    Raises:
        ValueError: the folder holds something else; differences are listed. Or the manifest is
            one that could not be read again.
    """
    path = folder / MANIFEST
    for leftover in leftovers(folder, re.escape(MANIFEST)):
        leftover.unlink()
    if not path.exists():
        _refuse_strangers(folder, manifest["kind"])
        write_manifest(folder, manifest)
        return dict(manifest)
    there = read_manifest(folder)
    if there.get("format") != manifest["format"]:
        raise ValueError(
            f"{str(folder)!r} holds a {manifest['kind']} of format "
            f"{_short(there.get('format'))}, which does not record all that determines the "
            "results. It can be read, but not resumed: give another folder."
        )
    lines = differences(there, manifest)
    if lines:
        raise ValueError(
            f"{str(folder)!r} holds another {manifest['kind']}. Give what it was made with, or "
            "another folder. They differ in:\n  " + "\n  ".join(lines[:_LINES])
        )
    return there


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes a manifest atomically.

    Raises:
        ValueError: it is one that `read_manifest` refuses, such as of over 64 MiB.
    """
    content = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    try:
        read_json(content)
    except ValueError as error:
        raise ValueError(f"A manifest must be one that can be read again: {error}.") from None
    write_atomically(folder / MANIFEST, content)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns what `claim` wrote.

    Raises:
        ValueError: the manifest is not a JSON object.
        FileNotFoundError: there is none.
    """
    path = folder / MANIFEST
    try:
        manifest = read_json(read_content(path, JSON))
    except ValueError as error:
        raise ValueError(f"{path} is not a manifest: {error}.") from error
    if not isinstance(manifest, dict):
        raise ValueError(
            f"{path} is not a manifest: it must hold an object. Received: {_short(manifest)}."
        )
    return manifest


def differences(there: Any, now: Any, path: str = "") -> list[str]:
    """Returns where the JSON in a folder and that of today differ, one line each."""
    if isinstance(there, dict) and isinstance(now, dict):
        return [
            line
            for key in {**there, **now}
            for line in differences(there.get(key), now.get(key), f"{path}.{key}" if path else key)
        ]
    if there == now:
        return []
    if isinstance(there, list) and isinstance(now, list) and len(there) == len(now):
        first = next(i for i in range(len(there)) if there[i] != now[i])
        path, there, now = f"{path}[{first}]", there[first], now[first]
    return [f"{cut(path, 60)}: {_short(there)} in the folder, {_short(now)} now"]


def write_folder_atomically(folder: Path, fill: Callable[[Path], None]) -> None:
    """Has `fill` write files into a folder that then gets its name, in place of a damaged one."""
    temporary = folder.with_name(f".{folder.name}{_UNFINISHED}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        fill(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _refuse_strangers(folder: Path, kind: str) -> None:
    strangers = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    if strangers:
        raise ValueError(
            f"{str(folder)!r} must be empty or hold a {kind}. Received: a folder with "
            f"{', '.join(strangers[:3])}."
        )


def _folder_name(label: str, key: str) -> str:
    """A name that a reader knows and that changes with everything that determines the content."""
    readable = "".join(c if c.isalnum() or c in "-." else "_" for c in label.lower())
    return f"{readable}-{key[:16]}"


def _read_record(folder: Path) -> dict[str, Any] | None:
    """Returns a piece's record; `None` where there is none or a file does not have its SHA-256."""
    record = _record_in(folder / _RECORD)
    if record is None or not isinstance(record.get("seconds"), (int, float)):
        return None
    try:
        return record if record.get("files") == _hashes(folder) else None
    except OSError:
        return None


def _record_in(file: Path) -> dict[str, Any] | None:
    """Returns what a record holds; `None` where there is none or it is damaged."""
    try:
        record = read_json(read_content(file, JSON))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    hashes = {file.relative_to(folder).as_posix(): _hash(file) for file in files}
    return {name: value for name, value in hashes.items() if name != _RECORD}


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _short(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "…"
    return cut(text, 60)
