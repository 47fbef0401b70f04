"""EfficientNet-Lite0: inverted residual blocks with ReLU6, made for phones."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from intriguing_tf.models.imagenet import CLASSES, pixels

# Stage: blocks, kernel, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> keras.Model:
    """Returns EfficientNet-Lite0.

    EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) without squeeze-and-excitation and with
    ReLU6 for swish. 4 652 008 trained weights and 42 016 running moments at 1000 classes. Layers
    are named as in the PyTorch port of its weights: conv_stem, blocks_0_depthwise_conv ... fc.

    Args:
        classes: number of logits.
        input_shape: `(height, width, 3)`; pretrained weights were made at 224.

    Returns:
        A `keras.Model`: RGB images `[n, height, width, 3]` in [0, 1] to logits `[n, classes]`.

    Raises:
        ValueError: when `input_shape` is not that of RGB images, or `classes` is
            not a positive integer.

    Example:

        model = itf.models.efficientnet_lite0()
    """
    inputs, x = pixels(input_shape, (127.0,) * 3, 128.0, classes)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_stem")(x)
    x = _normalize(x, "bn0")
    index = 0
    for blocks, kernel_size, stride, expansion, filters in _STAGES:
        for block in range(blocks):
            first = stride if block == 0 else 1
            x = _block(x, f"blocks_{index}", kernel_size, first, expansion, filters)
            index += 1
    x = layers.Conv2D(1280, 1, use_bias=False, name="conv_head")(x)
    x = _normalize(x, "bn1")
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc")(x), name="efficientnet_lite0")


def _block(x: Any, name: str, kernel_size: int, stride: int, expansion: int, filters: int) -> Any:
    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = layers.Conv2D(channels * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalize(x, f"{name}_bn0")
    x = layers.DepthwiseConv2D(
        kernel_size, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _normalize(x, f"{name}_bn1")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn2")(x)
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _normalize(x: Any, name: str) -> Any:
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=name)(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x)
