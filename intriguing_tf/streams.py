"""A `tf.data.Dataset` of the user's, read as rows of images with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_ROWS = 256  # single images that are read at a time, at most
_VALID = "A data set must give images, or pairs (images, labels), one by one or in batches"

Rows = tuple[np.ndarray, np.ndarray | None]


class Stream:
    """The images of a data set, some rows at a time, in its order; may be passed over repeatedly.

    Args:
        dataset: of images or of pairs (image, label): single ones, batches, batches of batches. A
            label is a class number, alone or in a list, or a one-hot row.
        shape: of one image; `None` where the model does not say. What is a batch is then told by
            the labels, or else by an unknown first axis.
        size: rows that are given at a time; the last time maybe fewer.

    Raises:
        ValueError: a data set that does not end, or of other elements. On the way: elements whose
            shapes do not fit.
    """

    def __init__(self, dataset: tf.data.Dataset, shape: Sequence[int | None] | None, size: int):
        if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError("A data set must end: take(n) of it. Received: an infinite one.")
        spec = dataset.element_spec
        parts = _parts(spec)
        if not 1 <= len(parts) <= 2 or not all(isinstance(each, tf.TensorSpec) for each in parts):
            raise ValueError(
                f"{_VALID}, as tensors: map a dictionary to a pair, and a ragged or sparse tensor "
                f"to a dense one. Received: elements {spec}."
            )
        self.labelled = len(parts) == 2
        self._dataset, self._size = dataset, size
        self._rank = None if shape is None else len(shape)
        ranks = [each.shape.rank for each in parts]
        self._batched = _looks_batched(parts[0].shape)
        if ranks[0] == self._rank is not None and None not in ranks:
            self._dataset = dataset.batch(min(_ROWS, size))

    def __iter__(self) -> Iterator[Rows]:
        waiting: list[Rows] = []
        missing, shapes = self._size, None
        for rows in self._elements():
            shapes = shapes or _shapes(rows)
            _check_alike(shapes, _shapes(rows))
            start, end = 0, len(rows[0])
            while start < end:
                part = _cut(rows, slice(start, start + missing))
                waiting.append(part)
                start, missing = start + missing, missing - len(part[0])
                if not missing:
                    yield _joined(waiting)
                    waiting, missing = [], self._size
        if waiting:
            yield _joined(waiting)

    def _elements(self) -> Iterator[Rows]:
        """Yields the elements as rows."""
        try:
            for element in self._dataset.as_numpy_iterator():
                given = element if isinstance(element, (tuple, list)) else (element,)
                yield self._rows(*map(np.asarray, given))
        except tf.errors.InvalidArgumentError as error:
            reason = error.message.split("}} ")[-1].splitlines()[0].strip()
            raise ValueError(
                f"{_VALID}, of one shape. TensorFlow cannot read it: {reason}"
            ) from error

    def _rows(self, images: np.ndarray, labels: np.ndarray | None = None) -> Rows:
        """Returns an element with its leading axes as one."""
        if self._rank is not None:
            axes = images.ndim - self._rank
        elif labels is None:
            axes = int(self._batched)
        else:
            same = [images.shape[:n] == labels.shape[:n] for n in range(labels.ndim + 1)]
            axes = max(n for n, each in enumerate(same) if each)
        shape = images.shape[: max(axes, 0)]
        fits = labels is None or (labels.shape[:axes] == shape and labels.ndim <= axes + 1)
        if axes < 0 or images.ndim == axes or not fits:
            one = "" if self._rank is None else f" of {self._rank} axes"
            beside = "" if labels is None else f" with labels of shape {labels.shape}"
            raise ValueError(
                f"{_VALID}: each image{one}, with one label if there are any. Received: images of "
                f"shape {images.shape}{beside}."
            )
        images = images.reshape(-1, *images.shape[axes:])
        return images, None if labels is None else labels.reshape(-1, *labels.shape[axes:])


def is_batched(dataset: tf.data.Dataset) -> bool:
    """Whether a data set of images, or of pairs (image, label), gives batches of them."""
    parts = _parts(dataset.element_spec)
    images, *labels = (each.shape for each in parts)
    if not labels or images.rank is None or labels[0].rank is None:
        return _looks_batched(images)
    return labels[0].rank > 0 and images[:1].as_list() == labels[0][:1].as_list()


def _parts(spec: Any) -> Sequence[Any]:
    return spec if isinstance(spec, (tuple, list)) else (spec,)


def _looks_batched(images: tf.TensorShape) -> bool:
    """Whether elements of such a shape are batches, as far as that can be told without labels."""
    return images.rank is None or images.rank > 3 or images[:1] == [None]


def _shapes(rows: Rows) -> tuple[Any, Any]:
    """Of one image, and of its label."""
    images, labels = rows
    return images.shape[1:], None if labels is None else labels.shape[1:]


def _check_alike(first: tuple[Any, Any], shapes: tuple[Any, Any]) -> None:
    """Raises unless images have the shape of the first ones, and so their labels."""
    (image, label), (other_image, other_label) = first, shapes
    if image != other_image:
        raise ValueError(
            f"All images of a data set must have one shape. Received: {image} and {other_image}."
        )
    if label != other_label:
        raise ValueError(
            "All labels of a data set must be class numbers, or one-hot rows of one length. "
            f"Received: labels of the shapes {label} and {other_label}."
        )


def _joined(parts: Sequence[Rows]) -> Rows:
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), None if labels[0] is None else np.concatenate(labels)


def _cut(rows: Rows, part: slice) -> Rows:
    images, labels = rows
    return images[part], None if labels is None else labels[part]
