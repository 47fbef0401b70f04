"""The comparison of ways to train: measured once, kept, compared."""

import os
import shutil
import types

import keras
import msgspec
import numpy as np
import pytest

from intriguing_tf import datasets, publishing
from intriguing_tf.experiments import adversarial_training, networks

pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.mnist_sample()
    return (images[:600], labels[:600]), (images[600:], labels[600:])


@pytest.mark.slow
def test_compare_measures_and_does_nothing_twice(digits, tmp_path, monkeypatch):
    def short(name, load=adversarial_training.load_method):
        recipe = load(name)
        return recipe.replace(fitting=recipe.fitting.replace(epochs=6))

    monkeypatch.setattr(adversarial_training, "load_method", short)

    def compare():
        return adversarial_training.compare(
            ["certified", "decay"], [3], tmp_path, *digits, attacked=8, radius=0.1, verbose=False
        )

    first = compare()
    runs = {run.method: run for run in first.runs}
    assert runs["decay"].transfer is None
    assert 0 <= runs["certified"].transfer <= 1
    for run in first.runs:
        assert run.test_error < 0.3
        assert run.distortion > 0.01
        assert 0 < run.certified <= 1 - run.test_error
        assert run.lipschitz > 0
    monkeypatch.setattr(networks, "train_on", None)  # nothing is left to train
    assert compare() == first
    for piece in tmp_path.glob("measurements/certified*"):
        shutil.rmtree(piece)
    assert compare().runs[1].test_error == runs["certified"].test_error  # the network was kept
    assert "certified" in str(first)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is full")
def test_a_full_disk_is_said_of_the_images(digits, tmp_path, monkeypatch):
    found = types.SimpleNamespace(images=digits[1][0][:8])
    monkeypatch.setattr(
        adversarial_training, "LBFGSAdversary", lambda *_, **__: lambda *_, **__: found
    )
    bench = adversarial_training._Bench(None, {}, *digits, attacked=8, radius=1.0)
    opened, full = os.fdopen, os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: os.close(handle) or opened(full, mode))
    with pytest.raises(OSError, match=r"No space left on device: .*adversarial\.npy"):
        bench._measure(None, None, tmp_path)
    assert os.listdir(tmp_path) == []


def test_no_more_images_are_said_to_be_attacked_than_there_are(digits, tmp_path, monkeypatch):
    def run(bench, name, seed):
        return adversarial_training.TrainingRun(
            name, seed, 0.1, 0.1, 1.0, 0.5, None, bench.attacked
        )

    monkeypatch.setattr(adversarial_training._Bench, "run", run)
    found = adversarial_training.compare(["decay"], [0], tmp_path, *digits, attacked=99_999)
    assert found.attacked == found.runs[0].seconds == 400
    assert "distortion over 400 images" in str(found)


