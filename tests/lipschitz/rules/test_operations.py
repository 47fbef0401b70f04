"""Rules of operations without a layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from intriguing_tf.lipschitz import bound, certified_radius
from intriguing_tf.lipschitz.steps import NoBoundError


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


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: x + c,
        lambda x, c: keras.ops.subtract(c, x),
        lambda x, c: x * c,
        lambda x, c: x / c,
        keras.ops.maximum,
        keras.ops.logaddexp,
    ],
)
def test_constants_that_differ_from_example_to_example_are_refused(function):
    x = keras.Input(batch_shape=(2, 3))
    assert bound(keras.Model(x, function(x, np.ones((1, 3), "float32")))).total == pytest.approx(1)
    model = keras.Model(x, function(x, np.ones((2, 3), "float32")))
    for use in (bound, lambda model: certified_radius(model, np.ones((2, 3), "float32"))):
        with pytest.raises(NoBoundError, match=r"shape \(2, 3\) is another for each example"):
            use(model)


def test_shapes_that_keras_has_wrong_are_refused():
    x = keras.Input((6, 2))
    turned = keras.ops.rot90(x, 2, axes=(1, 2))  # Keras says (2, 6)
    model = keras.Model(x, keras.ops.mean(turned, axis=1))
    with pytest.raises(NoBoundError, match=r"has shape \(None, 6, 2\), and Keras says"):
        bound(model, verbose=False)
