"""A real HTTP server on the loopback address that can misbehave in the ways that servers do."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A behaviour answers one request: `behaviour(handler, content)`.
Behaviour = Callable[[Any, bytes], None]


@dataclasses.dataclass
class FaultServer:
    """Serves `files`; the first requests for a path are answered by its queued `faults`."""

    address: str
    files: dict[str, bytes]
    faults: dict[str, list[Behaviour]]
    requests: list[tuple[str, str | None]]  # path and Range header

    def url(self, path: str) -> str:
        return self.address + path

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Runs a `FaultServer` for the duration of a `with` block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append((self.path, self.headers.get("Range")))
            content = state.files.get(self.path)
            queue = state.faults.get(self.path, [])
            if queue:
                (queue.pop(0) if len(queue) > 1 or not forever(queue[0]) else queue[0])(
                    self, content or b""
                )
            elif content is None:
                answer(self, b"nothing here", status=404)
            else:
                whole_or_range(self, content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 50

        def handle_error(self, *_: Any) -> None:  # clients that hang up are part of the game
            pass

    httpd = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    state = FaultServer(f"{scheme}://127.0.0.1:{httpd.server_port}", {}, {}, [])
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()


def forever(behaviour: Behaviour) -> bool:
    return getattr(behaviour, "forever", False)


def always(behaviour: Behaviour) -> Behaviour:
    """Returns the behaviour, never used up."""

    def repeated(handler: Any, content: bytes) -> None:
        behaviour(handler, content)

    repeated.forever = True  # type: ignore[attr-defined]
    return repeated


def answer(handler: Any, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    fields = {"Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
    for key, value in (fields | {k.replace("_", "-"): v for k, v in headers.items()}).items():
        handler.send_header(key, value)
    handler.end_headers()
    with contextlib.suppress(ConnectionError):
        handler.wfile.write(body)


def whole_or_range(handler: Any, content: bytes) -> None:
    """What a good server does."""
    wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if wanted is None:
        return answer(handler, content)
    start = int(wanted[1])
    if start >= len(content):
        return answer(handler, b"", 416, Content_Range=f"bytes */{len(content)}")
    place = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return answer(handler, content[start:], 206, Content_Range=place)


def status(code: int, **headers: str) -> Behaviour:
    return lambda handler, _: answer(handler, b"not now", code, **headers)


def truncated(share: float) -> Behaviour:
    """Promises the whole file and closes the connection after a share of it."""

    def behaviour(handler: Any, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: int(len(content) * share)])
        handler.close_connection = True

    return behaviour


def hang_up(handler: Any, _: bytes) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def silent(handler: Any, _: bytes) -> None:
    """Accepts the request and says nothing until the client hangs up."""
    with contextlib.suppress(OSError):
        handler.connection.settimeout(60)
        handler.connection.recv(1)
    handler.close_connection = True


def dripping(pause: float, step: int = 1) -> Behaviour:
    """Sends `step` bytes, waits, sends some more: never silent, never done."""

    def behaviour(handler: Any, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(content), step):
                handler.wfile.write(content[start : start + step])
                handler.wfile.flush()
                time.sleep(pause)

    return behaviour


def raw(answer: bytes, pause: float = 0.0) -> Behaviour:
    """Sends these bytes for headers and body; with a pause after each, for ever."""

    def behaviour(handler: Any, _: bytes) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            if not pause:
                handler.wfile.write(answer)
                return
            for byte in itertools.chain(answer, itertools.repeat(ord("x"))):
                handler.wfile.write(bytes([byte]))
                time.sleep(pause)

    return behaviour


def short_ranges(most: int) -> Behaviour:
    """Answers a request for a range with no more than so many bytes of it."""

    def behaviour(handler: Any, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if wanted is None:
            return truncated(0.1)(handler, content)
        start = int(wanted[1])
        part = content[start : start + most]
        place = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        return answer(handler, part, 206, Content_Range=place)

    return behaviour


def wrong_bytes(handler: Any, content: bytes) -> None:
    """As long as the right file, and another one."""
    whole_or_range(handler, bytes(byte ^ 1 for byte in content))


def web_page(handler: Any, _: bytes) -> None:
    """A log-in page with status 200, as captive portals send it."""
    answer(handler, b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8")


def no_ranges(handler: Any, content: bytes) -> None:
    """Sends the whole file whatever was asked."""
    answer(handler, content)


def wrong_range(handler: Any, content: bytes) -> None:
    """Claims to resume, from the wrong place."""
    if "Range" in handler.headers:
        answer(handler, content, 206, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")
    else:
        answer(handler, content)


def endless(handler: Any, _: bytes, status: int = 200) -> None:
    """Sends without a length and without an end."""
    handler.send_response(status)
    handler.end_headers()
    handler.close_connection = True
    with contextlib.suppress(ConnectionError):
        while True:
            handler.wfile.write(b"x" * 65536)


def redirect(target: str) -> Behaviour:
    return lambda handler, _: answer(handler, b"", 302, Location=target)


def card(name: str, content: bytes, **fields: Any) -> dict[str, Any]:
    """Returns a card, as JSON, of an entry whose weights are `content`."""
    return {
        "name": name,
        "title": "A test entry",
        "format": "keras",
        "builder": "fc10",
        "file": "model.keras",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "input_shape": [28, 28, 1],
        "bounds": [0, 1],
        "classes": 10,
        "parameters": 7850,
        "licence": "Apache-2.0",
        "source": "tests",
        **fields,
    }


def catalogue(*cards: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"version": 1, "entries": cards, **fields}).encode()
