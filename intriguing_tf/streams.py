"""A `tf.data.Dataset` of the user's, read as rows of images with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_ROWS = 256  # single images that are read at a time
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
            self._dataset = dataset.batch(_ROWS)

    def __iter__(self) -> Iterator[Rows]:
        waiting: list[Rows] = []
        count = 0
        for rows in self._elements():
            if waiting and rows[0].shape[1:] != waiting[0][0].shape[1:]:
                raise ValueError(
                    "All images of a data set must have one shape. Received: "
                    f"{waiting[0][0].shape[1:]} and {rows[0].shape[1:]}."
                )
            waiting.append(rows)
            count += len(rows[0])
            while count >= self._size:
                images, labels = _joined(waiting)
                yield _cut(images, labels, slice(self._size))
                waiting = [_cut(images, labels, slice(self._size, None))]
                count -= self._size
        if count:
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


def _joined(rows: Sequence[Rows]) -> Rows:
    images = np.concatenate([each for each, _ in rows])
    labels = [each for _, each in rows if each is not None]
    if len({each.shape[1:] for each in labels}) > 1:
        raise ValueError(
            "All labels of a data set must be class numbers, or one-hot rows of one length. "
            f"Received: labels of the shapes {sorted({each.shape[1:] for each in labels})}."
        )
    return images, np.concatenate(labels) if labels else None


def _cut(images: np.ndarray, labels: Any, rows: slice) -> Rows:
    return images[rows], None if labels is None else labels[rows]
