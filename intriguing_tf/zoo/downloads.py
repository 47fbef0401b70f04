"""Downloads one file from several addresses: exactly the bytes that were promised, or nothing.

Mirrors are tried in order, with several attempts each. Processes that want the same file take turns
at them. A partial file is resumed, and nothing gets the final name that was not verified.
`transfers` has what happens in one attempt.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import filelock

from intriguing_tf.zoo import locations
from intriguing_tf.zoo.errors import DownloadError
from intriguing_tf.zoo.integrity import digest, fault
from intriguing_tf.zoo.patience import PATIENCE, Patience
from intriguing_tf.zoo.transfers import Interrupted, Refused, Transfer

LARGEST = 16 << 30  # bytes of one file, as in the card's schema
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Check = Callable[[Path], str]  # what is wrong with a file, or an empty string
_TURN = 0.1  # seconds between attempts, in which a process that waits for the lock gets it

_log = logging.getLogger(__name__)


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int,
    sha256: str,
    sha1: str | None = None,
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
        sha1: hexadecimal, if the publisher gives it too: then both must be right.
        verbose: True or False for a progress bar, or "auto": when stderr is a terminal.
        patience: how long to wait for what.

    Raises:
        DownloadError: no address gave these bytes, downloads are forbidden, the folder cannot be
            written, or the disk is full.
    """

    def wrong(part: Path) -> str:
        return fault(part, size, sha256, sha1)

    advice = (
        "Try again later (what is already here is resumed), set HTTPS_PROXY if this network "
        f"needs a proxy, or put the file at {target} yourself: it is verified all the same."
    )
    transfer = Transfer(_part(target), size, size, verbose, patience, resumes=True)
    _refuse_offline(urls, target)
    with _writing(target):
        if not _is_there(target, wrong):
            _from_first(urls, target, transfer, wrong, advice)


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

    def wrong(part: Path) -> str:
        found = digest(part, "sha1") if sha1 else None
        return "" if found == sha1 else f"its SHA-1 is {found} instead of {sha1}"

    # Without a hash nobody would notice that half of the file is of another one.
    resumes = sha1 is not None
    transfer = Transfer(_part(target), size, size or LARGEST, verbose, patience, resumes)
    _refuse_offline(urls, target)
    with _writing(target):
        _from_first(urls, target, transfer, wrong, keeps=False)
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
        transfer = Transfer(file, None, largest, False, patience)
        try:
            _persist(url, patience, functools.partial(transfer.fill, url))
        except Refused as error:
            raise DownloadError(f"{url} could not be read: {error}.") from None
        return file.read_bytes()


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _from_first(
    urls: Sequence[str],
    target: Path,
    transfer: Transfer,
    wrong: Check,
    advice: str = "",
    keeps: bool = True,
) -> None:
    """Gets the target from the first address that gives it."""
    failures = []
    for url in urls:
        attempt = functools.partial(_get, url, target, transfer, wrong, keeps)
        try:
            return _persist(url, transfer.patience, attempt)
        except Refused as error:
            failures.append(f"{url}: {error}")
    tried = "\n  ".join(failures)
    raise DownloadError(f"{target.name} could not be downloaded.\n  {tried}\n{advice}".rstrip())


def _persist(url: str, patience: Patience, attempt: Callable[[], object]) -> None:
    """Makes attempts at one address, with pauses, until one succeeds."""
    for number in itertools.count(1):
        try:
            attempt()
            return
        except Interrupted as error:
            if number >= patience.attempts:
                raise Refused(f"{error}, {number} times" if number > 1 else error) from None
            _log.info("%s: %s; trying again", url, error)
            time.sleep(max(patience.before(number + 1, error.pause), _TURN))


def _get(url: str, target: Path, transfer: Transfer, wrong: Check, keeps: bool) -> None:
    """Makes one attempt, with the target locked: the right file gets its name, others go.

    The lock is held for no more than this one attempt: while a server is waited for that does not
    answer, other processes get their turn at others.
    """
    with _lock(target):
        if keeps and _is_there(target, wrong):
            return
        if transfer.size is not None:
            _check_room(target.parent, transfer.size - transfer.have())
        came_whole = transfer.fill(url)
        if found := wrong(transfer.part):
            transfer.part.unlink()
            if came_whole:
                raise Refused(f"sent another file: {found}")
            raise Interrupted(f"the parts are not of one file: {found}")
        os.replace(transfer.part, target)


def _is_there(target: Path, wrong: Check) -> bool:
    return target.is_file() and not wrong(target)


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
