"""One attempt to get a file from one address: resumed, and ended when the server stalls.

requests does proxies, TLS and redirects, `pace` the deadlines. What is here reads the answer: its
headers, none of which is believed, and its body, which nobody may fill the disk with.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from intriguing_tf.files import is_plain_file
from intriguing_tf.progress import progress_bar
from intriguing_tf.text import printable
from intriguing_tf.zoo.pace import Adapter, Pace, Stalled
from intriguing_tf.zoo.patience import Patience

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP states that may pass in a moment
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_CHUNK = 1 << 16  # bytes that are read at most at a time


class Refused(Exception):
    """A fault after which only another address can help."""

    def __init__(self, message: object):
        super().__init__(printable(str(message)))


class Interrupted(Refused):
    """A fault after which the same address deserves another attempt.

    Args:
        message: what happened.
        pause: seconds that the server asks to wait.
    """

    def __init__(self, message: object, pause: float | None = None):
        super().__init__(message)
        self.pause = pause


class _Body(NamedTuple):
    """The bytes of the file from `start` to `end` are on their way; `None`: all that follow."""

    response: requests.Response
    start: int
    end: int | None


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What is known of a file before it is here.

    Args:
        part: where the bytes go. What is no plain file with one name (a link, say) is replaced.
        size: bytes, if known.
        largest: bytes; more are refused, if possible before they are sent.
        verbose: True or False for a progress bar, or "auto": when stderr is a terminal.
        patience: how long to wait for what.
        resumes: whether what is there already is kept. Whoever says so checks the whole.
    """

    part: Path
    size: int | None
    largest: int
    verbose: bool | str
    patience: Patience
    resumes: bool = False

    def fill(self, url: str) -> bool:
        """Makes one attempt to fill the file from an address.

        Returns:
            Whether all of its bytes came in one answer, now.

        Raises:
            Interrupted: another attempt may help.
            Refused: this address does not give the file.
            OSError: the file cannot be written.
        """
        have = self.have()
        whole = False
        with Pace(self.patience) as pace, _Session(pace) as session:
            while have != self.size:
                body = self._answer(session, pace, url, have)
                with body.response:
                    reached = self._write(body, pace)
                whole = body.start == 0
                if self.size is None:
                    break
                if reached < self.size and (body.end != reached or reached <= have):
                    raise Interrupted(
                        f"the connection ended after {reached:,} of {self.size:,} bytes"
                    )
                have = reached
        return whole

    def have(self) -> int:
        """Returns how many bytes are there to be resumed from."""
        if not self.resumes or self.size is None or not is_plain_file(self.part):
            return 0
        have = self.part.stat().st_size
        return have if have <= self.size else 0

    def _answer(self, session: _Session, pace: Pace, url: str, have: int) -> _Body:
        """Sends a request and reads the headers of the answer, whatever they may be."""
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        timeout = (self.patience.connect, self.patience.silence)
        response = None
        try:
            pace.check()
            response = session.get(url, headers=headers, stream=True, timeout=timeout)
            return self._body(response, have)
        except Exception as error:
            if response is not None:
                response.close()
            raise _fault(error, pace) from None

    def _body(self, response: requests.Response, have: int) -> _Body:
        """Returns which bytes an answer holds, unless its headers say that it is not the file."""
        status = response.status_code
        kind = response.headers.get("Content-Type", "no type")
        length = _header(response, "Content-Length", _number)
        if status in RETRIED:
            raise Interrupted(
                f"HTTP {status} {response.reason}", _header(response, "Retry-After", _seconds)
            )
        if have and status in (206, 416):
            return self._rest(response, have, length)
        if status != 200:
            raise Refused(f"HTTP {status} {response.reason}")
        if length is not None:
            if self.size not in (None, length):
                raise Refused(f"offers {length:,} bytes ({kind}) instead of {self.size:,}")
            if length > self.largest:
                raise Refused(f"offers {length:,} bytes; at most {self.largest:,} are accepted")
        if self.size is None and kind.startswith("text/html"):
            raise Refused("offers a web page instead of a file")
        return _Body(response, 0, length)

    def _rest(self, response: requests.Response, have: int, length: int | None) -> _Body:
        """The answer to a request for the bytes from `have` on: all of them, or the next few."""
        place = _header(response, "Content-Range", _RANGE.fullmatch)
        if response.status_code == 416 or place is None or int(place[1]) != have:
            self.part.unlink()
            raise Interrupted(
                f"HTTP {response.status_code} to a request for the bytes from {have:,}"
            )
        end, total = int(place[2]) + 1, place[3]
        if total not in ("*", str(self.size)):
            raise Refused(f"offers a file of {int(total):,} bytes instead of {self.size:,}")
        if not have < end <= (self.size or 0) or length not in (None, end - have):
            raise Refused(f"answers with a range that cannot be: {place[0]}, length {length}")
        return _Body(response, have, end)

    def _write(self, body: _Body, pace: Pace) -> int:
        """Writes the body as it comes; returns the offset reached."""
        reached = body.start
        bar = progress_bar(self.size, self.part.stem, self.verbose, unit="B", done=body.start)
        with _opened(self.part, body.start) as stream, bar:
            while chunk := _next_chunk(body.response, pace):
                reached += len(chunk)
                if reached > self.largest:
                    raise Refused(f"sends more than the {self.largest:,} bytes that are accepted")
                stream.write(chunk)
                bar.update(len(chunk))
        return reached


