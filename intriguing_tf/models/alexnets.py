"""AlexNet: the network of 2012 with its two groups, and the one tower of 2014."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from intriguing_tf.layers import GroupedConv2D, LocalResponseNormalization
from intriguing_tf.models.imagenet import CAFFE_MEAN, CLASSES, pixels

# torchvision's mean and standard deviation of ImageNet, for pixels in [0, 255].
TORCHVISION_MEAN = (123.675, 116.28, 103.53)
TORCHVISION_STDDEV = (58.395, 57.12, 57.375)


def alexnet(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (227, 227, 3)
) -> keras.Model:
    """Returns AlexNet as in 2012, in the form of its Caffe reference.

    Five convolutions, the second, fourth and fifth in two groups; local response normalisation
    before the overlapping max pooling of the first two; three fully connected layers with dropout.
    60 965 224 weights at 1000 classes (Krizhevsky et al. 2012; `bvlc_alexnet` of Caffe's model
    zoo). Layers are named as in Caffe: conv1 ... conv5, fc6, fc7, fc8.

    Args:
        classes: number of logits.
        input_shape: `(height, width, 3)`; at least 67 pixels each way. Pretrained weights need 227.

    Returns:
        A `keras.Model`: RGB images `[n, height, width, 3]` in [0, 1] to logits `[n, classes]`.

    Raises:
        ValueError: when `input_shape` is not that of RGB images, or is too small, or `classes` is
            not a positive integer.

    Example:

        model = itf.models.alexnet()
    """
    inputs, x = pixels(input_shape, CAFFE_MEAN, 1.0, classes, least=67)
    x = _conv(x, "conv1", 96, 11, strides=4, padding="valid")
    x = LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name="norm1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = _conv(x, "conv2", 256, 5, groups=2)
    x = LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name="norm2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    x = _conv(x, "conv3", 384, 3)
    x = _conv(x, "conv4", 384, 3, groups=2)
    x = _conv(x, "conv5", 256, 3, groups=2)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(4096, activation="relu", name="fc6")(x)
    x = layers.Dropout(0.5, name="drop6")(x)
    x = layers.Dense(4096, activation="relu", name="fc7")(x)
    x = layers.Dropout(0.5, name="drop7")(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc8")(x), name="alexnet")


def alexnet_one_tower(
    classes: int = CLASSES, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> keras.Model:
    """Returns the AlexNet of one tower, without groups or normalisation.

    61 100 840 weights at 1000 classes (Krizhevsky 2014, arXiv 1404.5997, as in torchvision).
    Layers are named as their weights in torchvision: features_0 ... classifier_6.

    Args:
        classes: number of logits.
        input_shape: `(height, width, 3)`; at least 63 pixels each way. Pretrained weights need 224.

    Returns:
        A `keras.Model`: RGB images `[n, height, width, 3]` in [0, 1] to logits `[n, classes]`.

    Raises:
        ValueError: when `input_shape` is not that of RGB images, or is too small, or `classes` is
            not a positive integer.

    Example:

        model = itf.models.alexnet_one_tower()
    """
    inputs, x = pixels(input_shape, TORCHVISION_MEAN, TORCHVISION_STDDEV, classes, least=63)
    x = layers.ZeroPadding2D(2, name="features_0_padding")(x)
    x = _conv(x, "features_0", 64, 11, strides=4, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="features_2")(x)
    x = _conv(x, "features_3", 192, 5)
    x = layers.MaxPooling2D(3, 2, name="features_5")(x)
    x = _conv(x, "features_6", 384, 3)
    x = _conv(x, "features_8", 256, 3)
    x = _conv(x, "features_10", 256, 3)
    x = layers.MaxPooling2D(3, 2, name="features_12")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, name="classifier_0")(x)
    x = layers.Dense(4096, activation="relu", name="classifier_1")(x)
    x = layers.Dropout(0.5, name="classifier_3")(x)
    x = layers.Dense(4096, activation="relu", name="classifier_4")(x)
    logits = layers.Dense(classes, name="classifier_6")(x)
    return keras.Model(inputs, logits, name="alexnet_one_tower")


def _conv(x: Any, name: str, filters: int, kernel_size: int, groups: int = 1, **options: Any):
    options = {"padding": "same", "activation": "relu", "name": name} | options
    if groups > 1:
        return GroupedConv2D(filters, kernel_size, groups=groups, **options)(x)
    return layers.Conv2D(filters, kernel_size, **options)(x)
