"""Layers of every kind of rule against closed forms."""

from __future__ import annotations

import math

import pytest
from keras import layers

import intriguing_tf as itf
from tests.lipschitz.small_networks import total


@pytest.mark.parametrize(
    "layer, value",
    [
        (layers.MaxPooling2D(3, 2), 2.0),
        (layers.MaxPooling2D(2), 1.0),
        (layers.MaxPooling2D(3, 1), 3.0),
        (layers.AveragePooling2D(2), 0.5),
        (layers.GlobalAveragePooling2D(), 1 / 6),
        (layers.GlobalMaxPooling2D(), 1.0),
        (layers.UpSampling2D(2), 2.0),
        (layers.UpSampling2D(2, interpolation="bilinear"), 2.0),
        (layers.ZeroPadding2D(2), 1.0),
        (layers.Cropping2D(1), 1.0),
        (layers.Rescaling(-3.0), 3.0),
        (layers.LeakyReLU(2.0), 2.0),
        (layers.ReLU(6.0), 1.0),
        (layers.ELU(3.0), 3.0),
        (layers.Softmax(), 0.5),
        (layers.Activation("log_softmax"), 2.0),
        (layers.Dropout(0.5), 1.0),
        (layers.RandomFlip(), 1.0),
        (layers.LayerNormalization(epsilon=0.25), 2.0),
        (layers.GroupNormalization(2, epsilon=0.25), 2.0),
        (layers.RMSNormalization(epsilon=0.25), 2.0),
        (itf.layers.LocalResponseNormalization(9, k=4.0, beta=0.5), 0.5),
        (itf.layers.LocalResponseNormalization(3, k=1.0, beta=1.0), 1 + math.sqrt(2) / 2),
        (itf.layers.L2Pooling2D(2, 1), 2.0),
        (itf.layers.CeilMaxPooling2D(3, 2), 2.0),
        (itf.layers.GroupSort(2), 1.0),
        (itf.layers.GroupSort(3, axis=1), 1.0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_closed_forms(layer, value):
    # Interpolation allows 1e-5 per axis for a float32 layer.
    assert total(layer) == pytest.approx(value, rel=3e-5)
    assert total(layer) >= value * (1 - 1e-9)