@pytest.mark.parametrize("shape", [lambda y: y[:, None], lambda y: np.eye(10)[y], list])
def test_labels_of_any_form_are_compared_with_one_prediction_each(
    digits, shape, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(adversarial_training._Bench, "run", lambda bench, *_: seen.append(bench))
    sets = [(images, shape(labels)) for images, labels in digits]
    adversarial_training.compare(["decay"], range(1), tmp_path, *sets, verbose=False)
    for found, given in zip((seen[0].train_set, seen[0].test_set), digits, strict=True):
        np.testing.assert_array_equal(found[1], given[1])
        assert found[0] is given[0]


def test_sets_of_unequal_lengths_are_refused(digits, tmp_path):
    (images, labels), test_set = digits
    with pytest.raises(ValueError, match="600 labels and 599 images"):
        adversarial_training.compare(["decay"], [0], tmp_path, (images[1:], labels), test_set)
    with pytest.raises(ValueError, match="399 labels and 400 images"):
        adversarial_training.compare(
            ["decay"], [0], tmp_path, digits[0], (test_set[0], test_set[1][1:])
        )


def test_methods_differ_in_the_layers_of_their_pools_alone():
    recipes = [adversarial_training.load_method(name) for name in adversarial_training.POOLS_AT]
    layers = [[pool.layer for pool in recipe.pools] for recipe in recipes]
    assert layers == [[None], ["fc1", "fc2"], [None, "fc1", "fc2"]]
    assert len({pool.replace(layer="") for recipe in recipes for pool in recipe.pools}) == 1


def test_every_method_has_its_recipe():
    methods = {
        name: adversarial_training.load_method(name) for name in adversarial_training.METHODS
    }
    assert methods["decay"].name == adversarial_training.PLAIN
    assert methods["certified"].penalties and methods["gradient"].penalties


def test_dropout_replaces_the_decay():
    network = publishing.build(adversarial_training.load_method("dropout"))
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [adversarial_training.DROPOUT] * 2
    assert network.losses == []


@pytest.mark.parametrize(
    ("names", "shown", "heading"),
    [
        (["decay", "pools-moved"], ["decay", "pools-moved"], "100-100-10 trained with"),
        (["decay", "a/own.json"], ["decay", "own"], "trained with"),
        (["a/own.json", "b/own.json"], ["a/own.json", "b/own.json"], "trained with"),
        (["certified.json", "certified"], ["certified.json", "certified"], "trained with"),
        (["decay.json"], ["decay.json"], "trained with"),
    ],
)
def test_rows_of_different_methods_look_different(names, shown, heading):
    runs = [
        adversarial_training.TrainingRun(name, 0, 0.1, 0.1, 1.0, 0.5, None, 3.0) for name in names
    ]
    table = adversarial_training.TrainingComparison(tuple(runs), 1.0, 8, "the test set").table()
    assert [row[0] for row in table.rows] == shown
    assert table.columns[0] == heading


def test_interval_is_students():
    assert adversarial_training.interval(np.array([1.0, 2.0, 3.0]), 3) == "2.000 ± 2.484"
    assert adversarial_training.interval(np.array([1.5]), 1) == "1.5"


def test_unknown_methods_are_refused(digits, tmp_path):
    with pytest.raises(ValueError, match="Received: 'best'"):
        adversarial_training.compare(["best"], [0], tmp_path, *digits)
    with pytest.raises(ValueError, match=r"last 10000 images. Received: 600"):
        adversarial_training.compare(["decay"], [0], tmp_path, digits[0])


def test_recipes_of_a_part_of_the_training_set_are_refused(digits, tmp_path):
    own = tmp_path / "own.json"
    recipe = adversarial_training.load_method("decay")
    own.write_bytes(msgspec.json.encode(recipe.replace(data="p1")))
    with pytest.raises(ValueError, match=r"`data` must be 'train'.*own\.json': 'p1'"):
        adversarial_training.compare(["decay", str(own)], [0], tmp_path / "new", *digits)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("names", "seeds", "words"),
    [
        (["decay"], 3, "`seeds` must be a sequence of integers"),
        (["decay"], [0.5], "`seeds` must be a sequence of integers"),
        ("decay", [0], "`names` must be a sequence of names of methods"),
        ([3], [0], "`names` must be a sequence of names of methods"),
    ],
)
def test_other_kinds_of_names_and_seeds_are_refused(names, seeds, words, digits, tmp_path):
    with pytest.raises(TypeError, match=words):
        adversarial_training.compare(names, seeds, tmp_path, *digits)
    with pytest.raises(TypeError, match=r"`name` must be a str, such as 'decay'. Received: int"):
        adversarial_training.load_method(3)


def test_a_folder_of_an_earlier_release_is_refused(digits, tmp_path):
    (tmp_path / "decay-0-0123456789ab.seconds").write_text("3")
    with pytest.raises(ValueError, match="work of an earlier release"):
        adversarial_training.compare(["decay"], [0], tmp_path, *digits)


def test_names_of_version_0_1_warn():
    with pytest.warns(DeprecationWarning, match="use TrainingRun"):
        assert adversarial_training.Run is adversarial_training.TrainingRun
    with pytest.raises(AttributeError, match="no attribute 'Runs'"):
        _ = adversarial_training.Runs


@pytest.mark.parametrize(
    "changed", [{"radius": 0.0}, {"attacked": 0}, {"seeds": [0, -1]}, {"seeds": [0, 0]}]
)
def test_numbers_out_of_range_are_refused_before_the_training(changed, digits, tmp_path):
    arguments = {"names": ["decay"], "seeds": [0], "folder": tmp_path / "new", **changed}
    with pytest.raises(ValueError, match="Received"):
        adversarial_training.compare(**arguments, train_set=digits[0], test_set=digits[1])
    assert not (tmp_path / "new").exists()
