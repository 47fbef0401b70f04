"""The comparison of ways to train, and the corrupted split: kept, resumed, read back."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import datasets, publishing
from intriguing_tf.experiments import adversarial_training, corrupted_split


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.mnist_sample()
    return (images[:600], labels[:600]), (images[600:], labels[600:])


@pytest.mark.slow
def test_compare_measures_and_does_nothing_twice(digits, tmp_path, monkeypatch):
    def short(name, load=adversarial_training.load_method):
        recipe = load(name)
        return recipe.replace(fitting=recipe.fitting.replace(epochs=15))

    monkeypatch.setattr(adversarial_training, "load_method", short)

    def compare():
        return adversarial_training.compare(
            ["certified", "decay"], [3], tmp_path, *digits, attacked=16, radius=0.1, verbose=False
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
    monkeypatch.setattr(adversarial_training, "train_on", None)  # nothing is left to train
    assert compare() == first
    for record in tmp_path.glob("certified*.json"):
        record.unlink()
    assert compare().runs[1].test_error == runs["certified"].test_error  # the network was kept
    assert "certified" in str(first)


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


def test_interval_is_students():
    assert adversarial_training.interval(np.array([1.0, 2.0, 3.0]), 3) == "2.000 ± 2.484"
    assert adversarial_training.interval(np.array([1.5]), 1) == "1.5"


def test_unknown_methods_are_refused(digits, tmp_path):
    with pytest.raises(ValueError, match="Received: 'best'"):
        adversarial_training.compare(["best"], [0], tmp_path, *digits)
    with pytest.raises(ValueError, match=r"last 10000 images. Received: 600"):
        adversarial_training.compare(["decay"], [0], tmp_path, digits[0])


@pytest.fixture(scope="module")
def regression(digits):
    recipe = publishing.load_recipe("mnist/fc10-1e-2")
    fitting = recipe.fitting.replace(tolerance=1e-3)
    recipe = recipe.replace(fitting=fitting)
    return recipe, publishing.train_on(recipe, *digits[0], verbose=False).model


@pytest.mark.slow
def test_a_corrupted_split_is_misread_and_resumes(digits, regression, tmp_path, monkeypatch):
    images, labels = (each[:96] for each in digits[0])
    monkeypatch.setattr(corrupted_split, "_SHARD", 64)
    model = regression[1]
    split = corrupted_split.corrupt(model, images, labels, tmp_path, verbose=False)
    assert split.error_before < 0.1
    assert split.error_after == 1.0
    assert 0.01 < split.distortion < 0.2
    rows = list(tf.data.Dataset.load(str(split.dataset)))
    np.testing.assert_array_equal([label for _, label in rows], labels)
    np.testing.assert_array_equal(np.stack([image for image, _ in rows]), split.images)
    assert (model.predict(split.images, verbose=0).argmax(1) != labels).all()

    shards = sorted((tmp_path / "shards").glob("*.npz"))
    assert len(shards) == 2
    kept = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    again = corrupted_split.corrupt(model, images, labels, tmp_path, verbose=False)
    assert shards[0].stat().st_mtime_ns == kept
    np.testing.assert_allclose(again.images, split.images, atol=1e-6)

    with pytest.raises(ValueError, match="another model, from other images or with other settings"):
        corrupted_split.corrupt(model, images[:50], labels[:50], tmp_path, verbose=False)


@pytest.mark.slow
def test_retraining_on_the_corrupted_split(digits, regression, tmp_path):
    train_set = tuple(each[:128] for each in digits[0])
    test_set = tuple(each[:64] for each in digits[1])
    result = corrupted_split.corrupt_and_retrain(
        regression[0], tmp_path, train_set, test_set, attacked=16, verbose=False
    )
    assert result.before.error_on_corrupted == 1.0
    assert result.after.error_on_corrupted < 0.9
    assert result.before.error_on_corrupted_test == 1.0
    assert result.after.distortion > 0
    record = json.loads((tmp_path / "after.json").read_text())
    assert record["seconds"] == result.training_seconds
    assert isinstance(keras.models.load_model(tmp_path / "after.keras"), keras.Model)
