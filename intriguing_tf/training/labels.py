"""Which labels pools and penalties can read, and what is said of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from intriguing_tf.training.batch import Batch


def unreadable_labels(width: int | None) -> str:
    """Returns in words what labels must be for a classifier with so many outputs."""
    classes = "the model's classes" if width is None else f"classes from 0 to {max(width, 2) - 1}"
    rows = "" if width == 1 else ", or one row of probabilities for each image, which sum to 1"
    return f"are not what its pools and penalties can read: {classes}{rows}."


SOFT_LABELS = (
    'are soft, and pools that keep examples and the margin loss "worst" know classes only. Take '
    'pools with `interval` 0, or the loss "extra class".'
)


def check_label_shape(batch: Batch) -> None:
    """Raises unless labels have a shape that pools and penalties can read.

    Raises:
        ValueError: as said.
    """
    shape = batch.labels.shape
    if shape.rank != 1 and not (shape.rank == 2 and shape[1] in (1, batch.width)):
        raise ValueError(
            "Pools and penalties read labels of shape [n], [n, 1] or [n, classes]. Received: "
            f"labels of shape {shape} for a model with {batch.width} outputs."
        )


def check_given_labels(
    labels: Any, weights: Any, width: int | None, ignored: int | None, read: bool, as_classes: bool
) -> None:
    """Raises unless the labels of a whole data set, and their weights, can be trained on.

    Args:
        labels: array or tensor. weights: of its rows, or `None`: all count.
        width: outputs of the classifier; `None` where they are not known yet.
        ignored: the class that the loss leaves out, or `None`.
        read: whether pools or penalties read labels, and `as_classes`: whether soft ones cannot be.

    Raises:
        TypeError, ValueError: as said.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            "Labels must be numbers, as the places of their names in a list of the classes. "
            f"Received: dtype {array.dtype}."
        )
    if weights is not None and len(weights) != len(array):
        raise ValueError(
            "`sample_weight` must hold one weight for each image. Received: "
            f"{len(weights)} weights for {len(array)} labels."
        )
    if width is not None and read:
        check_label_array(labels, weights, width, as_classes)
    elif width is not None and width > 1:
        check_labels(array, width, ignored)


def check_labels(labels: np.ndarray, classes: int, ignored: int | None = None) -> None:
    """Raises unless integer labels, [n] or [n, 1], are from 0 to below `classes`, or `ignored`."""
    flat = labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1)
    if labels.dtype.kind not in "iu" or not flat:
        return  # one row of probabilities for each image: the loss's own business
    outside = labels[((labels < 0) | (labels >= classes)) & (labels != ignored)]
    if outside.size:
        raise ValueError(
            f"Labels must lie between 0 and {classes - 1}, the model's classes. "
            f"Received: {outside[0]}."
        )


def check_label_array(labels: Any, weights: Any, width: int, classes_only: bool) -> None:
    """Raises unless pools and penalties can read the labels of a whole data set.

    Args:
        labels: array or tensor. weights: of its rows, or `None`: all count.
        width: outputs of the classifier.
        classes_only: whether soft labels cannot be read.

    Raises:
        ValueError: as said.
    """
    labels = tf.convert_to_tensor(labels)
    batch = Batch(labels, labels, weights, width)
    check_label_shape(batch)
    faults = {unreadable_labels(width): batch.unreadable}
    if classes_only:
        faults[SOFT_LABELS] = batch.soft
    for message, wrong in faults.items():
        rows = tf.where(wrong & batch.counting)[:, 0].numpy()
        if len(rows):
            raise ValueError(f"Labels {message} Received: {labels[rows[0]].numpy()}.")
