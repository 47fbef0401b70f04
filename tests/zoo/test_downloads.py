"""Downloads against a real server on loopback that fails in all the ways that servers do.

Every fault is one of `FAULTS`, or a test of its own where the fault is not the server's.
"""

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import catalogue, downloads, transfers
from tests.zoo import fault_server as faults

PATH = "from intriguing_tf import zoo; print(zoo.path('test/entry', verbose=False))"


def whole_files(folder):
    return [file for file in folder.rglob("model.keras") if file.is_file()]


def start(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


BRIEF = zoo.Patience(attempts=3, pause=0.01, longest_pause=1)
# For servers that say nothing, or next to nothing: the least that a test has to wait.
HASTY = dataclasses.replace(BRIEF, silence=1, window=1)


# Faults of a server after which the same call succeeds, and what the next request asks for.
PASSING = {
    "503": (faults.status(503), None),
    "429 with Retry-After": (faults.status(429, Retry_After="1"), None),
    "hangs up": (faults.hang_up, None),
    "silent": (faults.silent, None),
    "stalls": (faults.dripping(0.5), "resumed"),
    "truncated": (faults.truncated(0.4), "bytes=120000-"),
    "truncated to nothing": (faults.truncated(0.0), None),
}


WAITING = ("silent", "stalls", "silent for ever")
SLOW = (*WAITING, "429 with Retry-After")


def patience_for(fault):
    return HASTY if fault in WAITING else BRIEF


def marked(faults):
    """Parameters of a test: those that wait are slow."""
    return [
        pytest.param(fault, marks=pytest.mark.slow if fault in SLOW else ()) for fault in faults
    ]


@pytest.mark.parametrize("fault", marked(PASSING))
@pytest.mark.drawn(4)
def test_passing_faults_are_retried_and_resumed(server, entry, content, fault, own_cache):
    behaviour, resumed = PASSING[fault]
    server.faults[entry] = [behaviour]
    file = zoo.path("test/entry", patience=patience_for(fault))
    assert file.read_bytes() == content
    first, second = (asked for path, asked in server.requests if path == entry)
    assert first is None
    if resumed == "resumed":
        assert second is None or second.startswith("bytes=")
    else:
        assert second == resumed
    assert not list(own_cache.rglob("*.part"))


# Faults of a server that no second attempt mends, and a word of the error.
FINAL = {
    "503 for ever": (faults.always(faults.status(503)), "HTTP 503"),
    "404": (faults.status(404), "HTTP 404"),
    "403": (faults.status(403), "HTTP 403"),
    "wrong bytes": (faults.wrong_bytes, "SHA-256"),
    "web page with status 200": (faults.web_page, "text/html"),
    "endless body without a length": (faults.always(faults.endless), "more than"),
    "truncated for ever, no ranges": (faults.always(faults.truncated(0.5)), "150000 more"),
    "silent for ever": (faults.always(faults.silent), "ReadTimeout"),
}


@pytest.mark.parametrize("fault", marked(FINAL))
@pytest.mark.drawn(4)
def test_final_faults_leave_nothing_wrong_behind(server, entry, content, fault, own_cache):
    behaviour, word = FINAL[fault]
    server.faults[entry] = [behaviour]
    with pytest.raises(zoo.DownloadError, match=word) as caught:
        zoo.path("test/entry", patience=patience_for(fault))
    assert server.url(entry) in str(caught.value)
    assert "Try again" in str(caught.value)
    assert not whole_files(own_cache)
    server.faults.clear()  # the server recovers: so must a later call, whatever is left of this one
    assert zoo.path("test/entry").read_bytes() == content


@pytest.mark.parametrize("fault", marked(FINAL))
@pytest.mark.drawn(4)
def test_a_mirror_takes_over(server, entry, content, fault):
    server.faults[entry] = [FINAL[fault][0]]
    server.files["/mirror"] = content
    server.files["/catalogue.json"] = faults.catalogue(
        faults.card("test/entry", content, urls=[server.url("/mirror")])
    )
    assert zoo.path("test/entry", patience=patience_for(fault)).read_bytes() == content


def test_mirrors_in_order(server, entry, content):
    del server.files[entry]
    server.files["/second"] = server.files["/third"] = content
    server.files["/catalogue.json"] = faults.catalogue(
        faults.card("test/entry", content, urls=[server.url(f"/{n}") for n in ("second", "third")])
    )
    zoo.path("test/entry")
    assert server.paths() == ["/catalogue.json", entry, "/second"]


def test_nobody_listens(content, tmp_path):
    with faults.serving() as server:
        address = server.address
    with pytest.raises(zoo.DownloadError, match="ConnectionError"):
        downloads.download(
            [address + "/x"], tmp_path / "file", size=1, sha256="0" * 64, patience=BRIEF
        )


def test_a_wrong_size_is_refused_before_it_is_sent(server, entry, content, own_cache):
    server.files[entry] = content + b"x"
    with pytest.raises(zoo.DownloadError, match=r"offers 300,001 bytes .* instead of 300,000"):
        zoo.path("test/entry")
    assert not list(own_cache.rglob("*.part"))


@pytest.mark.parametrize("behaviour", [faults.no_ranges, faults.wrong_range, faults.whole_or_range])
@pytest.mark.parametrize("left", ["a beginning", "rubbish", "too much", "everything"])
def test_what_an_earlier_run_left(server, entry, content, own_cache, behaviour, left):
    part = own_cache / "test/entry" / hashlib.sha256(content).hexdigest()[:16] / "model.keras.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(
        {
            "a beginning": content[:100_000],
            "rubbish": b"rubbish" * 100,
            "too much": content + content,
            "everything": content,
        }[left]
    )
    server.faults[entry] = [faults.always(behaviour)]
    assert zoo.path("test/entry").read_bytes() == content
    asked = [asked for path, asked in server.requests if path == entry]
    assert (
        asked[:1]
        == {
            "a beginning": ["bytes=100000-"],
            "rubbish": ["bytes=700-"],
            "too much": [None],
            "everything": [],
        }[left]
    )


