"""Which labels pools and penalties can read, and what is said of others."""

from __future__ import annotations

from typing import Any

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
