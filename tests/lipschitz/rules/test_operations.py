"""Rules of operations without a layer."""

from __future__ import annotations

import keras
import pytest

from intriguing_tf.lipschitz import bound


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
