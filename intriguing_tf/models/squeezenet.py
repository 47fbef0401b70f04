"""SqueezeNet 1.1: AlexNet's accuracy from a fiftieth of its weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from intriguing_tf.layers import CeilMaxPooling2D
from intriguing_tf.models.imagenet import CAFFE_MEAN, CLASSES, pixels


def squeezenet_1_1(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (227, 227, 3)
) -> keras.Model:
    """Returns SqueezeNet 1.1, in the form of its Caffe original.

    1 235 496 weights at 1000 classes (Iandola et al. 2016, arXiv 1602.07360, release 1.1). Layers
    are named as in Caffe with "_" for "/": conv1, fire2_squeeze1x1 ... conv10.

    Args:
        classes: number of logits.
        input_shape: `(height, width, 3)`; at least 3 pixels each way. Pretrained weights
            were made at 227.

    Returns:
        A `keras.Model`: RGB images `[n, height, width, 3]` in [0, 1] to logits `[n, classes]`.

    Raises:
        ValueError: when `input_shape` is not that of RGB images, or is too small, or `classes` is
            not a positive integer.

    Example:

        model = itf.models.squeezenet_1_1()
    """
    inputs, x = pixels(input_shape, CAFFE_MEAN, 1.0, classes, least=3)
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(x)
    x = CeilMaxPooling2D(3, 2, name="pool1")(x)
    x = _fire(x, "fire2", 16, 64)
    x = _fire(x, "fire3", 16, 64)
    x = CeilMaxPooling2D(3, 2, name="pool3")(x)
    x = _fire(x, "fire4", 32, 128)
    x = _fire(x, "fire5", 32, 128)
    x = CeilMaxPooling2D(3, 2, name="pool5")(x)
    x = _fire(x, "fire6", 48, 192)
    x = _fire(x, "fire7", 48, 192)
    x = _fire(x, "fire8", 64, 256)
    x = _fire(x, "fire9", 64, 256)
    x = layers.Dropout(0.5, name="drop9")(x)
    x = layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
    return keras.Model(
        inputs, layers.GlobalAveragePooling2D(name="pool10")(x), name="squeezenet_1_1"
    )


def _fire(x: Any, name: str, squeeze: int, expand: int) -> Any:
    x = layers.Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    wide = [
        layers.Conv2D(
            expand, size, padding="same", activation="relu", name=f"{name}_expand{size}x{size}"
        )(x)
        for size in (1, 3)
    ]
    return layers.Concatenate(name=f"{name}_concat")(wide)
