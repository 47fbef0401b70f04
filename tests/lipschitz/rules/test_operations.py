"""Rules of operations without a layer."""

from __future__ import annotations

import keras
import pytest

from intriguing_tf.lipschitz import bound
from intriguing_tf.lipschitz.steps import NoBoundError
from tests.lipschitz.small_networks import sequential


def test_operations_without_layers():
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, keras.ops.relu(x[:, 1:, ..., ::-1] / 0.5 - 1.0) * 3.0 + 1.0)
    assert bound(model).total == pytest.approx(6.0)
    with pytest.raises(ValueError, match="broadcast"):
        bound(keras.Model(x, x + keras.ops.ones((4, 1, 4, 4, 3))))
    with pytest.raises(ValueError, match="depends on the input"):
        bound(keras.Model(x, 1.0 / x))
    with pytest.raises(ValueError, match="Layer of its own"):
        bound(keras.Model(x, keras.ops.square(x)))


def test_shapes_that_keras_has_wrong_are_refused():
    x = keras.Input((6, 2))
    turned = keras.ops.rot90(x, 2, axes=(1, 2))  # Keras says (2, 6)
    model = keras.Model(x, keras.ops.mean(turned, axis=1))
    with pytest.raises(NoBoundError, match=r"has shape \(None, 6, 2\), and Keras says"):
        bound(model, verbose=False)


def test_means_of_neighbours_do_not_pass_for_moved_numbers():
    model = sequential((2, 2, 1), keras.layers.CenterCrop(3, 2))  # resizes: it is smaller
    with pytest.raises(NoBoundError, match="more than moving"):
        bound(model, verbose=False)
