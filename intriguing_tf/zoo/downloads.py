"""Downloads one file from several addresses: exactly the bytes that were promised, or nothing.

Pooch names the cache folder and hashes files, requests does proxies, TLS and redirects, filelock
keeps processes apart. What they lack together is here: resuming a partial file, refusing a wrong
size before it fills the disk, trying mirrors, leaving nothing under the final name that was not
verified, and following no redirect to a weaker scheme.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

import filelock
import pooch
import requests
import urllib3
from tqdm.auto import tqdm

from intriguing_tf.zoo import locations
from intriguing_tf.zoo.errors import DownloadError, IntegrityError

LARGEST = 16 << 30  # bytes of one file, as in the schema
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states that may be gone a moment later
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a download waits for what.

    Args:
        attempts: per address.
        pause: seconds before the second attempt; doubles each time. A server's Retry-After counts
            if it is longer, up to `longest_pause`.
        longest_pause: seconds.
        connect: seconds for a connection.
        silence: seconds without a single byte.
        window: seconds over which less than `slowest` bytes per second means a stalled server.
        slowest: bytes per second.
    """

    attempts: int = 5
    pause: float = 0.5
    longest_pause: float = 60.0
    connect: float = 10.0
    silence: float = 30.0
    window: float = 60.0
    slowest: float = 1024.0


PATIENCE = Patience()


class _Passing(Exception):
    """A fault after which the same address deserves another attempt."""

    def __init__(self, message: str, pause: float = 0.0):
        super().__init__(message)
        self.pause = pause


class _CannotResume(Exception):
    """The server does not continue this partial file."""


class _Final(Exception):
    """A fault after which only another address can help."""


def download(
    urls: Sequence[str], target: Path, *, size: int, sha256: str, progress: bool = True
) -> None:
    """Downloads a file whose size and hash are known; resumes what an earlier call left.

    Processes that want the same target wait for the first one and then find its file. The target
    appears whole and verified or not at all; an unfinished download stays beside it as `.part`.

    Args:
        urls: http(s) addresses of the same bytes, tried in order.
        target: the file; missing folders are made.
        size: bytes.
        sha256: hexadecimal.
        progress: draw a bar on standard error if that is a terminal.

    Raises:
        DownloadError: no address gave these bytes, downloads are forbidden, the folder cannot be
            written, or the disk is full.
    """
    _refuse_offline(urls, target)
    part = target.with_name(target.name + ".part")
    with _writing(target), _lock(target):
        if target.is_file() and not fault(target, size, sha256):
            return
        have = part.stat().st_size if part.is_file() else 0
        _check_room(target.parent, size - have)
        failures = []
        for url in urls:
            try:
                _from_address(url, part, size, sha256, progress)
                os.replace(part, target)
                return
            except _Final as error:
                failures.append(f"{url}: {error}")
    raise DownloadError(
        f"{target.name} could not be downloaded.\n  " + "\n  ".join(failures) + "\nTry again "
        "later (what is already here is resumed), set HTTPS_PROXY if this network needs a proxy, "
        f"or put the file at {target} yourself: it is verified all the same."
    )


