"""MNIST: the full set through tensorflow-datasets, its halves P1 and P2, and a bundled sample."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from intriguing_tf.checks import check_unmasked
from intriguing_tf.datasets.names import data_dir

SPLITS = ("train", "test")
SUBSETS = (None, "p1", "p2")

_SAMPLE = Path(__file__).with_name("mnist_sample.npz")
# The permutation behind P1 and P2: arXiv number of the paper.
_HALVES_SEED = 13126199


def mnist(split: str, subset: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns a split of MNIST in the order of tensorflow-datasets.

    The data is read from the folder that the environment variable `TFDS_DATA_DIR` names (by
    default `~/tensorflow_datasets`); what is not there yet is downloaded once.

    P1 and P2 are the disjoint halves of the training set of the paper's section 4.2, 30 000
    images each. The paper does not say which images are in which; here the training images
    are permuted by `numpy.random.RandomState(13126199).permutation(60000)`, ordered by class
    with that order kept inside each class, and dealt out in turn: the even places are P1, the
    odd ones P2. So no class differs by more than one image between the halves. Both are
    returned in the order of the training set.

    Args:
        split: "train" (60 000 images) or "test" (10 000 images).
        subset: None for the whole split, or "p1" or "p2" for a half of "train".

    Returns:
        images: float32 `[n, 28, 28, 1]`, pixel intensities in [0, 1] (the bytes over 255).
        labels: int64 `[n]`, the digits 0 to 9.

    Raises:
        ValueError: for an unknown split or subset, or a subset of "test".
        FileNotFoundError: when the data is neither there nor can be downloaded.

    Example:

        images, labels = itf.datasets.mnist("train", subset="p1")
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {SUBSETS}. Received: {subset!r}")
    if subset is not None and split != "train":
        raise ValueError(
            "P1 and P2 are halves of the training set. "
            f"Received: split={split!r}, subset={subset!r}"
        )
    images, labels = _read(split, data_dir())
    if subset is not None:
        indices = halves(labels)[subset]
        images, labels = images[indices], labels[indices]
    return _scaled(images), labels.astype(np.int64)


def mnist_sample() -> tuple[np.ndarray, np.ndarray]:
    """Returns the first 1 000 test images, which come with the package: no network, no set-up.

    Returns:
        images: float32 `[1000, 28, 28, 1]` in [0, 1], equal to `mnist("test")[0][:1000]`.
        labels: int64 `[1000]`, equal to `mnist("test")[1][:1000]`.

    Example:

        images, labels = itf.datasets.mnist_sample()
    """
    with np.load(_SAMPLE, allow_pickle=False) as sample:
        return _scaled(sample["images"]), sample["labels"].astype(np.int64)


def halves(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the ascending indices of P1 and P2 for the training set's labels.

    Args:
        labels: integers `[n]`, the labels in the order of the training set.

    Returns:
        {"p1": int64 `[ceil(n / 2)]`, "p2": int64 `[floor(n / 2)]`}, disjoint, together all.
    """
    # RandomState, because NumPy keeps its stream the same in all versions (Generator's is not).
    permutation = np.random.RandomState(_HALVES_SEED).permutation(len(labels))
    by_class = permutation[np.argsort(np.asarray(labels)[permutation], kind="stable")]
    return {"p1": np.sort(by_class[0::2]), "p2": np.sort(by_class[1::2])}


def fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """Returns the sha256 of a data set, so that a model card can say what it was measured on.

    Args:
        images: array of any shape and dtype.
        labels: array of any shape and dtype.

    Returns:
        64 hexadecimal digits. Shapes and dtypes count; the machine's byte order does not.

    Raises:
        TypeError: an array of objects, or with masked elements.

    Example:

        itf.datasets.fingerprint(*itf.datasets.mnist_sample())
    """
    from intriguing_tf.fingerprints import array_fingerprint  # slow: it knows models too

    check_unmasked("images", images)
    check_unmasked("labels", labels)
    return array_fingerprint(images, labels)


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)


@functools.lru_cache(maxsize=2)
def _read(split: str, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bytes and labels of a split, read-only because they are kept."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("mnist", data_dir=data_dir)
    if not builder.is_prepared():
        _download(builder)
    dataset = builder.as_dataset(split=split, batch_size=-1, as_supervised=True)
    images, labels = (tensor.numpy() for tensor in dataset)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def _download(builder) -> None:
    import requests

    try:
        # One request first: without a network tensorflow-datasets retries for minutes.
        requests.head(builder.URL, timeout=10)
        builder.download_and_prepare()
    except Exception as error:  # whatever kind of failure: the way out is the same
        raise FileNotFoundError(
            f"MNIST is not in {str(builder.data_path)!r} and could not be downloaded "
            f"({type(error).__name__}: {error}). Set the environment variable TFDS_DATA_DIR to a "
            "folder of tensorflow-datasets that has mnist/3.0.1, or use the bundled sample: "
            "intriguing_tf.datasets.mnist_sample()."
        ) from error
