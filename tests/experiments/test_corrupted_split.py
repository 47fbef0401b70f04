"""The corrupted split: every image misclassified, resumed, read back, trained on."""

import json

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import datasets, publishing
from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.experiments import corrupted_split

pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.mnist_sample()
    return (images[:600], labels[:600]), (images[600:], labels[600:])


@pytest.fixture(scope="module")
def regression(digits):
    recipe = publishing.load_recipe("mnist/fc10-1e-2")
    recipe = recipe.replace(fitting=recipe.fitting.replace(tolerance=1e-3))
    return recipe, publishing.train_on(recipe, *digits[0], verbose=False).model


@pytest.mark.slow
def test_a_corrupted_split_is_misclassified_and_resumes(digits, regression, tmp_path):
    images, labels = (each[:96] for each in digits[0])
    model, settings = regression[1], {"shard_size": 64, "verbose": False}
    split = corrupted_split.corrupt(model, images, labels, tmp_path, **settings)
    assert split.error_before < 0.1
    assert split.error_after == 1.0
    assert 0.01 < split.distortion < 0.2
    rows = list(tf.data.Dataset.load(str(split.dataset)))
    np.testing.assert_array_equal([label for _, label in rows], labels)
    np.testing.assert_array_equal(np.stack([image for image, _ in rows]), split.images)
    assert (model.predict(split.images, verbose=0).argmax(1) != labels).all()

    shards = sorted((tmp_path / "shards").glob("*/*.npz"))
    assert len(shards) == 2
    kept = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    again = corrupted_split.corrupt(model, images, labels, tmp_path, **settings)
    assert shards[0].stat().st_mtime_ns == kept
    np.testing.assert_allclose(again.images, split.images, atol=1e-6)

    with pytest.raises(ValueError, match=r"another sweep(.|\n)*data\.images: 96 in the folder"):
        corrupted_split.corrupt(model, images[:50], labels[:50], tmp_path, **settings)


@pytest.mark.parametrize("mine", ["dataset", "dataset/0/digit.png"])
def test_a_dataset_of_others_is_refused_before_the_work(mine, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(corrupted_split, "sweep", None)
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).write_text("mine")
    with pytest.raises(ValueError, match=r"dataset must be .*: move it, or give another folder"):
        corrupted_split.corrupt(None, *digits[0], tmp_path)
    assert (tmp_path / mine).read_text() == "mine"


@pytest.mark.slow
def test_a_folder_that_grew_has_a_dataset_of_all(digits, regression, tmp_path):
    images, labels = digits[0]
    for n in (8, 12, 12):
        if n == 12:  # damaged: of 8, then of all
            (tmp_path / "dataset" / "snapshot.metadata").unlink()
        split = corrupted_split.corrupt(
            regression[1], images[:n], labels[:n], tmp_path, shard_size=4, verbose=False
        )
        rows = list(tf.data.Dataset.load(str(split.dataset)))
        np.testing.assert_array_equal(np.stack([image for image, _ in rows]), split.images)
        np.testing.assert_array_equal([label for _, label in rows], labels[:n])


@pytest.mark.slow
def test_labels_may_be_columns_or_one_hot_rows(digits, regression, tmp_path):
    images, labels = (each[:32] for each in digits[0])
    whole, *others = [
        corrupted_split.corrupt(
            regression[1], images, shape(labels), tmp_path / str(i), verbose=False
        )
        for i, shape in enumerate([np.array, lambda y: y[:, None], lambda y: np.eye(10)[y]])
    ]
    wrong = (regression[1].predict(images, verbose=0).argmax(1) != labels).mean()
    assert whole.error_before == wrong and whole.error_after == 1.0
    for each in others:
        assert (each.error_before, each.error_after) == (wrong, 1.0)
        np.testing.assert_array_equal(each.labels, labels)


def test_what_does_not_fit_is_refused_before_the_work(digits, regression, tmp_path):
    (images, labels), test_set = digits
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match="599 labels and 600 images"):
        corrupted_split.corrupt(regression[1], images, labels[1:], folder)
    retrain = corrupted_split.corrupt_and_retrain
    with pytest.raises(ValueError, match="1 labels and 400 images"):
        retrain(regression[0], folder, digits[0], (test_set[0], test_set[1][:1]))
    with pytest.raises(ValueError, match="integers of at least 0"):
        retrain(regression[0], folder, (images, labels / 2), test_set)
    with pytest.raises(ValueError, match=r"`attacked` must be a positive integer. Received: -968"):
        retrain(regression[0], folder, *digits, attacked=-968)
    assert not folder.exists()


@pytest.mark.slow
def test_random_targets_do_not_depend_on_the_size_of_shards(digits, regression, tmp_path):
    images, labels = (each[:24] for each in digits[0])
    changed = [
        corrupted_split.corrupt(
            regression[1], images, labels, tmp_path / str(size), targets="random", seed=5,
            shard_size=size, verbose=False,
        ).images
        for size in (8, 24)
    ]  # fmt: skip
    adversary = LBFGSAdversary(regression[1], loss="cross_entropy")
    whole = adversary(images, labels, targets="random", seed=5, verbose=False)
    for each in changed:
        np.testing.assert_allclose(each, whole.images, atol=1e-5)


def test_a_folder_of_an_earlier_release_is_refused(digits, regression, tmp_path):
    (tmp_path / "made_from.json").touch()
    with pytest.raises(ValueError, match=r"Received: a folder with made_from\.json"):
        corrupted_split.corrupt(regression[1], *digits[1], tmp_path)


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
    networks = list((tmp_path / "models").glob("*/model.keras"))
    assert len(networks) == 2  # before and after
    seconds = [json.loads((each.parent / "made.json").read_text())["seconds"] for each in networks]
    assert result.training_seconds in seconds
