"""Normalisation by neighbours: across channels (AlexNet), across positions (QuocNet)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from intriguing_tf.checks import check_positive, check_positive_integer, one_number
from intriguing_tf.layers.precision import narrowed, widened


@keras.saving.register_keras_serializable(package="intriguing_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by a power of the energy of its neighbouring channels.

    y_i = x_i · (k + α/n · Σ_j x_j²)^(−β), the sum over the n channels centered on i that exist
    (Krizhevsky et al. 2012, section 3.3). As in Caffe, α is divided by n; Krizhevsky's own
    formula has no such division, so his α = 1e-4 is Caffe's α = 5e-4 at n = 5.

    Args:
        size: n, the number of channels in the window; odd, at most 9999.
        alpha: α, at least 0.
        beta: β, at least 0.
        k: the constant, positive.

    Input and output: float `[..., channels]`.

    Raises:
        TypeError: if an argument is no number.
        ValueError: if an argument is out of its range.

    Example:

        layer = itf.layers.LocalResponseNormalization(size=5, alpha=1e-4, beta=0.75)
        layer(tf.ones([1, 55, 55, 96]))
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_size(size, 9999)
        self.size = int(size)
        self.alpha = one_number("alpha", alpha)
        self.beta = one_number("beta", beta)
        self.k = one_number("k", k)
        if not (0 <= self.alpha < np.inf and 0 <= self.beta < np.inf and 0 < self.k < np.inf):
            raise ValueError(
                "`alpha` and `beta` must be at least 0, `k` positive, and all finite. "
                f"Received: alpha={alpha}, beta={beta}, k={k}."
            )

    def call(self, inputs: Any) -> Any:
        # tf.nn.local_response_normalization would do, but has no float64 and no second derivative.
        # One product with a banded matrix sums every window at once.
        channels = np.arange(inputs.shape[-1])
        window = np.abs(channels[:, None] - channels) <= self.size // 2
        x = widened(inputs)
        energy = ops.matmul(ops.square(x), ops.cast(window, x.dtype))
        return narrowed(x * (self.k + self.alpha / self.size * energy) ** -self.beta, self, inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "size": self.size,
            "alpha": self.alpha,
            "beta": self.beta,
            "k": self.k,
        }


@keras.saving.register_keras_serializable(package="intriguing_tf")
class LocalContrastNormalization(keras.layers.Layer):
    """Subtracts the local mean, then divides by the local standard deviation.

    v = x − G ∗ x and y = v / max(floor, sqrt(G ∗ v²)). G is a Gaussian window over positions,
    spread evenly over all channels, with total weight 1; outside the map there are zeros
    (Jarrett et al. 2009, section 2; Le et al. 2012, arXiv 1112.6209, appendix).

    Args:
        size: width of the window in pixels; odd, at most 999.
        stddev: standard deviation of the Gaussian in pixels; `None` is a quarter of `size`.
        floor: the least divisor, positive; keeps flat regions flat.

    Input and output: float `[n, height, width, channels]`.

    Raises:
        TypeError: if an argument is no number.
        ValueError: if an argument is out of its range.

    Example:

        itf.layers.LocalContrastNormalization(size=5)(tf.zeros([1, 28, 28, 8]))
    """

    def __init__(
        self,
        size: int = 5,
        stddev: float | None = None,
        floor: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_size(size, 999)  # the window is an array of size²
        self.size = int(size)
        self.stddev = None if stddev is None else check_positive("stddev", stddev)
        self.floor = check_positive("floor", floor)
        self.input_spec = keras.InputSpec(ndim=4)

    @property
    def window(self) -> np.ndarray:
        """G over positions: float64 `[size, size]`, sum 1."""
        offsets = np.arange(self.size) - self.size // 2
        profile = np.exp(-0.5 * (offsets / (self.stddev or self.size / 4)) ** 2)
        window = np.outer(profile, profile)
        return window / window.sum()

    def call(self, inputs: Any) -> Any:
        x = widened(inputs)
        centered = x - self._local_mean(x)
        variance = self._local_mean(ops.square(centered))
        # The maximum is taken of the squares: the root has no finite slope at zero.
        normalized = centered / ops.sqrt(ops.maximum(variance, self.floor * self.floor))
        return narrowed(normalized, self, inputs)

    def _local_mean(self, values: Any) -> Any:
        over_channels = ops.mean(values, axis=-1, keepdims=True)
        kernel = ops.cast(self.window[:, :, None, None], values.dtype)
        return ops.conv(over_channels, kernel, padding="same", data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "size": self.size,
            "stddev": self.stddev,
            "floor": self.floor,
        }


def _check_size(size: int, most: int) -> None:
    check_positive_integer("size", size)
    if size % 2 == 0 or size > most:
        raise ValueError(
            f"`size` must be an odd positive integer, at most {most}. Received: size={size}."
        )
