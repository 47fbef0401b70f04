"""Cards of ImageNet entries: what publishers state, and what is measured on photographs."""

import types

import keras
import numpy as np
import pytest

from intriguing_tf import publishing, zoo
from intriguing_tf.classifier import Classifier
from intriguing_tf.publishing import photographs
from intriguing_tf.zoo import keras_files, locations
from tests.zoo import fault_server as faults


def network():
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((24, 24, 3)),
        keras.layers.AveragePooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dense(1000, name="scores", kernel_initializer="orthogonal"),
    ]
    return keras.Sequential(layers)


@pytest.fixture
def own_zoo(tmp_path, monkeypatch):
    """A zoo in a folder, in use, with one network of ImageNet's classes."""
    content = keras_files.to_bytes(network())
    home = tmp_path / "imagenet/squeezenet-1.1"
    home.mkdir(parents=True)
    (home / "model.keras").write_bytes(content)
    values = faults.card(
        "imagenet/squeezenet-1.1", content, file="model.keras", input_shape=(24, 24, 3),
        classes=1000, parameters=network().count_params(),
    )  # fmt: skip
    (tmp_path / "catalogue.json").write_bytes(faults.catalogue(values))
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_an_entry_is_described(own_zoo):
    pytest.importorskip("skimage")
    card = publishing.describe("imagenet/squeezenet-1.1", own_zoo, verbose=False)
    assert zoo.catalogue.info(card.name) == card
    metrics = card.metrics
    assert metrics["published_top1"] == 0.575 and "Iandola" in metrics["published_source"]
    assert 0 < metrics["average_distortion"] < 0.5 and metrics["attack"]["success"] > 0
    pooling, layer = metrics["layers"]
    assert pooling[1] == "AveragePooling2D" and pooling[3] <= 0.25 <= pooling[2] < 0.25001
    kernel = network().get_layer("scores").kernel.numpy().astype(float)
    assert layer[:2] == ("scores", "Dense")
    assert layer[3] <= np.linalg.norm(kernel, 2) * (1 + 1e-5) <= layer[2] * (1 + 2e-5)
    home = own_zoo / card.name
    page = (home / "README.md").read_text()
    assert (home / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert "| scores | Dense |" in page and "57.5%" in page and "not measured here" in page


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("index.html", r"would be replaced.*Received: index\.html"),
        ("imagenet/squeezenet-1.1/README.md", "would be replaced"),
        ("imagenet/squeezenet-1.1/picture.png", "would be replaced"),
        ("other/entry/card.json", "not a card of the zoo"),
    ],
)
def test_files_of_others_end_it_before_the_work(file, error, own_zoo, monkeypatch):
    def measure(*_, **__):
        raise AssertionError("measured")

    monkeypatch.setattr(photographs, "measure_photographs", measure)
    (path := own_zoo / "out" / file).parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ValueError, match=error):
        publishing.describe("imagenet/squeezenet-1.1", own_zoo / "out")
    assert path.read_text() == "mine"


def test_photographs_are_in_the_range_that_an_entry_takes(own_zoo, signed, monkeypatch):
    signed("imagenet/squeezenet-1.1")
    seen = []
    monkeypatch.setattr(
        photographs, "measure_photographs", lambda model, **_: seen.append(model) or ({}, None)
    )
    publishing.describe("imagenet/squeezenet-1.1", own_zoo, verbose=False)
    pixels = np.random.default_rng(0).uniform(size=(1, 24, 24, 3)).astype("float32")
    np.testing.assert_allclose(seen[0](pixels), network()(2 * pixels - 1), rtol=1e-4, atol=1e-5)


def test_without_weights_only_the_published_is_written(own_zoo):
    (own_zoo / "imagenet/squeezenet-1.1/model.keras").unlink()
    card = publishing.describe("imagenet/squeezenet-1.1", own_zoo, verbose=False)
    assert {*card.metrics} == {"published_top1", "published_top5", "published_source"}


def test_entries_of_digits_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"itf-zoo publish.*Received: 'mnist/fc10-1'"):
        publishing.describe("mnist/fc10-1", tmp_path)


@pytest.mark.parametrize("name", photographs.PUBLISHED)
def test_the_bundled_cards_state_what_is_published(name):
    metrics = zoo.info(name).metrics
    published = photographs.published_accuracy(name)
    assert {key: metrics[key] for key in published} == published
    assert 0.5 < published["published_top1"] < published.get("published_top5", 1)


def test_every_bundled_entry_of_imagenet_is_published():
    assert {*photographs.PUBLISHED} == {
        path.parent.relative_to(locations.bundled_folder()).as_posix()
        for path in locations.bundled_folder().glob("imagenet/*/card.json")
    }


def test_a_photograph_whose_outputs_are_not_finite_has_no_class_in_the_picture(monkeypatch):
    shown = []
    draw = photographs.image_triples
    monkeypatch.setattr(
        photographs, "image_triples", lambda *args: shown.extend(args[3]) or draw(*args)
    )
    inputs = keras.Input((24, 24, 3))
    model = keras.Model(inputs, network()(keras.ops.sqrt(inputs - 0.1)))
    pixels = np.full((1, 24, 24, 3), 0.5, "float32")
    result = types.SimpleNamespace(originals=pixels, images=0 * pixels)
    assert photographs._picture(result, Classifier(model))
    assert shown[0][0] != "-1" and shown[0][2] == "-1"