def read(url: str, largest: int) -> bytes:
    """Returns a small file without a known hash, such as a catalogue.

    Args:
        url: http(s) address.
        largest: bytes; a longer answer is refused before it is read.

    Raises:
        DownloadError: no whole answer.
    """
    _refuse_offline([url], None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        try:
            _with_retries(url, file, None, largest, progress=False)
        except _Final as error:
            raise DownloadError(f"{url} could not be read: {error}.") from None
        return file.read_bytes()


def download_unknown(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    sha1: str | None = None,
    progress: bool = True,
) -> tuple[int, str]:
    """Downloads a file whose SHA-256 nobody has said yet.

    Args:
        urls, target, progress: as `download`.
        size: bytes, if known.
        sha1: hexadecimal, if known.

    Returns:
        Its size in bytes and its SHA-256, for a human to judge.

    Raises:
        DownloadError: as `download`.
    """
    _refuse_offline(urls, target)
    part = target.with_name(target.name + ".part")
    failures = []
    with _writing(target), _lock(target):
        _check_room(target.parent, size or 0)
        for url in urls:
            part.unlink(missing_ok=True)
            try:
                _with_retries(url, part, size, size or LARGEST, progress)
            except _Final as error:
                failures.append(f"{url}: {error}")
                continue
            if sha1 and (found := pooch.file_hash(str(part), alg="sha1")) != sha1:
                failures.append(f"{url}: sent another file: its SHA-1 is {found} instead of {sha1}")
                part.unlink()
                continue
            os.replace(part, target)
            return target.stat().st_size, pooch.file_hash(str(target), alg="sha256")
    raise DownloadError(f"{target.name} could not be downloaded.\n  " + "\n  ".join(failures))


def fault(file: Path, size: int, sha256: str) -> str:
    """Returns what is wrong with a file's bytes, or an empty string."""
    found = file.stat().st_size
    if found != size:
        return f"it has {found:,} bytes instead of {size:,}"
    digest = pooch.file_hash(str(file), alg="sha256")
    return "" if digest == sha256 else f"its SHA-256 is {digest} instead of {sha256}"


def verify(file: Path, size: int, sha256: str) -> None:
    """Raises an `IntegrityError` unless the file has this size and hash."""
    if wrong := fault(file, size, sha256):
        raise IntegrityError(f"{file} is damaged or was replaced: {wrong}.")


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
            target.with_name(target.name + ".part").unlink(missing_ok=True)
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


def _from_address(url: str, part: Path, size: int, sha256: str, progress: bool) -> None:
    """Fills and verifies the partial file; starts afresh once if resuming gave wrong bytes."""
    resumed = part.is_file() and part.stat().st_size > 0
    _with_retries(url, part, size, size, progress)
    wrong = fault(part, size, sha256)
    if wrong and resumed:
        part.unlink()
        _with_retries(url, part, size, size, progress)
        wrong = fault(part, size, sha256)
    if wrong:
        part.unlink()
        raise _Final(f"sent another file: {wrong}")


def _with_retries(url: str, part: Path, size: int | None, largest: int, progress: bool) -> None:
    """Fills the partial file from one address."""
    pause = PATIENCE.pause
    for attempt in range(1, PATIENCE.attempts + 1):
        try:
            try:
                return _attempt(url, part, size, largest, progress)
            except _CannotResume as error:
                part.unlink()
                raise _Passing(str(error)) from None
        except _Passing as error:
            if attempt == PATIENCE.attempts:
                raise _Final(f"{error}, {attempt} times") from None
            _log.info("%s: %s; trying again", url, error)
            time.sleep(min(max(pause, error.pause), PATIENCE.longest_pause))
            pause *= 2


def _attempt(url: str, part: Path, size: int | None, largest: int, progress: bool) -> None:
    """One request: the whole file, or what is missing of it if its size is known."""
    have = part.stat().st_size if size is not None and part.is_file() else 0
    if have == size:
        return
    if size is not None and have > size:
        have = 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _translated(), _Session() as session:
        response = session.get(
            url, headers=headers, stream=True, timeout=(PATIENCE.connect, PATIENCE.silence)
        )
        with response:
            start = _body_start(response, have)
            _check_length(response, start, size, largest)
            with open(part, "ab") as stream, _bar(part, start, size, progress) as bar:
                stream.truncate(start)
                end = _copy(response, stream, start, largest, bar)
    if size is not None and end < size:
        raise _Passing(f"the connection ended after {end:,} of {size:,} bytes")


def _body_start(response: requests.Response, have: int) -> int:
    """Returns the offset in the file at which the answer's body begins."""
    status = response.status_code
    if status in PASSING:
        after = response.headers.get("Retry-After", "")
        raise _Passing(f"HTTP {status} {response.reason}", float(after) if after.isdigit() else 0.0)
    if status == 200:
        return 0
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    if have and status in (206, 416):
        raise _CannotResume(f"HTTP {status} to a request for the bytes from {have:,}")
    raise _Final(f"HTTP {status} {response.reason}")


def _check_length(response: requests.Response, start: int, size: int | None, largest: int) -> None:
    """Refuses an answer whose headers already say that it is not the file."""
    kind = response.headers.get("Content-Type", "no type")
    length = response.headers.get("Content-Length", "")
    if length.isdigit():
        promised = start + int(length)
        if size is not None and promised != size:
            raise _Final(f"offers {promised:,} bytes ({kind}) instead of {size:,}")
        if promised > largest:
            raise _Final(f"offers {promised:,} bytes; at most {largest:,} are accepted")
    if size is None and kind.startswith("text/html"):
        raise _Final("offers a web page instead of a file")


def _copy(
    response: requests.Response, stream: IO[bytes], start: int, largest: int, bar: tqdm
) -> int:
    """Writes the body as it comes; returns the offset reached."""
    end, window_end, window_start = start, start, time.monotonic()
    while chunk := response.raw.read1(1 << 16, decode_content=False):
        end += len(chunk)
        if end > largest:
            raise _Final(f"sends more than the {largest:,} bytes that are accepted")
        stream.write(chunk)
        bar.update(len(chunk))
        seconds = time.monotonic() - window_start
        if seconds > PATIENCE.window:
            if end - window_end < PATIENCE.slowest * seconds:
                raise _Passing(f"stalled: {end - window_end:,} bytes in {seconds:.0f} s")
            window_end, window_start = end, time.monotonic()
    return end


def _bar(part: Path, start: int, size: int | None, progress: bool) -> tqdm:
    return tqdm(
        desc=part.stem,
        initial=start,
        total=size,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=None if progress else True,  # None: only where there is a terminal
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Sorts the network's exceptions into those worth another attempt and the others."""
    final = (
        requests.exceptions.SSLError,
        requests.exceptions.ProxyError,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.TooManyRedirects,
        urllib3.exceptions.LocationParseError,
    )
    try:
        yield
    except final as error:
        raise _Final(f"{type(error).__name__}: {error}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise _Passing(f"{type(error).__name__}: {error}") from None


class _Session(requests.Session):
    """Follows redirects to https, and to http only from http."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            before = urlsplit(resp.url).scheme
            after = urlsplit(urljoin(resp.url, target)).scheme
            if after not in ("https", before):
                raise _Final(
                    f"redirects from {before} to {after}, which is refused: {target[:200]}"
                )
        return target
