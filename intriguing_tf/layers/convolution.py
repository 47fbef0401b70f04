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

    Example:

        layer = itf.layers.GroupedConv2D(256, 5, groups=2, padding="same")
        layer(tf.zeros([1, 27, 27, 96])).shape  # (1, 27, 27, 256), kernel [5, 5, 48, 256]
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self.groups == 1:
            return super().convolution_op(inputs, kernel)
        return ops.concatenate(
            [
                ops.conv(
                    part,
                    weights,
                    strides=list(self.strides),
                    padding=self.padding,
                    dilation_rate=self.dilation_rate,
                    data_format="channels_last",
                )
                for part, weights in zip(
                    ops.split(inputs, self.groups, axis=-1),
                    ops.split(kernel, self.groups, axis=-1),
                    strict=True,
                )
            ],
            axis=-1,
        )
