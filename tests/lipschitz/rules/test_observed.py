"""What moves numbers is seen; what mixes them is not taken for it."""

import keras
import numpy as np
import pytest
from keras import ops

import intriguing_tf as itf
from intriguing_tf.lipschitz.rules.observed import CONSTANT, movement
from intriguing_tf.lipschitz.steps import NoBoundError

MIXES = {
    "means of neighbours": lambda x: (x[:, 1:] + x[:, :-1]) / 2,
    "means of three": lambda x: (x[:, 2:] + x[:, 1:-1] + x[:, :-2]) / 3,
    "a line through two": lambda x: 2 * x[:, 1:] - x[:, :-1],
    "the mirror of each": lambda x: ops.mean(x, axis=1, keepdims=True) * 2 - x,
    "sorted": lambda x: ops.sort(x, axis=1),
    "another example's": lambda x: ops.flip(x, axis=0),
    "a larger number": lambda x: x + 1,
}


@pytest.mark.parametrize("function", MIXES.values(), ids=MIXES)
@pytest.mark.parametrize("size", [3, 5, 64])
def test_mixtures_are_refused(function, size):
    with pytest.raises(NoBoundError, match="more than moving"):
        movement(function, (None, size))


def test_movements_are_found():
    order = np.random.default_rng(0).permutation(30)
    found = movement(lambda x: ops.take(ops.reshape(x, (-1, 30)), order, axis=1), (None, 5, 6))
    np.testing.assert_array_equal(found.outputs[0], order)
    padded = movement(lambda x: ops.pad(x, ((0, 0), (1, 2))), (None, 2)).outputs[0]
    np.testing.assert_array_equal(padded, [CONSTANT, 0, 1, CONSTANT, CONSTANT])
    assert movement(lambda x: ops.repeat(x, 3, axis=1), (None, 4)).most == 3


@pytest.mark.parametrize("crop", [(3, 2), (2, 3), (4, 4), (3, 3)])
@pytest.mark.parametrize("size", [1, 2])  # of one pixel it makes copies, but in float32
def test_a_crop_that_resizes_smaller_images_is_refused(size, crop):
    model = keras.Sequential([keras.Input((size, size, 2)), keras.layers.CenterCrop(*crop)])
    with pytest.raises(NoBoundError, match=f"smaller than its crop.*{size} × {size} for"):
        itf.lipschitz.bound(model, verbose=False)
