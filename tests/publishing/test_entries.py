"""Publishing on a small scale: the bundled images stand for MNIST, everything else is real."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import datasets, publishing, zoo
from intriguing_tf.publishing import entries, evaluation
from intriguing_tf.publishing.recipes import Initialization
from intriguing_tf.store import locked
from intriguing_tf.zoo import keras_files, locations

RECIPE = {
    "name": "mnist/tiny",
    "title": "A softmax classifier on half of the bundled images",
    "builder": "fc10",
    "arguments": {"weight_decay": 0.01},
    "data": "p1",
    "seed": 3,
    "fitting": {
        "method": "minibatches",
        "optimiser": "adam",
        "learning_rate": 0.01,
        "schedule": "linear",
        "epochs": 5,
        "batch_size": 50,
    },
    "selection": "none: it is a test",
    "paper": {},
}

pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module", autouse=True)
def small_mnist():
    """The 1 000 bundled images as MNIST, the first 40 of them as the bundled ones."""
    images, labels = datasets.mnist_sample()
    parts = {
        ("train", None): slice(0, 600),
        ("train", "p1"): slice(0, 300),
        ("train", "p2"): slice(300, 600),
        ("test", None): slice(600, 1000),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            datasets,
            "mnist",
            lambda split, subset=None: (
                images[parts[split, subset]],
                labels[parts[split, subset]],
            ),
        )
        patch.setattr(datasets, "mnist_sample", lambda: (images[:40], labels[:40]))
        yield


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipes") / "tiny.json"
    file.write_text(json.dumps(RECIPE))
    return file


@pytest.fixture(scope="module")
def published(recipe_file, tmp_path_factory):
    """A zoo with the entry published, and its card."""
    folder = tmp_path_factory.mktemp("zoo")
    return folder, publishing.publish(recipe_file, folder, verbose=False)


@pytest.fixture
def in_use(published, monkeypatch):
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(published[0]))
    return published


def refuse_training(*_, **__):
    raise AssertionError("trained again")


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_the_entry_loads_and_its_metrics_are_those_of_its_weights(in_use):
    _, card = in_use
    assert zoo.list() == ["mnist/tiny"] and zoo.info("mnist/tiny") == card
    model = zoo.load("mnist/tiny")

    def wrong(split, subset=None):
        images, labels = datasets.mnist(split, subset)
        return (model(images).numpy().argmax(1) != labels).mean()

    metrics = card.metrics
    assert metrics["train_error"] == pytest.approx(wrong("train", "p1"))
    assert metrics["other_half_error"] == pytest.approx(wrong("train", "p2"))
    assert metrics["test_error"] == pytest.approx(wrong("test"))
    assert metrics["train_error"] < metrics["test_error"] < 0.35  # it learnt
    kernel = model.get_layer("logits").kernel.numpy().astype(float)
    assert metrics["lipschitz_product"] == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-4)
    assert metrics["attack"]["success"] == 1
    images, labels = datasets.mnist_sample()
    result = itf.LBFGSAdversary(model, loss="cross_entropy")(
        images, labels, targets="random", seed=0, verbose=False
    )
    found = result.status == "found"
    assert metrics["average_distortion"] == pytest.approx(result.distortion[found].mean(), rel=1e-3)
    # No adversary comes closer than the certificate: l2 is distortion × sqrt(784).
    radius = itf.lipschitz.certified_radius(model, images)
    assert metrics["certified_radius_median"] == pytest.approx(np.median(radius))
    assert (radius[found] <= result.distortion[found] * 28 + 1e-6).all()


@pytest.mark.slow
def test_the_card_says_how_it_was_made(published):
    _, card = published
    assert card.recipe["arguments"]["weight_decay"] == 0.01
    assert card.training["seed"] == 3 and card.training["seconds"] > 0
    assert card.training["data_sha256"] == datasets.fingerprint(*datasets.mnist("train", "p1"))
    assert set(card.training["versions"]) >= {"tensorflow", "keras", "intriguing-tf"}


@pytest.mark.slow
def test_page_and_picture(published):
    folder, card = published
    page = (folder / "mnist/tiny/README.md").read_text()
    for text in (card.title, card.sha256, "picture.png", '"weight_decay": 0.01', "not stated"):
        assert text in page
    assert "itf-zoo publish FILE.json" in page and "publish mnist/tiny" not in page
    assert f"{card.metrics['test_error']:.2%}" in page
    picture = (folder / "mnist/tiny/picture.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) < 200_000


@pytest.mark.slow
def test_publishing_again_measures_and_does_not_train(published, recipe_file, monkeypatch):
    folder, card = published
    before = contents(folder)
    monkeypatch.setattr(entries, "train", refuse_training)
    assert publishing.publish(recipe_file, folder, verbose=False) == card
    assert contents(folder) == before


@pytest.mark.slow
def test_retraining_gives_the_same_bytes(published, recipe_file, tmp_path):
    card = entries._write_trained(publishing.train(recipe_file, verbose=False), tmp_path)
    assert card.sha256 == published[1].sha256


@pytest.mark.slow
def test_a_published_file_says_nothing_that_older_keras_refuses(published):
    folder, card = published
    with zipfile.ZipFile(folder / card.name / card.file) as archive:
        configuration = archive.read("config.json").decode()
        assert json.loads(archive.read("metadata.json"))["date_saved"] == ""
    assert '"units"' in configuration
    assert not any(f'"{key}"' in configuration for key in keras_files.NEWER)


def test_a_card_says_whose_the_weights_are():
    own = publishing.Recipe.from_json(RECIPE)
    source = "trained here, by the recipe in this card"
    assert entries._origin(own) == ("not stated", source)
    stated = publishing.Recipe.from_json(RECIPE | {"licence": "CC0-1.0"})
    assert entries._origin(stated) == ("CC0-1.0", source)
    assert publishing.fingerprint(own) == publishing.fingerprint(stated)
    with pytest.raises(ValueError, match="licence"):
        publishing.Recipe.from_json(RECIPE | {"licence": "\x1b[2J"})
    bundled = publishing.load_recipe("mnist/fc10-1")
    assert entries._origin(bundled.replace(seed=7)) == ("not stated", source)


@pytest.mark.parametrize("name", publishing.recipe_names())
def test_bundled_cards_say_it_as_they_did(name):
    card = zoo.info(name)
    assert entries._origin(publishing.load_recipe(name)) == (card.license, card.source)


def test_only_what_determines_the_weights_asks_for_training():
    recipe = publishing.Recipe.from_json(RECIPE)
    same = recipe.replace(title="Another title", selection="another way")
    assert publishing.fingerprint(same) == publishing.fingerprint(recipe)
    for change in (
        {"seed": 4},
        {"data": "p2"},
        {"arguments": {"weight_decay": 0.1}},
        {"fitting": recipe.fitting.replace(epochs=6)},
        {"initialization": Initialization(2.0, "uniform")},
    ):
        other = recipe.replace(**change)
        assert publishing.fingerprint(other) != publishing.fingerprint(recipe), change


@pytest.mark.slow
def test_damaged_weights_are_not_taken_for_published(published, tmp_path):
    recipe = publishing.Recipe.from_json(RECIPE)
    folder, card = published
    assert publishing.published(recipe, folder) == card
    assert publishing.published(recipe.replace(seed=4), folder) is None
    assert publishing.published(recipe, tmp_path) is None
    home = tmp_path / "mnist/tiny"
    home.mkdir(parents=True)
    for name in ("card.json", "model.keras"):
        (home / name).write_bytes((folder / "mnist/tiny" / name).read_bytes())
    assert publishing.published(recipe, tmp_path) == card
    (home / "model.keras").write_bytes(b"damaged")
    assert publishing.published(recipe, tmp_path) is None


@pytest.mark.slow
def test_killed_between_training_and_measuring(recipe_file, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(entries, "measure_and_draw", killed)
        publishing.publish(recipe_file, tmp_path, verbose=False)
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    assert zoo.load("mnist/tiny").count_params() == 7850  # whole already, only not measured
    assert dict(zoo.info("mnist/tiny").metrics) == {}
    with pytest.raises(ValueError, match="no metrics"):
        publishing.verify_metrics("mnist/tiny")
    # The next call does not train again.
    assert publishing.published(publishing.load_recipe(recipe_file), tmp_path) is not None


@pytest.mark.slow
def test_verify_metrics_agrees_with_the_card_and_finds_a_false_one(in_use):
    _, card = in_use
    comparison = publishing.verify_metrics("mnist/tiny", verbose=False)
    assert comparison.agrees and not comparison.unchecked
    assert "DIFFERS" not in str(comparison)
    assert {row[0] for row in comparison.rows} >= {"test_error", "average_distortion"}
    row = ("test_error", card.metrics["test_error"] - 0.1, card.metrics["test_error"], 2e-4)
    false = dataclasses.replace(comparison, rows=(*comparison.rows, row))
    assert not false.agrees and "DIFFERS" in str(false)


@pytest.mark.slow
def test_without_mnist_the_rest_is_verified(in_use, monkeypatch):
    def missing(*_):
        raise FileNotFoundError("TFDS_DATA_DIR")

    def measured_before(model, card, *, full, verbose):
        needs_mnist = () if full else ("train_error", "other_half_error", "test_error")
        return {key: card.metrics[key] for key in card.metrics if key not in needs_mnist}, b""

    monkeypatch.setattr(datasets, "mnist", missing)
    monkeypatch.setattr(evaluation, "measure", measured_before)
    comparison = publishing.verify_metrics("mnist/tiny", verbose=False)
    assert comparison.agrees
    assert comparison.unchecked == ("train_error", "other_half_error", "test_error")
    assert "test_error" in str(comparison)
    assert {row[0] for row in comparison.rows} >= {"sample_error", "lipschitz_total"}


def test_a_neighbour_that_cannot_be_read_is_told_before_the_training(
    recipe_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(entries, "train", refuse_training)
    (tmp_path / "mnist/other").mkdir(parents=True)
    (tmp_path / "mnist/other/card.json").write_text("{")
    with pytest.raises(zoo.CatalogueError, match=r"other.card\.json is not a card"):
        publishing.publish(recipe_file, tmp_path)


@pytest.mark.parametrize("file", ["model.keras", "README.md", "picture.png", "radius.png"])
def test_files_of_others_end_it_before_the_training(file, recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "train", refuse_training)
    (path := tmp_path / "mnist/tiny" / file).parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ValueError, match=f"would be replaced.*Received: mnist/tiny/{file}"):
        publishing.publish(recipe_file, tmp_path)
    assert path.read_text() == "mine"


def test_a_training_is_kept_until_its_weights_are_written(recipe_file, tmp_path, monkeypatch):
    kept = []

    def trained(recipe, verbose, backup):
        kept.append((backup, backup.exists()))

    def killed(*_):
        (tmp_path / "mnist/tiny/model.keras").write_bytes(b"without a card")
        raise KeyboardInterrupt

    monkeypatch.setattr(entries, "train", trained)
    monkeypatch.setattr(entries, "_write_trained", killed)
    for retrain in (False, False, True):
        with pytest.raises(KeyboardInterrupt):
            publishing.publish(recipe_file, tmp_path, retrain=retrain)
    folder = kept[0][0]
    assert kept == [(folder, False), (folder, True), (folder, False)] and folder.exists()


@pytest.mark.slow
def test_a_network_of_which_no_adversarial_image_is_found(tmp_path):
    values = RECIPE | {
        "arguments": {"weight_decay": 1e9},
        "fitting": {"method": "optimum", "tolerance": 1.0, "iterations": 50},
        "rounding": "float16",
    }
    (tmp_path / "constant.json").write_text(json.dumps(values))
    (picture := tmp_path / "mnist/tiny/picture.png").parent.mkdir(parents=True)
    picture.write_bytes(b"of an earlier one")
    (earlier := picture.with_name(".training-earlier")).mkdir()
    card = publishing.publish(tmp_path / "constant.json", tmp_path, verbose=False)
    assert "average_distortion" not in card.metrics and card.metrics["attack"]["success"] < 1
    assert not picture.exists() and not earlier.exists()
    assert keras_files.load(tmp_path / card.name / card.file).count_params() == 7850


def test_an_installed_package_is_not_written_to(recipe_file, monkeypatch, tmp_path):
    installed = tmp_path / "files"
    monkeypatch.setattr(locations, "__file__", str(tmp_path / "locations.py"))
    monkeypatch.setattr(locations, "bundled_folder", lambda: installed)
    with pytest.raises(ValueError, match="--folder"):
        publishing.publish(recipe_file)


def test_two_publishers_take_turns(recipe_file, tmp_path):
    with locked(tmp_path), pytest.raises(RuntimeError, match="Another process is at work"):
        publishing.publish(recipe_file, tmp_path)
    assert not list(tmp_path.glob("mnist/*")), "nothing was written"


def test_recipes_match_by_wildcards(recipe_file):
    assert publishing.matching_recipes(["mnist/fc10-*", "mnist/fc10-1"]) == [
        "mnist/fc10-1",
        "mnist/fc10-1e-2",
        "mnist/fc10-1e-4",
    ]
    assert publishing.matching_recipes([str(recipe_file)]) == [str(recipe_file)]
    with pytest.raises(ValueError, match="No recipe"):
        publishing.matching_recipes(["mnist/none-*"])


@pytest.mark.parametrize("name", publishing.recipe_names())
def test_bundled_cards_hold_the_recipes_that_made_them(name):
    recipe = publishing.load_recipe(name)
    assert zoo.info(name).training["recipe_sha256"] == publishing.fingerprint(recipe)
