"""Any data set as slices of a fixed number of images, read one at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.targets import class_array
from intriguing_tf.checks import check_unmasked
from intriguing_tf.fingerprints import array_fingerprint
from intriguing_tf.streams import Stream


class Slice(NamedTuple):
    """Consecutive images of a data set.

    Attributes:
        number: which slice; it starts at row `number` times the number of images in a slice.
        images: [rows, ...].
        labels: int64 [rows], or `None`.
    """

    number: int
    images: np.ndarray
    labels: np.ndarray | None

    def fingerprint(self) -> str:
        """Returns the sha256 of the images and labels, with their shapes and types."""
        arrays = (self.images,) if self.labels is None else (self.images, self.labels)
        return array_fingerprint(*arrays)


class Source:
    """Images and labels that are read in slices; no more than one slice is in memory.

    Args:
        images: array [n, ...] (a `numpy.memmap` or anything that gives NumPy arrays when it is
            sliced does as well), or a `tf.data.Dataset` of images or of pairs (image, label) that
            gives them in the same order each time, batched or not.
        labels: integers [n], or `None`.
        size: images in a slice; the last one may have fewer.
        shape: of one image of a data set; `None` where the model does not say.

    Raises:
        TypeError: neither an array nor a data set; masked elements; labels beside a data set.
        ValueError: lengths that differ, or a data set of other elements.
    """

    def __init__(
        self, images: Any, labels: Any, size: int, shape: Sequence[int | None] | None = None
    ):
        self.size, self._shape = size, shape
        if isinstance(images, tf.data.Dataset):
            Stream(images, shape, size)  # complains at once
            if labels is not None:
                raise TypeError(
                    "A tf.data.Dataset brings its own labels, as pairs (image, label). Received: "
                    "`labels` as well."
                )
        else:
            images, labels = _check_arrays(images, labels)
        self._images, self._labels = images, labels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        if isinstance(self._images, tf.data.Dataset):
            first = next(iter(Stream(self._images.take(1), self._shape, 1)), None)
            return () if first is None else first[0].shape[1:]
        return tuple(self._images.shape[1:])

    def slices(self, wanted: Collection[int] | None = None) -> Iterator[Slice]:
        """Yields the slices, or those wanted, in order."""
        stream = isinstance(self._images, tf.data.Dataset)
        for piece in self._streamed() if stream else self._cut(wanted):
            if wanted is None or piece.number in wanted:
                yield piece

    def _cut(self, wanted: Collection[int] | None) -> Iterator[Slice]:
        starts = range(0, len(self._images), self.size)
        for index in range(len(starts)) if wanted is None else sorted(wanted):
            rows = slice(starts[index], starts[index] + self.size)
            images = self._images[rows]
            check_unmasked("images", images)
            labels = None if self._labels is None else self._labels[rows]
            yield Slice(index, np.asarray(images), labels)

    def _streamed(self) -> Iterator[Slice]:
        stream = Stream(self._images, self._shape, self.size)
        for index, (images, labels) in enumerate(stream):
            yield Slice(index, images, _class_numbers(labels, len(images)))


def _check_arrays(images: Any, labels: Any) -> tuple[Any, np.ndarray | None]:
    check_unmasked("images", images)
    if isinstance(images, (list, tuple)) or tf.is_tensor(images):
        images = np.asarray(images)
    if not hasattr(images, "__getitem__") or not getattr(images, "shape", ()):
        raise TypeError(
            "`images` must be an array [n, ...] or a tf.data.Dataset. "
            f"Received: {type(images).__name__}."
        )
    if not len(images):
        raise ValueError("At least one image is needed. Received: none.")
    return images, _class_numbers(labels, len(images))


def _class_numbers(labels: Any, n: int) -> np.ndarray | None:
    if labels is None:
        return None
    check_unmasked("labels", labels)
    labels = np.asarray(labels)
    if labels.shape == (n, 1):
        labels = labels[:, 0]
    if labels.ndim == 2 and len(labels) == n:  # one-hot rows
        labels = class_array("labels", labels, n, labels.shape[1])
    if labels.shape != (n,):
        raise ValueError(
            f"`labels` must have shape ({n},), one for each image, or be one-hot rows. "
            f"Received: shape {labels.shape}."
        )
    return as_int64(labels)


def as_int64(values: Any) -> np.ndarray:
    """Returns integers of any type as int64, and other values as they are, as an array."""
    values = np.asarray(values)
    return values.astype(np.int64) if np.issubdtype(values.dtype, np.integer) else values
