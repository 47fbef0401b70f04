"""Downloads one file from several addresses: exactly the bytes that were promised, or nothing.

Mirrors are tried in order, processes that want the same file wait for one another, a partial file
is resumed, and nothing gets the final name that was not verified. `transfers` has what happens
between this machine and one address.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import filelock

from intriguing_tf.zoo import locations
from intriguing_tf.zoo.errors import DownloadError
from intriguing_tf.zoo.integrity import digest, fault
from intriguing_tf.zoo.patience import PATIENCE, Patience
from intriguing_tf.zoo.transfers import Refused, Transfer

LARGEST = 16 << 30  # bytes of one file, as in the card's schema
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_log = logging.getLogger(__name__)


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int,
    sha256: str,
    verbose: bool | str = "auto",
    patience: Patience = PATIENCE,
) -> None:
    """Downloads a file whose size and hash are known; resumes what an earlier call left.

    Processes that want the same target wait for the first one and then find its file. The target
    appears atomically and verified; an unfinished download stays beside it as `.part`.

    Args:
        urls: http(s) addresses of the same bytes, tried in order.
        target: the file; missing folders are made.
        size: bytes.
        sha256: hexadecimal.
        verbose: True or False for a progress bar, or "auto": when stderr is a terminal.
        patience: how long to wait for what.

    Raises:
        DownloadError: no address gave these bytes, downloads are forbidden, the folder cannot be
            written, or the disk is full.
    """
    part = _part(target)
    transfer = Transfer(part, size, size, verbose, patience)

    def fetch(url: str) -> None:
        resumed = part.is_file() and part.stat().st_size > 0
        transfer.fill(url)
        if resumed and fault(part, size, sha256):  # the beginning was of another file
            part.unlink()
            transfer.fill(url)
        if wrong := fault(part, size, sha256):
            part.unlink()
            raise Refused(f"sent another file: {wrong}")

    _refuse_offline(urls, target)
    with _writing(target), _lock(target):
        if target.is_file() and not fault(target, size, sha256):
            return
        have = part.stat().st_size if part.is_file() else 0
        _check_room(target.parent, size - have)
        advice = (
            "Try again later (what is already here is resumed), set HTTPS_PROXY if this network "
            f"needs a proxy, or put the file at {target} yourself: it is verified all the same."
        )
        _from_first(urls, target, fetch, advice)


def download_unknown(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    sha1: str | None = None,
    verbose: bool | str = "auto",
    patience: Patience = PATIENCE,
) -> tuple[int, str]:
    """Downloads a file whose SHA-256 is not known yet.

    Args:
        urls, target, verbose, patience: as `download`.
        size: bytes, if known.
        sha1: hexadecimal, if known.

    Returns:
        Its size in bytes and its SHA-256, for a human to judge.

    Raises:
        DownloadError: as `download`.
    """
    part = _part(target)
    transfer = Transfer(part, size, size or LARGEST, verbose, patience)

    def fetch(url: str) -> None:
        part.unlink(missing_ok=True)
        transfer.fill(url)
        if sha1 and (found := digest(part, "sha1")) != sha1:
            part.unlink()
            raise Refused(f"sent another file: its SHA-1 is {found} instead of {sha1}")

    _refuse_offline(urls, target)
    with _writing(target), _lock(target):
        _check_room(target.parent, size or 0)
        _from_first(urls, target, fetch)
        return target.stat().st_size, digest(target)


def read(url: str, largest: int, patience: Patience = PATIENCE) -> bytes:
    """Returns a small file without a known hash, such as a catalogue.

    Args:
        url: http(s) address.
        largest: bytes; a longer answer is refused before it is read.
        patience: how long to wait for what.

    Raises:
        DownloadError: no whole answer.
    """
    _refuse_offline([url], None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        try:
            Transfer(file, None, largest, False, patience).fill(url)
        except Refused as error:
            raise DownloadError(f"{url} could not be read: {error}.") from None
        return file.read_bytes()


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _from_first(
    urls: Sequence[str], target: Path, fetch: Callable[[str], None], advice: str = ""
) -> None:
    """Fetches the partial file from the first address that gives it, and names it the target."""
    failures = []
    for url in urls:
        try:
            fetch(url)
            os.replace(_part(target), target)
            return
        except Refused as error:
            failures.append(f"{url}: {error}")
    tried = "\n  ".join(failures)
    raise DownloadError(f"{target.name} could not be downloaded.\n  {tried}\n{advice}".rstrip())


def _refuse_offline(urls: Sequence[str], target: Path | None) -> None:
    if locations.offline():
        place = f" Put the file at {target}, or unset it." if target else ""
        raise DownloadError(
            f"INTRIGUING_TF_OFFLINE forbids the download of {', '.join(urls)}.{place}"
        )


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Makes the target's folder and turns its refusals into advice."""
    advice = "Set INTRIGUING_TF_CACHE to another folder."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except DownloadError:
        raise
    except OSError as error:
        if error.errno in FULL:
            _part(target).unlink(missing_ok=True)
            raise DownloadError(
                f"No room for {target}: {error.strerror}. What was there of it is removed. Free "
                f"some space. {advice}"
            ) from error
        raise DownloadError(f"{target.parent} cannot be written: {error}. {advice}") from error


@contextlib.contextmanager
def _lock(target: Path) -> Iterator[None]:
    lock = filelock.FileLock(target.with_name(target.name + ".lock"))
    try:
        lock.acquire(timeout=2)
    except filelock.Timeout:
        _log.warning("Another process downloads %s; waiting for it.", target.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{folder} has {free:,} bytes free, the download needs {needed:,}. Free some space or "
            "set INTRIGUING_TF_CACHE to another folder."
        )
