"""EfficientNet-Lite: inverted residual blocks with ReLU6, made for phones."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from intriguing_tf.models.imagenet import CLASSES, pixels

# Lite0's stages: blocks, kernel, stride of the first block, expansion, output channels.
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
    return _efficientnet_lite("efficientnet_lite0", classes, input_shape)


def efficientnet_lite1(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (240, 240, 3)
) -> keras.Model:
    """Returns EfficientNet-Lite1: Lite0 with 1.1 times as many blocks, for images of 240.

    Args:
        classes, input_shape: as of `efficientnet_lite0`; pretrained weights were made at 240.

    Returns:
        As `efficientnet_lite0`.

    Raises:
        ValueError: as `efficientnet_lite0`.

    Example:

        model = itf.models.efficientnet_lite1()
    """
    return _efficientnet_lite("efficientnet_lite1", classes, input_shape, depth=1.1)


def efficientnet_lite2(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (260, 260, 3)
) -> keras.Model:
    """Returns EfficientNet-Lite2: 1.1 times Lite0's width, 1.2 times its depth, for images of 260.

    Args:
        classes, input_shape: as of `efficientnet_lite0`; pretrained weights were made at 260.

    Returns:
        As `efficientnet_lite0`.

    Raises:
        ValueError: as `efficientnet_lite0`.

    Example:

        model = itf.models.efficientnet_lite2()
    """
    return _efficientnet_lite(
        "efficientnet_lite2", classes, input_shape, width=1.1, depth=1.2, dropout=0.3
    )


def _efficientnet_lite(
    name: str,
    classes: int,
    input_shape: tuple[int, int, int],
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
) -> keras.Model:
    """Scales Lite0: `width` multiplies the channels, `depth` the blocks of a stage.

    Stem, head, and the number of blocks of the first and the last stage are not scaled.
    """
    inputs, x = pixels(input_shape, (127.0,) * 3, 128.0, classes)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_stem")(x)
    x = _normalize(x, "bn0")
    index = 0
    for stage, (blocks, kernel_size, stride, expansion, filters) in enumerate(_STAGES):
        inner = 0 < stage < len(_STAGES) - 1
        for block in range(math.ceil(depth * blocks) if inner else blocks):
            first = stride if block == 0 else 1
            x = _block(x, f"blocks_{index}", kernel_size, first, expansion, _scaled(filters, width))
            index += 1
    x = layers.Conv2D(1280, 1, use_bias=False, name="conv_head")(x)
    x = _normalize(x, "bn1")
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc")(x), name=name)


def _scaled(filters: int, width: float) -> int:
    """Returns the multiple of 8 nearest to `width` times as many filters, at least nine tenths."""
    wanted = filters * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


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