def _next_chunk(response: requests.Response, pace: Pace) -> bytes:
    """Returns what has come of the body, as soon as something has."""
    try:
        chunk = response.raw.read1(_CHUNK, decode_content=False)
    except Exception as error:
        raise _fault(error, pace) from None
    pace.count(len(chunk))
    if not chunk and pace.stalled:  # a body without a length only seems to end
        raise Interrupted(pace.stalled)
    return chunk


def _opened(part: Path, start: int) -> IO[bytes]:
    """Opens the partial file to write from an offset on, and never what a link points to."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if not is_plain_file(part):
        part.unlink(missing_ok=True)
        flags |= os.O_EXCL
    stream = os.fdopen(os.open(part, flags, 0o644), "wb")
    stream.truncate(start)
    stream.seek(start)
    return stream


def _fault(error: Exception, pace: Pace) -> Refused:
    """Returns what an error in an answer means: another attempt, or another address."""
    passing = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError, OSError)
    final = (
        requests.exceptions.SSLError,  # certificates that are not trusted, and the like
        requests.TooManyRedirects,
        requests.exceptions.InvalidURL,
        ValueError,
    )
    if pace.stalled:
        return Interrupted(pace.stalled)
    if isinstance(error, Refused):
        return error
    if isinstance(error, Stalled):
        return Interrupted(error)
    message = f"{type(error).__name__}: {error}"
    again = isinstance(error, passing) and not isinstance(error, final)
    return Interrupted(message) if again else Refused(message)


def _header(response: requests.Response, name: str, parse: Callable[[str], Any]) -> Any:
    """Returns what a header says, or `None` without one.

    Raises:
        Refused: it says nothing that `parse` knows.
    """
    text = response.headers.get(name)
    if text is None:
        return None
    try:
        value = parse(text.strip())
    except Exception:
        value = None
    if value is None:
        raise Refused(f"sends a header that cannot be parsed: {name}: {text[:200]!r}")
    return value


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _seconds(text: str) -> float:
    return float(urllib3.Retry().parse_retry_after(text))


class _Session(requests.Session):
    """Follows redirects to https, and to http only from http; reads the body of none."""

    def __init__(self, pace: Pace):
        super().__init__()
        self._pace = pace
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(pace))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            resp.close()  # requests would read all of the body first, and it may have no end
            self._pace.check()
            before = urlsplit(resp.url).scheme
            after = urlsplit(urljoin(resp.url, target)).scheme
            if after not in ("https", before):
                raise Refused(
                    f"redirects from {before} to {after}, which is refused: {target[:200]}"
                )
        return target
