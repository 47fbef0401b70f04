"""Grouped convolution that can be differentiated on a CPU."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="intriguing_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose groups are convolved one by one and concatenated.

    Same arguments, weights and output as `keras.layers.Conv2D(groups=...)`. TensorFlow's own
    grouped kernel has no gradient on a CPU unless XLA compiles it, and an adversary needs the
    gradient everywhere. For few groups (AlexNet has two) nothing is lost by the split; for
    depthwise convolutions use `keras.layers.DepthwiseConv2D`.

    Input: float `[n, height, width, channels]`. Output: float `[n, height', width', filters]`.
    With `data_format="channels_first"`, channels and filters stand before height and width.

    Example:

        layer = itf.layers.GroupedConv2D(256, 5, groups=2, padding="same")
        layer(tf.zeros([1, 27, 27, 96])).shape  # (1, 27, 27, 256), kernel [5, 5, 48, 256]
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self.groups == 1:
            return super().convolution_op(inputs, kernel)
        if self.data_format == "channels_last":
            return self._convolved(inputs, kernel)
        # Channels last and back: on many CPUs TensorFlow convolves nothing else.
        outputs = self._convolved(ops.transpose(inputs, (0, 2, 3, 1)), kernel)
        return ops.transpose(outputs, (0, 3, 1, 2))

    def _convolved(self, inputs: Any, kernel: Any) -> Any:
        """Convolves the groups of inputs with channels last, one by one."""
        parts = zip(
            ops.split(inputs, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        options = {
            "strides": list(self.strides),
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "data_format": "channels_last",
        }
        return ops.concatenate([ops.conv(part, own, **options) for part, own in parts], axis=-1)
