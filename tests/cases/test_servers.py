"""Servers that are slow, that send headers that are none, and files that change on the way."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import threading
import time

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import downloads
from tests.zoo import fault_server as faults

CONTENT = os.urandom(100_000)
# The server waits far less between two bytes than `silence`: only a deadline can end it.
HASTY = zoo.Patience(attempts=2, pause=0.01, longest_pause=0.1, silence=20, window=1, slowest=1024)
DRIP = 0.05
AT_ONCE = dataclasses.replace(HASTY, window=30)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "the status line": b"HTTP/1.1 200 ",
    "a header": OK + b"X-A: ",
    "many headers": OK + b"a: b\r\n" * 1000,
    "answers before the answer": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "the size of a chunk": CHUNKED + b"1;",
    "what follows the last chunk": CHUNKED + b"1\r\nx\r\n0\r\n",
    "chunks": CHUNKED + b"1\r\nx\r\n" * 1000,
    "a body": OK + b"Content-Length: 100000\r\n\r\n",
    "a body without a length": OK + b"\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /mirror\r\nX: ",
    "the body of a redirect": b"HTTP/1.1 302 Found\r\nLocation: /slow\r\n\r\n",
    "an error": b"HTTP/1.1 503 Busy\r\nContent-Length: 99999\r\n\r\n",
}


@contextlib.contextmanager
def serving_a_mirror():
    with faults.serving() as running:
        running.files["/mirror"] = CONTENT
        yield running


@pytest.fixture
def server():
    with serving_a_mirror() as running:
        yield running


@pytest.fixture(scope="module")
def dripped(tmp_path_factory):
    """Futures of what came of each drip, and of the seconds; all at once, for each waits long."""

    def run(drip):
        with serving_a_mirror() as server:
            server.faults["/slow"] = [faults.always(faults.raw(DRIPS[drip], pause=DRIP))]
            began = time.monotonic()
            return fetch(server, tmp_path_factory.mktemp("drip")), time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(len(DRIPS)) as threads:
        return {drip: threads.submit(run, drip) for drip in DRIPS}


def fetch(server, tmp_path, paths=("/slow", "/mirror"), patience=HASTY):
    target = tmp_path / "file"
    downloads.download(
        [server.url(path) for path in paths],
        target,
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        patience=patience,
    )
    return target.read_bytes()


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.drawn(6)
def test_a_drip_anywhere_in_an_answer_ends_at_the_deadline(dripped, drip):
    content, seconds = dripped[drip].result()
    assert content == CONTENT
    # Two attempts of a window each; without a deadline it would be the file's 5 000 seconds.
    assert seconds < 20


@pytest.mark.slow
def test_what_the_message_of_a_drip_says(server, tmp_path):
    server.faults["/slow"] = [faults.always(faults.raw(OK + b"X: ", pause=DRIP))]
    with pytest.raises(zoo.DownloadError, match=r"/slow: stalled: 0 bytes in 1 s, 2 times"):
        fetch(server, tmp_path, ["/slow"])


@pytest.mark.slow
def test_the_window_counts_from_the_first_byte(server, tmp_path):
    def late(handler, content):
        time.sleep(2)  # longer than the window, shorter than `silence`
        faults.whole_or_range(handler, content)

    server.files["/slow"] = CONTENT
    server.faults["/slow"] = [late]
    assert fetch(server, tmp_path, ["/slow"]) == CONTENT
    assert server.paths() == ["/slow"]


@pytest.mark.slow
def test_a_slow_server_that_is_fast_enough_is_left_to_send(server, tmp_path):
    server.files["/slow"] = CONTENT
    server.faults["/slow"] = [faults.dripping(0.05, step=2000)]  # about 40 000 bytes per second
    assert fetch(server, tmp_path, ["/slow"]) == CONTENT
    assert server.paths() == ["/slow"]


@pytest.mark.slow
def test_ranges_of_next_to_nothing_stall_too(server, tmp_path):
    def one_byte(handler, content):
        time.sleep(DRIP)
        faults.short_ranges(1)(handler, content)

    server.files["/slow"] = CONTENT
    server.faults["/slow"] = [faults.truncated(0.1), faults.always(one_byte)]
    assert fetch(server, tmp_path) == CONTENT
    assert server.paths().count("/slow") < 200


# Each in an answer that would be right without it.
HEADERS = {
    "Content-Length": ["²", "-5", "1e5", "100000, 5", "9" * 5000, "\x1b[31m"],
    "Retry-After": ["²", "soon", "9" * 5000, "Fri, 99 Nov 99999999999 99:99:99 GMT"],
    "Location": ["http://[foo/x", "http://a:port/", "https://\xff\xfe/", "http://", "//[::1"],
    "Content-Range": ["bytes ²-³/⁴", "items 0-1/2", "bytes 10000-9999/100000", "bytes 10000-/*"],
    "Transfer-Encoding": ["chunked"],
}
STATUS = {"Retry-After": 503, "Location": 302, "Content-Range": 206}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in HEADERS.items() for value in values]
)
@pytest.mark.drawn(8)
def test_a_header_that_cannot_be_parsed_leaves_the_mirror(server, tmp_path, name, value):
    def odd(handler, content):
        status = STATUS.get(name, 200)
        start = 10_000 if status == 206 else 0
        fields = {"Content-Length": len(content) - start, name: value}
        lines = [f"HTTP/1.1 {status} Odd", *(f"{key}: {text}" for key, text in fields.items())]
        head = "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
        faults.raw(head + content[start:])(handler, content)

    server.files["/slow"] = CONTENT
    beginning = [faults.truncated(0.1)] if name == "Content-Range" else []
    server.faults["/slow"] = [*beginning, faults.always(odd)]
    assert fetch(server, tmp_path, patience=AT_ONCE) == CONTENT
    assert server.paths()[-1] == "/mirror"
    with pytest.raises(zoo.DownloadError) as caught:
        fetch(server, tmp_path / "again", ["/slow"], AT_ONCE)
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\x00" * 99, b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n", b"HTTP/9 200\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 99 \r\n\r\n", b"x" * 100_000, OK + b"x" * 100_000,
        OK + b"no header\r\n\r\n", OK + b": \r\n\r\n", OK + b"a: b\r\n" * 1000,
        OK + b"\xff\xfe: \xff\r\n\r\n", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        CHUNKED + b"xyz\r\n", CHUNKED + b"-5\r\n",
        b"HTTP/1.1 404 \x1b]0;owned\x07\r\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.drawn(9)
def test_an_answer_that_is_none_leaves_the_mirror(server, tmp_path, answer):
    server.faults["/slow"] = [faults.always(faults.raw(answer))]
    assert fetch(server, tmp_path, patience=AT_ONCE) == CONTENT
    with pytest.raises(zoo.DownloadError) as caught:
        fetch(server, tmp_path / "again", ["/slow"], AT_ONCE)
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("known", ["sha256", "sha1", "size"])
def test_a_file_that_changes_between_attempts_is_begun_again_in_the_same_call(
    server, tmp_path, known
):
    server.files["/slow"] = CONTENT
    before = bytes(len(CONTENT))
    server.faults["/slow"] = [lambda handler, _: faults.truncated(0.4)(handler, before)]
    if known == "sha256":
        assert fetch(server, tmp_path, ["/slow"], zoo.Patience(pause=0.01)) == CONTENT
    else:
        sha1 = hashlib.sha1(CONTENT).hexdigest() if known == "sha1" else None
        size, sha256 = downloads.download_unknown(
            [server.url("/slow")], tmp_path / "file", len(CONTENT), sha1
        )
        assert (size, sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.slow
def test_short_ranges_are_resumed(server, tmp_path):
    server.files["/slow"] = CONTENT
    server.faults["/slow"] = [faults.always(faults.short_ranges(8_000))]
    assert fetch(server, tmp_path, ["/slow"]) == CONTENT
    assert [asked for _, asked in server.requests] == [
        None,
        *(f"bytes={start}-" for start in range(10_000, 100_000, 8_000)),
    ]


def test_the_body_of_a_redirect_is_not_read(server, tmp_path):
    def redirect(handler, _):
        head = b"HTTP/1.1 302 Found\r\nLocation: /mirror\r\nContent-Length: 999999999999\r\n\r\n"
        faults.raw(head)(handler, b"")
        with_endless_body(handler)

    def with_endless_body(handler):
        try:
            while True:
                handler.wfile.write(bytes(65536))
        except OSError:
            pass

    server.faults["/slow"] = [redirect]
    assert fetch(server, tmp_path, ["/slow"], AT_ONCE) == CONTENT


@pytest.mark.slow
def test_who_waits_for_a_dead_server_does_not_keep_others_waiting(server, tmp_path):
    """The first call would try the silent server for 10 times 2 seconds."""
    server.faults["/slow"] = [faults.always(faults.silent)]
    patience = dataclasses.replace(HASTY, attempts=10, silence=2)
    failures = []

    def first():
        try:
            fetch(server, tmp_path, ["/slow"], patience)
        except zoo.DownloadError as error:
            failures.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    began = time.monotonic()
    assert fetch(server, tmp_path, ["/mirror"]) == CONTENT
    assert time.monotonic() - began < 12
    thread.join()
    assert not failures  # it finds what the second call brought


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_partial_file_that_is_a_link_is_replaced(server, tmp_path, link):
    (tmp_path / "thesis").write_bytes(b"precious")
    link(tmp_path / "thesis", tmp_path / "file.part")
    assert fetch(server, tmp_path, ["/mirror"]) == CONTENT
    assert (tmp_path / "thesis").read_bytes() == b"precious"
    assert not (tmp_path / "file").is_symlink()


def test_a_partial_file_that_is_a_pipe_is_replaced(server, tmp_path):
    os.mkfifo(tmp_path / "file.part")
    assert fetch(server, tmp_path, ["/mirror"]) == CONTENT