@pytest.mark.slow
def test_killed_in_the_middle(server, entry, content, own_cache):
    server.faults[entry] = [faults.dripping(0.02, step=4096)]
    process = start(PATH)
    deadline = time.monotonic() + 30
    while not any(part.stat().st_size > 20_000 for part in own_cache.rglob("*.part")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not whole_files(own_cache)
    assert zoo.path("test/entry").read_bytes() == content
    path, asked = server.requests[-1]
    assert path == entry and int(asked.removeprefix("bytes=").removesuffix("-")) > 20_000


def test_interrupted_by_the_user(server, entry, content, own_cache, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(transfers.Transfer, "_write", interrupted)
        zoo.path("test/entry")
    assert not whole_files(own_cache)
    assert zoo.path("test/entry").read_bytes() == content


@pytest.mark.slow
def test_eight_processes_download_once(server, entry, content):
    server.faults[entry] = [faults.dripping(0.01, step=8192)]
    processes = [start(PATH) for _ in range(8)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert len(set(outputs)) == 1
    assert server.paths().count(entry) == 1


def test_a_damaged_file_in_the_cache_is_replaced(server, entry, content):
    file = zoo.path("test/entry")
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.warns(UserWarning, match=r"damaged .*SHA-256"):
        assert zoo.path("test/entry").read_bytes() == content


def test_the_second_call_asks_nobody(server, entry):
    first = zoo.path("test/entry")
    server.requests.clear()
    assert zoo.path("test/entry") == first
    assert server.requests == []


def test_offline(server, entry, content, monkeypatch):
    zoo.list()
    monkeypatch.setenv("INTRIGUING_TF_OFFLINE", "1")
    with pytest.raises(zoo.DownloadError, match="INTRIGUING_TF_OFFLINE") as caught:
        zoo.path("test/entry")
    assert entry not in server.paths()
    place = str(caught.value).split("Put the file at ")[1].split(", or")[0]
    Path(place).parent.mkdir(parents=True)
    Path(place).write_bytes(content)  # what the message advises
    assert str(zoo.path("test/entry")) == place
    monkeypatch.setenv("INTRIGUING_TF_OFFLINE", "perhaps")
    os.unlink(place)
    with pytest.raises(ValueError, match="1 or 0"):
        zoo.path("test/entry")


def test_without_the_server_the_last_catalogue_is_used(server, entry, own_cache, monkeypatch):
    zoo.path("test/entry")
    catalogue._remote.cache_clear()
    monkeypatch.setenv("INTRIGUING_TF_OFFLINE", "1")
    with pytest.warns(UserWarning, match="last read"):
        assert zoo.path("test/entry").is_file()


def test_a_proxy_is_used(server, content, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.files["http://zoo.invalid/file"] = content
    sha256 = hashlib.sha256(content).hexdigest()
    target = tmp_path / "file"
    downloads.download(["http://zoo.invalid/file"], target, size=len(content), sha256=sha256)
    assert target.read_bytes() == content


@pytest.mark.slow
def test_retry_after_is_honoured(server, entry):
    server.faults[entry] = [faults.status(503, Retry_After="1")]
    zoo.list()
    began = time.monotonic()
    zoo.path("test/entry")
    assert time.monotonic() - began >= 1


@pytest.mark.slow
def test_a_server_may_not_ask_for_more_than_the_longest_pause(server, entry, content):
    server.faults[entry] = [faults.status(503, Retry_After="3600")]
    assert zoo.path("test/entry", patience=BRIEF).read_bytes() == content


def test_the_body_of_an_answer_that_is_retried_is_not_read(server, entry, content):
    server.faults[entry] = [lambda handler, body: faults.endless(handler, body, status=503)]
    assert zoo.path("test/entry", patience=BRIEF).read_bytes() == content


def test_the_old_keyword_still_works(entry, content):
    with pytest.warns(DeprecationWarning, match="`progress` is deprecated.*`verbose`"):
        assert zoo.path("test/entry", **{"progress": False}).read_bytes() == content


# The cache cannot be written.


# A first request loads every module while root may still read them all.
AS_NOBODY = f"""
import importlib.metadata  # an interpreter in root's home is out of reach afterwards
import os
from intriguing_tf import zoo
from intriguing_tf.zoo import downloads
zoo.list()
if os.getuid() == 0:
    os.setuid(65534)
{PATH}
"""


@pytest.fixture
def read_only_cache(monkeypatch):
    """Returns a cache that any user may read, and a function that takes away the right to write."""
    cache = Path(tempfile.mkdtemp())
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(cache))

    def set_mode(mode):
        for folder in [cache, *(path for path in cache.rglob("*") if path.is_dir())]:
            folder.chmod(mode)

    cache.chmod(0o755)
    yield cache, lambda: set_mode(0o555)
    set_mode(0o755)
    shutil.rmtree(cache)


@pytest.mark.slow
def test_no_permission_to_write(server, entry, read_only_cache):
    cache, forbid_writing = read_only_cache
    forbid_writing()
    said = start(AS_NOBODY).communicate()[1]
    assert f"DownloadError: {cache}" in said and "cannot be written" in said
    assert "Set INTRIGUING_TF_CACHE to another folder" in said


def test_a_read_only_cache_serves_what_it_holds(server, entry, read_only_cache):
    file = zoo.path("test/entry")
    _, forbid_writing = read_only_cache
    forbid_writing()
    assert start(AS_NOBODY).communicate()[0] == f"{file}\n"


def test_the_cache_is_a_file(server, entry, own_cache):
    own_cache.write_text("not a folder")
    with pytest.raises(zoo.DownloadError, match="INTRIGUING_TF_CACHE"):
        zoo.path("test/entry")


@pytest.mark.slow
def test_a_quota_ends_the_download(server, entry, own_cache):
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1)); {PATH}"
    process = start(limited)
    assert "No room for" in process.communicate()[1]
    assert process.returncode == 1
    assert not list(own_cache.rglob("*.part")) and not whole_files(own_cache)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_noticed_before(server, entry, small_disk, monkeypatch):
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(small_disk))
    with pytest.raises(zoo.DownloadError, match=r"bytes free, the download needs 300,000"):
        zoo.path("test/entry")
    assert entry not in server.paths()


def test_a_disk_that_fills_up(server, entry, small_disk, monkeypatch):
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(small_disk))
    monkeypatch.setattr(downloads, "_check_room", lambda *_: None)  # others wrote after the check
    with pytest.raises(zoo.DownloadError, match="No room for"):
        zoo.path("test/entry")
    assert not list(small_disk.rglob("*.part")) and not whole_files(small_disk)
