"""Pooling that Keras lacks: Caffe's windows that hang over the edge, and L2 pooling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from intriguing_tf.checks import check_positive
from intriguing_tf.layers.precision import narrowed, widened

Shape = tuple[int | None, ...]


class _CeilPooling2D(keras.layers.Layer):
    """Geometry of Caffe's pooling: output sizes are rounded up, not down."""

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        strides: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = pair(pool_size, "pool_size", least=1)
        self.strides = pair(pool_size if strides is None else strides, "strides", least=1)
        self.padding = pair(padding, "padding", least=0)
        self.input_spec = keras.InputSpec(ndim=4)
        if any(p >= k for p, k in zip(self.padding, self.pool_size, strict=True)):
            raise ValueError(
                "`padding` must be smaller than `pool_size`, or windows lie wholly outside. "
                f"Received: padding={self.padding}, pool_size={self.pool_size}."
            )

    def output_length(self, length: int, axis: int) -> int:
        """Returns the number of windows over `length` pixels along `axis` (0 rows, 1 columns)."""
        pool, stride, pad = self.pool_size[axis], self.strides[axis], self.padding[axis]
        windows = max(-(-(length + 2 * pad - pool) // stride), 0) + 1
        # A last window that would start beyond the map and its padding is left out.
        if (windows - 1) * stride >= length + pad:
            windows -= 1
        return windows

    def overhang(self, length: int, axis: int) -> tuple[int, int]:
        """Returns how many pixels outside the map the windows reach: (before, after)."""
        span = (self.output_length(length, axis) - 1) * self.strides[axis] + self.pool_size[axis]
        return self.padding[axis], max(span - length - self.padding[axis], 0)

    def build(self, input_shape: Shape) -> None:
        self._known_size(input_shape)

    def _padded(self, inputs: Any, value: float) -> Any:
        rows, columns = self._known_size(inputs.shape)
        padding = [(0, 0), self.overhang(rows, 0), self.overhang(columns, 1), (0, 0)]
        if not any(map(any, padding)):
            return inputs
        return ops.pad(inputs, padding, constant_values=value)

    def _known_size(self, input_shape: Shape) -> tuple[int, int]:
        rows, columns = input_shape[1:3]
        if rows is None or columns is None:
            raise ValueError(
                f"{type(self).__name__} needs to know the height and width of its input. "
                f"Received: input of shape {tuple(input_shape)}."
            )
        return rows, columns

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, rows, columns, channels = input_shape
        return (
            batch,
            None if rows is None else self.output_length(rows, 0),
            None if columns is None else self.output_length(columns, 1),
            channels,
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package="intriguing_tf")
class CeilMaxPooling2D(_CeilPooling2D):
    """Max pooling as Caffe does it: a last window may hang over the right and lower edge.

    Keras's "valid" drops the pixels that do not fill a window, and "same" spreads the missing
    ones over both sides; Caffe keeps them and lets the window hang over the far side only.

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: likewise; `None` is `pool_size`.
        padding: pixels outside each side; smaller than `pool_size`. They never win.

    Input: float `[n, height, width, channels]`, height and width known when the layer is built.

    Raises:
        ValueError: if an argument is out of its range, or height or width is unknown.

    Example:

        itf.layers.CeilMaxPooling2D(3, strides=2)(tf.zeros([1, 112, 112, 64])).shape
        # (1, 56, 56, 64); "valid" would give 55
    """

    def call(self, inputs: Any) -> Any:
        return ops.max_pool(
            self._padded(inputs, -float("inf")),
            self.pool_size,
            self.strides,
            padding="valid",
            data_format="channels_last",
        )


@keras.saving.register_keras_serializable(package="intriguing_tf")
class CeilAveragePooling2D(_CeilPooling2D):
    """Average pooling as Caffe does it: a last window may hang over the right and lower edge.

    The sum over a window is divided by the number of its pixels that lie on the map or its
    `padding`; what hangs over beyond that does not count.

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: likewise; `None` is `pool_size`.
        padding: zeros outside each side; smaller than `pool_size`.

    Input: float `[n, height, width, channels]`, height and width known when the layer is built.

    Raises:
        ValueError: if an argument is out of its range, or height or width is unknown.

    Example:

        itf.layers.CeilAveragePooling2D(3, strides=2)(tf.zeros([1, 8, 8, 4])).shape  # (1, 4, 4, 4)
    """

    def call(self, inputs: Any) -> Any:
        rows, columns = self._known_size(inputs.shape)
        means = ops.average_pool(
            self._padded(inputs, 0.0),
            self.pool_size,
            self.strides,
            padding="valid",
            data_format="channels_last",
        )
        weights = [
            [self.pool_size[axis] / count for count in self._counts(length, axis)]
            for axis, length in enumerate((rows, columns))
        ]
        correction = [[[[by_row * by_column] for by_column in weights[1]] for by_row in weights[0]]]
        return means * ops.cast(correction, means.dtype)

    def _counts(self, length: int, axis: int) -> list[int]:
        pool, stride, pad = self.pool_size[axis], self.strides[axis], self.padding[axis]
        starts = [i * stride - pad for i in range(self.output_length(length, axis))]
        return [min(start + pool, length + pad) - start for start in starts]


@keras.saving.register_keras_serializable(package="intriguing_tf")
class L2Pooling2D(keras.layers.Layer):
    """Root of the sum of squares over a window, channel by channel.

    y = sqrt(ε + Σ x²) over windows that lie wholly on the map: QuocNet's pooling, and the unit
    whose sparsity its training asks for (Le et al. 2012, arXiv 1112.6209, section 3).

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: likewise; `None` is 1: the windows overlap as much as they can.
        epsilon: ε, positive; keeps the slope finite at zero.

    Input: float `[n, height, width, channels]`.

    Raises:
        TypeError: if `epsilon` is no number.
        ValueError: if an argument is out of its range, or the windows are larger than the map.

    Example:

        itf.layers.L2Pooling2D(5)(tf.zeros([1, 28, 28, 8])).shape  # (1, 24, 24, 8)
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 5,
        strides: int | tuple[int, int] | None = None,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = pair(pool_size, "pool_size", least=1)
        self.strides = pair(1 if strides is None else strides, "strides", least=1)
        self.epsilon = check_positive("epsilon", epsilon)
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        if min(size or 1 for size in self.compute_output_shape(input_shape)[1:3]) < 1:
            raise ValueError(
                f"The windows must fit in the map. Received: pool_size={self.pool_size}, input of "
                f"shape {tuple(input_shape)}."
            )

    def call(self, inputs: Any) -> Any:
        means = ops.average_pool(
            ops.square(widened(inputs)),
            self.pool_size,
            self.strides,
            padding="valid",
            data_format="channels_last",
        )
        norms = ops.sqrt(self.epsilon + means * (self.pool_size[0] * self.pool_size[1]))
        return narrowed(norms, self, inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *size, channels = input_shape
        pooled = [
            None if length is None else (length - pool) // stride + 1
            for length, pool, stride in zip(size, self.pool_size, self.strides, strict=True)
        ]
        return (batch, *pooled, channels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "epsilon": self.epsilon,
        }


def pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    """Returns two integers, given as such or as one for both, or raises a ValueError."""
    values = list(value) if isinstance(value, Iterable) else [value] * 2
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    if len(values) != 2 or not whole or min(values) < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least} or two of them. Received: {value!r}."
        )
    return int(values[0]), int(values[1])
