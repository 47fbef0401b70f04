"""Entries whose hash nobody knows are refused until the user pins them."""

import hashlib
import json

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import pins
from tests.zoo import fault_server as faults


@pytest.fixture
def unpinned(server, monkeypatch, content):
    """A zoo with one unpinned entry, `test/entry`; returns a function that changes its card."""
    server.files["/published"] = content

    def write(**fields):
        urls = [server.url("/published")]
        card = faults.card("test/entry", content, **{"size": None, "sha256": None, **fields})
        server.files["/catalogue.json"] = faults.catalogue(card | {"urls": urls})
        monkeypatch.setenv("INTRIGUING_TF_ZOO", server.address)

    write()
    return write


def test_unpinned_entries_are_listed_and_refused(server, unpinned, own_cache):
    assert zoo.list(pinned=False) == ["test/entry"]
    assert "itf-zoo pin test/entry" in str(zoo.info("test/entry"))
    for refused in (zoo.path, zoo.load):
        with pytest.raises(zoo.UnpinnedError, match="itf-zoo pin test/entry"):
            refused("test/entry")
    assert server.paths() == ["/catalogue.json"]
    assert [check.status for check in zoo.verify()] == ["unpinned"]


def test_a_pin_is_remembered_and_enforced(server, unpinned, content):
    pin = zoo.pin("test/entry")
    assert pin == zoo.Pin(len(content), hashlib.sha256(content).hexdigest())
    assert zoo.path("test/entry").read_bytes() == content
    assert server.paths().count("/published") == 1
    zoo.clear()
    server.files["/published"] = bytes(reversed(content))  # the publisher changes the file
    with pytest.raises(zoo.DownloadError, match="SHA-256"):
        zoo.path("test/entry")
    assert zoo.pin("test/entry") == pin  # pinning again does not accept the change
    pins.forget("mnist/*")
    assert zoo.pin("test/entry") == pin
    pins.forget("test/entry")
    assert zoo.pin("test/entry").sha256 == hashlib.sha256(server.files["/published"]).hexdigest()


def test_pinned_entries_keep_the_catalogues_hash(entry):
    with pytest.raises(ValueError, match="catalogue itself pins"):
        zoo.pin("test/entry")


def test_what_the_publisher_says_is_enforced(server, unpinned, content, own_cache):
    sha1 = hashlib.sha1(content).hexdigest()
    unpinned(sha1="0" * 40)
    with pytest.raises(zoo.DownloadError, match=f"SHA-1 is {sha1} instead of 0000"):
        zoo.pin("test/entry")
    assert not (own_cache / "pins.json").exists()
    assert not list(own_cache.rglob("*.part"))


def test_a_publishers_sha1_that_fits(unpinned, content):
    unpinned(sha1=hashlib.sha1(content).hexdigest(), size=len(content))
    assert zoo.pin("test/entry").size == len(content)


def test_a_publishers_size_is_enforced(unpinned, content):
    unpinned(size=len(content) + 1)
    with pytest.raises(zoo.DownloadError, match="instead of 300,001"):
        zoo.pin("test/entry")


@pytest.mark.parametrize("fault", ["web page", "503", "truncated"])
def test_nothing_is_pinned_by_a_failed_download(server, unpinned, own_cache, fault):
    behaviour = {
        "web page": faults.web_page,
        "503": faults.status(503),
        "truncated": faults.truncated(0.5),
    }[fault]
    server.faults["/published"] = [faults.always(behaviour)]
    with pytest.raises(zoo.DownloadError):
        zoo.pin("test/entry", patience=zoo.Patience(attempts=2, pause=0.01))
    assert not (own_cache / "pins.json").exists()


@pytest.mark.parametrize(
    "damaged",
    [b"{", b"[]", b'{"test/entry": 7}', b'{"test/entry": {"size": 1, "sha256": "short"}}'],
)
def test_a_damaged_list_of_pins(unpinned, own_cache, damaged):
    zoo.pin("test/entry")
    (own_cache / "pins.json").write_bytes(damaged)
    with pytest.raises(zoo.IntegrityError, match=r"pins\.json"):
        zoo.path("test/entry")


def test_pins_of_several_entries_live_together(server, unpinned, content, own_cache):
    zoo.pin("test/entry")
    other = faults.card("test/other", content, size=None, sha256=None)
    other["urls"] = [server.url("/published")]
    server.files["/catalogue.json"] = faults.catalogue(other)
    from intriguing_tf.zoo import catalogue

    catalogue._remote.cache_clear()
    zoo.pin("test/other")
    assert set(json.loads((own_cache / "pins.json").read_bytes())) == {"test/entry", "test/other"}
