"""The images that training saw last, from which pools are renewed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.classifier import input_shape
from intriguing_tf.training.batch import Batch


class RecentImages:
    """The images that training saw last, as variables of the model.

    Args:
        model: the classifier that is trained.
        size: how many are kept.
        dtype: of the images.
        variable: as for `PoolMemory`.
    """

    def __init__(self, model: keras.Model, size: int, dtype: str, variable: Callable):
        self.size = size
        self._images = variable("recent_images", (size, *fixed_input_shape(model)), dtype, 0)
        self._labels = variable("recent_labels", (size,), "int64", 0)
        self._seen = variable("images_seen", (), "int64", 0)

    def keep_weights(self, variable: Callable[..., keras.Variable]) -> None:
        """Makes the variable of the weights, after all that earlier releases saved."""
        self._weights = variable("recent_weights", (self.size,), "float32", 1)

    def add(self, batch: Batch) -> None:
        """Takes up a batch; of one larger than the memory, its first rows."""
        count = tf.minimum(tf.shape(batch.images)[0], self.size)
        first = tf.cast(self._seen.value % self.size, tf.int32)
        places = ((first + tf.range(count)) % self.size)[:, None]
        images = tf.cast(batch.images[:count], self._images.dtype)
        weights = tf.ones([count]) if batch.weights is None else batch.weights[:count]
        write_rows(self._images, places, images)
        write_rows(self._labels, places, batch.classes[:count])
        write_rows(self._weights, places, tf.cast(weights, tf.float32))
        self._seen.assign_add(tf.cast(count, tf.int64))

    def latest(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Returns the last images, labels and weights; `None` while there are too few."""
        seen = int(self._seen.numpy())
        if seen < number:
            return None
        places = np.arange(seen - number, seen) % self.size
        kept = (self._images, self._labels, self._weights)
        return tuple(each.numpy()[places] for each in kept)  # type: ignore[return-value]


def write_rows(variable: keras.Variable, places: Any, rows: Any) -> None:
    """Writes rows `[k, …]` in place, at places `[k, 1]`; also where a strategy has one device."""
    value = variable.value
    replicas = value.values if isinstance(value, tf.distribute.DistributedValues) else (value,)
    if len(replicas) > 1:
        raise ValueError(f"Pools are kept on one device. Received: {variable.path} on several.")
    replicas[0].scatter_nd_update(places, rows)


def fixed_input_shape(model: keras.Model) -> tuple[int, ...]:
    """Returns the shape of one input.

    Raises:
        ValueError: it is not known, or not fixed.
    """
    shape = input_shape(model)
    sizes = tuple(size for size in shape or () if size is not None)
    if shape is None or len(sizes) < len(shape):
        raise ValueError(
            f"A pool needs inputs of a known size. Received: model {model.name!r} with inputs of "
            f"shape {shape}."
        )
    return sizes
