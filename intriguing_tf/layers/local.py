"""Local filtering without weight sharing: every position has filters of its own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from intriguing_tf.checks import check_positive_integer
from intriguing_tf.layers.pooling import pair


@keras.saving.register_keras_serializable(package="intriguing_tf")
class LocallyConnected2D(keras.layers.Layer):
    """A convolution whose kernel is not shared between positions ("untied").

    y[i, j] = W[i, j]ᵀ · patch(x, i, j) + b[i, j]: QuocNet's filtering (Le et al. 2012,
    arXiv 1112.6209, section 3). Keras 2 had a layer of this name, Keras 3 has none.

    Args:
        filters: outputs per position.
        kernel_size: height and width of the receptive field, or one integer for both.
        strides: likewise.
        activation: as in `keras.layers.Dense`; `None` is linear.
        use_bias: whether each output has a bias.
        kernel_initializer: as in `keras.layers.Dense`; `None` is a normal distribution of
            variance 1/(inputs of one output).

    Input: float `[n, height, width, channels]`, height and width known. Output:
    `[n, rows, columns, filters]`, windows wholly on the map ("valid"). Weights: `kernel`
    `[rows, columns, kernel height × kernel width × channels, filters]`, `bias`
    `[rows, columns, filters]`.

    Raises:
        ValueError: if an argument is not positive, the size of the input is unknown, or the
            receptive field is larger than the input.

    Example:

        layer = itf.layers.LocallyConnected2D(8, 18)
        layer(tf.zeros([1, 28, 28, 3])).shape  # (1, 11, 11, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = pair(kernel_size, "kernel_size", least=1)
        self.strides = pair(strides, "strides", least=1)
        check_positive_integer("filters", filters)
        self.filters = int(filters)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        _, rows, columns, _ = self.compute_output_shape(input_shape)
        fan_in = int(np.prod(self.kernel_size)) * input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(rows, columns, fan_in, self.filters),
            # A scaling initializer would count the positions as inputs.
            initializer=self.kernel_initializer
            or keras.initializers.RandomNormal(stddev=fan_in**-0.5),
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(rows, columns, self.filters), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        outputs = ops.einsum("nijp,ijpf->nijf", self.patches(inputs), self.kernel)
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def patches(self, inputs: Any) -> Any:
        """Returns the receptive fields, `[n, rows, columns, kernel height × width × channels]`."""
        _, rows, columns, _ = self.compute_output_shape(inputs.shape)
        row_step, column_step = self.strides
        # Slices, because the gradient of tf.image.extract_patches is a slow sparse product.
        fields = [
            inputs[
                :,
                row : row + (rows - 1) * row_step + 1 : row_step,
                column : column + (columns - 1) * column_step + 1 : column_step,
            ]
            for row in range(self.kernel_size[0])
            for column in range(self.kernel_size[1])
        ]
        return ops.reshape(ops.stack(fields, axis=3), (-1, rows, columns, self.kernel.shape[2]))

    def adjoint(self, outputs: Any, input_shape: tuple[int, int, int]) -> Any:
        """Applies the transpose of the filters: the decoder of a reconstruction with tied weights.

        Args:
            outputs: float `[n, rows, columns, filters]`.
            input_shape: `(height, width, channels)` of the maps to return.

        Returns:
            Float `[n, height, width, channels]`: Wᵀ applied to `outputs`.
        """
        fields = ops.einsum("nijf,ijpf->nijp", outputs, self.kernel)
        origin = ops.zeros((ops.shape(outputs)[0], *input_shape), dtype=fields.dtype)
        # The transpose of a linear map is its vector-Jacobian product, taken anywhere.
        with tf.GradientTape() as tape:
            tape.watch(origin)
            patches = self.patches(origin)
        return tape.gradient(patches, origin, output_gradients=fields)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, int, int, int]:
        batch, *size, _ = input_shape
        if None in size:
            raise ValueError(
                "LocallyConnected2D needs to know the height and width of its input. "
                f"Received: input of shape {tuple(input_shape)}."
            )
        output = [
            (length - field) // stride + 1
            for length, field, stride in zip(size, self.kernel_size, self.strides, strict=True)
        ]
        if min(output) < 1:
            raise ValueError(
                "The receptive field must fit in the input. Received: "
                f"kernel_size={self.kernel_size}, input of shape {tuple(input_shape)}."
            )
        return (batch, output[0], output[1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer
            and keras.initializers.serialize(self.kernel_initializer),
        }
