"""What a step trains on: images, labels in the form that the loss takes, and weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

_ROUNDING = 0.01  # probabilities may be printed with few digits, or kept in float16


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of a training step.

    Args:
        images: float `[n, …]`, or what the layers below a pool make of them.
        labels: as the loss takes them: integers `[n]` or `[n, 1]`, or a row of probabilities for
            each image `[n, classes]`.
        weights: float `[n]`; `None`: each row weighs 1.
        width: outputs of the classifier; 1 means two classes.
    """

    images: Any
    labels: Any
    weights: Any
    width: int

    @property
    def has_probabilities(self) -> bool:
        """Whether labels are rows of probabilities, one-hot or soft."""
        return self.labels.shape.rank == 2 and self.labels.shape[1] == self.width > 1

    @property
    def classes(self) -> tf.Tensor:
        """The class of each row, int64 `[n]`; of soft labels the most likely one.

        What is no class gives one, too: `unreadable` tells, and steps go on until it is looked at.
        """
        if self.has_probabilities:
            return tf.argmax(self.labels, axis=1)
        flat = tf.reshape(self.labels, [-1])
        flat = tf.cast(tf.round(flat) if flat.dtype.is_floating else flat, tf.int64)
        return tf.clip_by_value(flat, 0, max(self.width, 2) - 1)

    def probabilities(self, dtype: tf.DType) -> tf.Tensor:
        """The labels as probabilities `[n, classes]`; two classes for a single output."""
        if self.has_probabilities:
            return tf.cast(self.labels, dtype)
        if self.width == 1:
            ones = tf.cast(tf.reshape(self.labels, [-1]), dtype)
            return tf.stack([1 - ones, ones], axis=1)
        return tf.one_hot(self.classes, self.width, dtype=dtype)

    @property
    def unreadable(self) -> tf.Tensor:
        """Which labels are no class and no probabilities that sum to 1, bool `[n]`."""
        labels = tf.cast(self.labels, tf.float64)
        if self.has_probabilities:
            total = tf.reduce_sum(labels, axis=1)
            readable = tf.reduce_all(labels >= -_ROUNDING, axis=1)
            return ~(readable & (tf.abs(total - 1) <= _ROUNDING))
        flat = tf.reshape(labels, [-1])
        if self.width == 1:
            return ~((flat >= -_ROUNDING) & (flat <= 1 + _ROUNDING))
        return ~((flat >= 0) & (flat < self.width) & (flat == tf.round(flat)))

    @property
    def soft(self) -> tf.Tensor:
        """Which labels leave open which class it is, bool `[n]`."""
        rows = tf.reshape(self.labels, [tf.shape(self.labels)[0], -1])
        if not rows.dtype.is_floating:
            return tf.zeros(tf.shape(rows)[:1], tf.bool)
        return tf.reduce_any(rows != tf.round(rows), axis=1)

    @property
    def counting(self) -> tf.Tensor:
        """Which rows weigh something, bool `[n]`."""
        if self.weights is None:
            return tf.ones(tf.shape(self.labels)[:1], tf.bool)
        return self.weights != 0

    def weighted_mean(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the mean of values `[n]` times the weights, as Keras's losses have it."""
        if self.weights is not None:
            values = values * tf.cast(self.weights, values.dtype)
        return tf.reduce_mean(values)

    def labels_of(self, classes: tf.Tensor) -> tf.Tensor:
        """Returns classes int64 `[m]` in the form of the labels."""
        if self.has_probabilities:
            return tf.one_hot(classes, self.width, dtype=self.labels.dtype)
        return tf.cast(tf.reshape(classes, [-1, *self.labels.shape[1:]]), self.labels.dtype)

    def rows(self, places: tf.Tensor) -> Batch:
        """Returns the rows at some places, int `[m]`."""
        return self._with_each(lambda rows: tf.gather(rows, places))

    def joined_by(self, others: Batch) -> Batch:
        """Returns these rows followed by those of another batch like it."""
        images = tf.concat([self.images, others.images], 0)
        labels = tf.concat([self.labels, others.labels], 0)
        weights = None if self.weights is None else tf.concat([self.weights, others.weights], 0)
        return dataclasses.replace(self, images=images, labels=labels, weights=weights)

    def where(self, mask: tf.Tensor, others: Batch) -> Batch:
        """Returns these rows where the mask, bool `[n]`, is true, and the others elsewhere."""

        def choose(these: tf.Tensor, those: tf.Tensor) -> tf.Tensor:
            shaped = tf.reshape(mask, [-1] + [1] * (these.shape.rank - 1))
            return tf.where(shaped, these, those)

        weights = None if self.weights is None else choose(self.weights, others.weights)
        return dataclasses.replace(
            self,
            images=choose(self.images, others.images),
            labels=choose(self.labels, others.labels),
            weights=weights,
        )

    def _with_each(self, function: Any) -> Batch:
        weights = None if self.weights is None else function(self.weights)
        return dataclasses.replace(
            self, images=function(self.images), labels=function(self.labels), weights=weights
        )


def only_tensor(values: Any, what: str = "input") -> Any:
    """Returns the one tensor of a model's inputs or labels.

    Keras lets it stand under its name, or in a tuple or a list; other lists hold the numbers.

    Raises:
        ValueError: there are several.
    """
    tensors = keras.tree.flatten(values) if isinstance(values, (dict, tuple, list)) else [values]
    if isinstance(values, list) and not any(hasattr(each, "shape") for each in tensors):
        return values
    if len(tensors) != 1:
        raise ValueError(
            f"The model has one {what}, a single tensor. Received: {len(tensors)} tensors."
        )
    return tensors[0]


def row_weights(weights: Any, dtype: str = "float32") -> tf.Tensor | None:
    """Returns Keras's `sample_weight`, of any dtype, as one number per row, `[n]`.

    Raises:
        TypeError: it holds no numbers.
        ValueError: it has another shape.
    """
    if weights is None:
        return None
    try:
        weights = tf.convert_to_tensor(weights)
    except (TypeError, ValueError):
        raise TypeError(
            "`sample_weight` must be an array, one weight for each image. Received: "
            f"{type(weights).__name__}."
        ) from None
    if weights.dtype == tf.string or weights.dtype.is_complex:
        raise TypeError(f"`sample_weight` must hold real numbers. Received: {weights.dtype.name}.")
    if weights.shape.rank == 1 or (weights.shape.rank == 2 and weights.shape[1] == 1):
        return tf.cast(tf.reshape(weights, [-1]), dtype)
    raise ValueError(
        "`sample_weight` must hold one weight for each image, [n] or [n, 1]. Received: weights of "
        f"shape {tuple(weights.shape)}."
    )
