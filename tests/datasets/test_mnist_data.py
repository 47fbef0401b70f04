"""MNIST's splits, halves and sample; what happens without data; fingerprints."""

import os

import numpy as np
import pytest

from intriguing_tf import datasets
from intriguing_tf.datasets.mnist_data import halves

full_mnist = pytest.mark.skipif(
    not os.environ.get("TFDS_DATA_DIR"), reason="TFDS_DATA_DIR is unset: no full MNIST"
)


def test_sample_is_a_thousand_images_of_whole_bytes():
    images, labels = datasets.mnist_sample()
    assert (images.shape, images.dtype) == ((1000, 28, 28, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((1000,), np.int64)
    assert images.min() == 0 and images.max() == 1
    np.testing.assert_array_equal(np.rint(images * 255).astype(np.float32) / 255, images)
    fingerprint = "458b67a83b26d2c6a129b73faded7f35205e8caca17044fe8c8661cc915ba55f"
    assert datasets.fingerprint(images, labels) == fingerprint


def test_sample_is_the_callers_own():
    datasets.mnist_sample()[0][:] = -1
    assert datasets.mnist_sample()[0].min() == 0


@pytest.mark.parametrize("count", [60_000, 1_000, 7])
def test_halves_are_disjoint_complete_and_balanced(count):
    labels = np.random.default_rng(0).integers(0, 10, count)
    parts = halves(labels)
    assert len(parts["p1"]) - len(parts["p2"]) in (0, 1)
    both = np.concatenate([parts["p1"], parts["p2"]])
    np.testing.assert_array_equal(np.sort(both), np.arange(count))
    counts = [np.bincount(labels[parts[half]], minlength=10) for half in ("p1", "p2")]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_halves_are_fixed():
    parts = halves(np.arange(20) % 2)
    assert parts["p1"].tolist() == [0, 1, 3, 4, 5, 8, 9, 12, 13, 16]
    assert halves(np.arange(20) % 2)["p2"].tolist() == parts["p2"].tolist()


@pytest.mark.slow
@full_mnist
def test_full_splits():
    images, labels = datasets.mnist("test")
    assert (images.shape, images.dtype) == ((10_000, 28, 28, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((10_000,), np.int64)
    sample_images, sample_labels = datasets.mnist_sample()
    np.testing.assert_array_equal(images[:1000], sample_images)
    np.testing.assert_array_equal(labels[:1000], sample_labels)


@pytest.mark.slow
@full_mnist
def test_full_halves_partition_the_training_set():
    images, labels = datasets.mnist("train")
    indices = halves(labels)
    assert len(images) == 60_000
    for half in ("p1", "p2"):
        half_images, half_labels = datasets.mnist("train", subset=half)
        assert (half_images == images[indices[half]]).all()
        np.testing.assert_array_equal(half_labels, labels[indices[half]])
        assert len(half_images) == 30_000
        share = np.bincount(half_labels) / np.bincount(labels)
        assert np.abs(share / 0.5 - 1).max() < 0.02


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (("validation",), "'validation'"),
        (("train", "p3"), "'p3'"),
        (("test", "p1"), "split='test', subset='p1'"),
    ],
)
def test_unknown_split_is_refused(arguments, received):
    with pytest.raises(ValueError, match=received):
        datasets.mnist(*arguments)


@pytest.mark.slow
def test_without_data_and_network_the_error_names_both_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for variable in ("HTTPS_PROXY", "https_proxy"):  # nothing listens there
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(FileNotFoundError, match=r"TFDS_DATA_DIR.*mnist_sample\(\)"):
        datasets.mnist("test")
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_sees_every_value_shape_and_dtype():
    images = np.arange(12, dtype=np.float32).reshape(3, 4)
    labels = np.arange(3)
    fingerprint = datasets.fingerprint(images, labels)
    assert len(fingerprint) == 64
    changed = images.copy()
    changed[1, 2] = np.nextafter(changed[1, 2], 9, dtype=np.float32)
    others = [
        (changed, labels),
        (images, labels[::-1]),
        (images.reshape(4, 3), labels),
        (images.astype(np.float64), labels),
    ]
    assert len({fingerprint, *(datasets.fingerprint(*other) for other in others)}) == 5
    assert datasets.fingerprint(images.astype(">f4"), labels) == fingerprint
    assert datasets.fingerprint(np.asfortranarray(images), labels) == fingerprint
