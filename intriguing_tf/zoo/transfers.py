"""One file from one address: retried, resumed, and ended when the server stalls.

requests does proxies, TLS and redirects; urllib3's `Retry` repeats requests that were not answered,
with pauses that grow or that the server asks for. What is here starts with the answer's body, which
neither of them resumes, and which nobody may fill the disk with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
import requests.adapters
import urllib3

from intriguing_tf.progress import progress_bar
from intriguing_tf.zoo.patience import Patience

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP states that may pass in a moment

_log = logging.getLogger(__name__)


class Refused(Exception):
    """A fault after which only another address can help."""


class _Interrupted(Exception):
    """The body ended early; the same address deserves another attempt."""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What is known of a file before it is here.

    Args:
        part: where the bytes go; what is there already is resumed if `size` is known.
        size: bytes, if known.
        largest: bytes; more are refused, if possible before they are sent.
        verbose: True or False for a progress bar, or "auto": when stderr is a terminal.
        patience: how long to wait for what.
    """

    part: Path
    size: int | None
    largest: int
    verbose: bool | str
    patience: Patience

    def fill(self, url: str) -> None:
        """Fills the file from an address.

        Raises:
            Refused: this address does not give it.
            OSError: the file cannot be written.
        """
        retries = _Retries(
            total=self.patience.attempts - 1,
            other=0,  # certificates that are not trusted, and the like
            status_forcelist=RETRIED,
            backoff_factor=self.patience.pause,
            backoff_max=self.patience.longest_pause,
            raise_on_status=False,
        )
        while True:
            try:
                return self._attempt(url, retries)
            except _Interrupted as error:
                _log.info("%s: %s; trying again", url, error)
                retries = _after(error, retries, url)
                retries.sleep()

    def _attempt(self, url: str, retries: _Retries) -> None:
        """One answer: the whole file, or what is missing of it."""
        have = self.part.stat().st_size if self.size is not None and self.part.is_file() else 0
        if have == self.size:
            return
        if self.size is not None and have > self.size:
            have = 0
        with self._answer(url, have, retries) as response:
            start = self._body_start(response, have)
            self._check_length(response, start)
            bar = progress_bar(self.size, self.part.stem, self.verbose, unit="B", done=start)
            with open(self.part, "ab") as stream, bar:
                stream.truncate(start)
                end = self._copy(response, stream, start, bar)
        if self.size is not None and end < self.size:
            raise _Interrupted(f"the connection ended after {end:,} of {self.size:,} bytes")

    @contextlib.contextmanager
    def _answer(self, url: str, have: int, retries: _Retries) -> Iterator[requests.Response]:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        timeout = (self.patience.connect, self.patience.silence)
        with _Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
            try:
                response = session.get(url, headers=headers, stream=True, timeout=timeout)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise Refused(f"{type(error).__name__}: {error}") from None
            with response:
                yield response

    def _body_start(self, response: requests.Response, have: int) -> int:
        """Returns the offset in the file at which the answer's body begins."""
        status, place = response.status_code, response.headers.get("Content-Range", "")
        if status == 200:
            return 0
        if status == 206 and place.startswith(f"bytes {have}-"):
            return have
        if have and status in (206, 416):
            self.part.unlink()
            raise _Interrupted(f"HTTP {status} to a request for the bytes from {have:,}")
        raise Refused(f"HTTP {status} {response.reason}")

    def _check_length(self, response: requests.Response, start: int) -> None:
        """Refuses an answer whose headers already say that it is not the file."""
        kind = response.headers.get("Content-Type", "no type")
        length = response.headers.get("Content-Length", "")
        if length.isdigit():
            promised = start + int(length)
            if self.size is not None and promised != self.size:
                raise Refused(f"offers {promised:,} bytes ({kind}) instead of {self.size:,}")
            if promised > self.largest:
                raise Refused(f"offers {promised:,} bytes; at most {self.largest:,} are accepted")
        if self.size is None and kind.startswith("text/html"):
            raise Refused("offers a web page instead of a file")

    def _copy(self, response: requests.Response, stream: IO[bytes], start: int, bar: Any) -> int:
        """Writes the body as it comes; returns the offset reached."""
        end, window_end, window_start = start, start, time.monotonic()
        while chunk := _next_chunk(response):
            end += len(chunk)
            if end > self.largest:
                raise Refused(f"sends more than the {self.largest:,} bytes that are accepted")
            stream.write(chunk)
            bar.update(len(chunk))
            seconds = time.monotonic() - window_start
            if seconds > self.patience.window:
                if end - window_end < self.patience.slowest * seconds:
                    raise _Interrupted(f"stalled: {end - window_end:,} bytes in {seconds:.0f} s")
                window_end, window_start = end, time.monotonic()
        return end


def _next_chunk(response: requests.Response) -> bytes:
    """Returns what has come of the body, as soon as something has."""
    try:
        return response.raw.read1(1 << 16, decode_content=False)
    except (urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise _Interrupted(f"{type(error).__name__}: {error}") from None


def _after(error: _Interrupted, retries: _Retries, url: str) -> _Retries:
    """Returns the retries that are left after an interrupted body."""
    cause = urllib3.exceptions.ProtocolError(str(error))
    try:
        return retries.increment("GET", url, error=cause)
    except urllib3.exceptions.MaxRetryError:
        raise Refused(f"{error}, {len(retries.history) + 1} times") from None


class _Retries(urllib3.Retry):
    """Reads no body of an answer that is not wanted, and waits only so long when asked to wait."""

    def increment(self, method=None, url=None, response=None, *args: Any, **kwargs: Any) -> Any:
        if response is not None:
            response.close()  # urllib3 would read all of it first, and it may have no end
        return super().increment(method, url, response, *args, **kwargs)

    def get_retry_after(self, response: Any) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, self.backoff_max)


class _Session(requests.Session):
    """Follows redirects to https, and to http only from http."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            before = urlsplit(resp.url).scheme
            after = urlsplit(urljoin(resp.url, target)).scheme
            if after not in ("https", before):
                raise Refused(
                    f"redirects from {before} to {after}, which is refused: {target[:200]}"
                )
        return target
