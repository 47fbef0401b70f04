"""Sorting groups of features: an activation that keeps the norm of every gradient."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from intriguing_tf.checks import check_kind, check_positive_integer

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="intriguing_tf")
class GroupSort(keras.layers.Layer):
    """Sorts neighboring features in groups, in ascending order (Anil, Lucas and Grosse, ICML 2019).

    Each group is permuted, so that gradients keep their norm where a ReLU drops half of them. Where
    the two features of a pair are equal, each passes half of the gradient; larger groups are
    permuted there, too. The Lipschitz constant is 1. Unlike the slopes of a ReLU, a permutation may
    reverse the sign of a difference of two features (eigenvalue −1): bounds of chains end here.

    Args:
        group_size: features per group, at least 2; 2 sorts pairs ("MaxMin").
        axis: along which the features lie; not the batch.

    Input: float `[n, …]`, the size of the axis known and a multiple of `group_size`. Output: the
    same shape.

    Raises:
        TypeError, ValueError: arguments that are not as above; a size that cannot be grouped.

    Example:

        layer = itf.layers.GroupSort(2)
        layer(tf.constant([[3.0, 1.0, 2.0, 5.0]]))  # [[1, 3, 2, 5]]
    """

    def __init__(self, group_size: int = 2, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integer("group_size", group_size)
        check_kind("axis", axis, int, "an int")
        if group_size < 2 or axis == 0:
            raise ValueError(
                "`group_size` must be at least 2 and `axis` not 0, the batch. Received: "
                f"group_size={group_size}, axis={axis}."
            )
        self.group_size, self.axis = int(group_size), axis

    def build(self, input_shape: Shape) -> None:
        self._place(input_shape)

    def call(self, inputs: Any) -> Any:
        groups, axis = self.groups(inputs)
        if self.group_size > 2:
            ordered = ops.sort(groups, axis=axis)
        else:
            # Unlike `maximum`, these pass on equal parts of the gradient where features are equal:
            # otherwise two copies of one of them would stand there, with the norm √2.
            ordered = ops.stack([ops.min(groups, axis), ops.max(groups, axis)], axis=axis)
        return ops.reshape(ordered, ops.shape(inputs))

    def groups(self, inputs: Any) -> tuple[Any, int]:
        """Returns the inputs with one axis more, and that axis, which counts within a group."""
        axis, shape = self._place(inputs.shape), ops.shape(inputs)
        grouped = (shape[axis] // self.group_size, self.group_size)
        return ops.reshape(inputs, (*shape[:axis], *grouped, *shape[axis + 1 :])), axis + 1

    def _place(self, shape: Shape) -> int:
        """Returns the axis as a number from 1 on."""
        rank = len(shape)
        axis = self.axis % rank if -rank <= self.axis < rank else 0
        size = shape[axis]
        if axis == 0 or size is None or size % self.group_size:
            raise ValueError(
                f"GroupSort needs a known number of features along axis {self.axis}, a multiple "
                f"of group_size={self.group_size}. Received: input of shape {tuple(shape)}."
            )
        return axis

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._place(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"group_size": self.group_size, "axis": self.axis}
