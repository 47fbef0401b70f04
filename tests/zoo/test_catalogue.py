"""The catalogue: what is listed, what is suggested, and what is refused."""

import json

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo.catalogue import parse
from tests.zoo import fault_server as faults

MNIST = [
    "mnist/ae400-10",
    "mnist/certified-0.3",
    "mnist/certified-1.58",
    "mnist/conv",
    "mnist/conv-gradient",
    "mnist/conv-lipschitz",
    "mnist/conv-pools",
    "mnist/fc10-1",
    "mnist/fc10-1e-2",
    "mnist/fc10-1e-4",
    "mnist/fc100-100-10",
    "mnist/fc100-100-10-certified",
    "mnist/fc100-100-10-combined",
    "mnist/fc100-100-10-gradient",
    "mnist/fc100-100-10-lipschitz",
    "mnist/fc100-100-10-p1",
    "mnist/fc100-100-10-p2",
    "mnist/fc100-100-10-pools",
    "mnist/fc123-456-10-p1",
    "mnist/fc200-200-10",
]
IMAGENET = [
    "imagenet/alexnet",
    "imagenet/alexnet-one-tower",
    "imagenet/efficientnet-lite0",
    "imagenet/efficientnet-lite1",
    "imagenet/efficientnet-lite2",
    "imagenet/googlenet",
    "imagenet/squeezenet-1.1",
]


def test_the_bundled_names():
    assert zoo.list() == sorted(zoo.list())
    assert set(MNIST + IMAGENET) <= set(zoo.list())


def test_wildcards_and_filters():
    assert zoo.list("mnist/fc10-*") == ["mnist/fc10-1", "mnist/fc10-1e-2", "mnist/fc10-1e-4"]
    assert zoo.list("imagenet/*", format="caffe") == [
        "imagenet/alexnet",
        "imagenet/googlenet",
        "imagenet/squeezenet-1.1",
    ]
    assert zoo.list("mnist/*", classes=1000) == []
    assert zoo.list("MNIST/*") == []
    assert "mnist/conv" in zoo.list(input_shape=(28, 28, 1), pinned=True)
    with pytest.raises(ValueError, match="'shape'"):
        zoo.list(shape=3)


@pytest.mark.parametrize(
    "wrong, first",
    [
        ("mnist/fc100", "mnist/fc100-100-10"),
        ("mnist/fc10", "mnist/fc10-1"),
        ("mnist/con", "mnist/conv"),
        ("squeezenet", "imagenet/squeezenet-1.1"),
        ("mnist/fc100-10-10", "mnist/fc100-100-10"),
    ],
)
def test_the_first_suggestion_is_what_was_meant(wrong, first):
    with pytest.raises(ValueError, match=rf"Did you mean {first!r}[,?]"):
        zoo.load(wrong)


@pytest.mark.parametrize("wrong", ["mnist/fc100-10-10", "fc100-100-10", "MNIST/FC100-100-10"])
def test_an_unknown_name_suggests_near_ones(wrong):
    with pytest.raises(ValueError, match="mnist/fc100-100-10") as caught:
        zoo.load(wrong)
    assert repr(wrong) in str(caught.value)
    for function in (zoo.info, zoo.path, zoo.pin):
        with pytest.raises(ValueError, match="no entry"):
            function("zzz")


CONTENT = b"weights"
DIGEST = faults.card("a/b", CONTENT)["sha256"]


def test_the_card_that_the_hostile_ones_vary_is_good():
    assert list(parse(faults.catalogue(faults.card("a/b", CONTENT)), "here")) == ["a/b"]


HOSTILE_CARDS = {
    "name climbs": {"name": "../../etc/passwd"},
    "name climbs inside": {"name": "mnist/.."},
    "absolute name": {"name": "/etc/passwd"},
    "name with a newline": {"name": "a/b\n"},
    "name with a backslash": {"name": "a\\b/c"},
    "file climbs": {"file": "../model.keras"},
    "absolute file": {"file": "/etc/passwd"},
    "hidden file": {"file": ".bashrc"},
    "file address": {"urls": ["file:///etc/passwd"]},
    "ftp address": {"urls": ["ftp://host/file"]},
    "address with a user": {"urls": ["http://127.0.0.1:80@evil.example/file"]},
    "huge size": {"size": 10**15},
    "negative size": {"size": -1},
    "no size": {"size": None},
    "size as text": {"size": "7"},
    "short hash": {"sha256": DIGEST[:8]},
    "hash of another case": {"sha256": DIGEST.upper()},
    "unpinned over http": {"sha256": None, "urls": ["http://host.example/file"]},
    "unpinned without an address": {"sha256": None, "urls": []},
    "package file climbs": {"package": {"distribution": "keras", "path": "../../secret"}},
    "absolute package file": {"package": {"distribution": "keras", "path": "/etc/passwd"}},
    "builder with a dot": {"builder": "os.system"},
    "private builder": {"builder": "__import__"},
    "format with a dot": {"format": "os.system"},
    "infinite bounds": {"bounds": [0, 1e999]},
    "bounds the wrong way round": {"bounds": [1, 0]},
    "empty shape": {"input_shape": []},
    "enormous shape": {"input_shape": [10**9, 10**9, 3]},
    "a field is missing": {"licence": None},
}


@pytest.mark.parametrize("what", HOSTILE_CARDS)
def test_hostile_cards(what):
    content = faults.catalogue(faults.card("a/b", CONTENT) | HOSTILE_CARDS[what])
    with pytest.raises(zoo.CatalogueError):
        parse(content, "here")


HOSTILE_CATALOGUES = {
    "not JSON": b"<html></html>",
    "not UTF-8": b"\xff\xfe\x00",
    "deeply nested": b"[" * 100_000,
    "a list": b"[]",
    "no entries": b'{"version": 1}',
    "not a number": b'{"version": NaN, "entries": []}',
    "a number of ten thousand digits": b'{"version": ' + b"9" * 10_000 + b"}",
    "a name twice": faults.catalogue(faults.card("a/b", CONTENT), faults.card("a/b", CONTENT)),
}


@pytest.mark.parametrize("what", HOSTILE_CATALOGUES)
def test_hostile_catalogues(what):
    with pytest.raises(zoo.CatalogueError, match="here"):
        parse(HOSTILE_CATALOGUES[what], "here")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_unknown_versions_are_refused_with_advice(version):
    with pytest.raises(zoo.CatalogueError, match="newer release of intriguing_tf"):
        parse(json.dumps({"version": version, "entries": []}).encode(), "here")


def test_fields_of_the_future_are_tolerated():
    card = faults.card("a/b", CONTENT, watermark="2031", metrics={"new_metric": [1, {"a": 2}]})
    entries = parse(faults.catalogue(card, signature="..."), "here")
    assert entries["a/b"].metrics["new_metric"] == (1, {"a": 2})


def test_an_endless_catalogue(server, monkeypatch):
    monkeypatch.setenv("INTRIGUING_TF_ZOO", server.address)
    server.faults["/catalogue.json"] = [faults.endless]
    with pytest.raises(zoo.DownloadError, match="more than"):
        zoo.list()
