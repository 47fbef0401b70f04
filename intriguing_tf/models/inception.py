"""GoogLeNet: nine Inception modules, without the auxiliary classifiers of its training."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from intriguing_tf.layers import CeilMaxPooling2D, LocalResponseNormalization
from intriguing_tf.models.imagenet import CAFFE_MEAN, CLASSES, pixels

# Module: outputs of 1x1; of 3x3 after its reduction; of 5x5 after its; of the pool's projection.
_MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


def googlenet(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> keras.Model:
    """Returns GoogLeNet, in the form of its Caffe reference.

    6 998 552 weights at 1000 classes (Szegedy et al. 2014, arXiv 1409.4842, table 1;
    `bvlc_googlenet` of Caffe's model zoo). Layers are named as in Caffe with "_" for "/":
    conv1_7x7_s2, inception_3a_1x1 ... loss3_classifier.

    Args:
        classes: number of logits.
        input_shape: `(height, width, 3)`; pretrained weights were made at 224.

    Returns:
        A `keras.Model`: RGB images `[n, height, width, 3]` in [0, 1] to logits `[n, classes]`.

    Raises:
        ValueError: when `input_shape` is not that of RGB images, or `classes` is
            not a positive integer.

    Example:

        model = itf.models.googlenet()
    """
    inputs, x = pixels(input_shape, CAFFE_MEAN, 1.0, classes)
    x = layers.ZeroPadding2D(3, name="conv1_padding")(x)
    x = layers.Conv2D(64, 7, strides=2, activation="relu", name="conv1_7x7_s2")(x)
    x = CeilMaxPooling2D(3, 2, name="pool1_3x3_s2")(x)
    x = LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name="pool1_norm1")(x)
    x = _conv(x, "conv2_3x3_reduce", 64, 1)
    x = _conv(x, "conv2_3x3", 192, 3)
    x = LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name="conv2_norm2")(x)
    x = CeilMaxPooling2D(3, 2, name="pool2_3x3_s2")(x)
    for module in _MODULES:
        if module == "4a":
            x = CeilMaxPooling2D(3, 2, name="pool3_3x3_s2")(x)
        if module == "5a":
            x = CeilMaxPooling2D(3, 2, name="pool4_3x3_s2")(x)
        x = _inception(x, module)
    x = layers.GlobalAveragePooling2D(name="pool5_7x7_s1")(x)
    x = layers.Dropout(0.4, name="pool5_drop_7x7_s1")(x)
    logits = layers.Dense(classes, name="loss3_classifier")(x)
    return keras.Model(inputs, logits, name="googlenet")


def _inception(x: Any, module: str) -> Any:
    ones, threes, fives, projection = _MODULES[module]
    name = f"inception_{module}"
    pooled = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    branches = [
        _conv(x, f"{name}_1x1", ones, 1),
        _conv(_conv(x, f"{name}_3x3_reduce", threes[0], 1), f"{name}_3x3", threes[1], 3),
        _conv(_conv(x, f"{name}_5x5_reduce", fives[0], 1), f"{name}_5x5", fives[1], 5),
        _conv(pooled, f"{name}_pool_proj", projection, 1),
    ]
    return layers.Concatenate(name=f"{name}_output")(branches)


def _conv(x: Any, name: str, filters: int, size: int) -> Any:
    return layers.Conv2D(filters, size, padding="same", activation="relu", name=name)(x)
