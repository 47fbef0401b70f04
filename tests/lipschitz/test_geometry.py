"""The torus that holds a layer."""

from __future__ import annotations

from intriguing_tf.lipschitz import (
    torus_shape,
)


def test_torus_shape():
    assert torus_shape((13, 13), (3, 3), padding="same") == (14, 14)
    assert torus_shape((227, 227), (11, 11), 4) == (228, 228)
    assert torus_shape((28,), (5,), padding="valid") == (28,)
