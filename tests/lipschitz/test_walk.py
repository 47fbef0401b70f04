"""The walk over a graph's tensors."""

import gc

import keras
import pytest

import intriguing_tf as itf
from intriguing_tf.lipschitz.convolution import Convolution


class Probe(keras.layers.Layer):
    """An identity."""

    def call(self, x):
        return x


@pytest.mark.slow
def test_kernels_of_layers_that_were_bounded_are_given_back():
    """A separable layer's two kernels are multiplied into a large one; of large networks' layers
    all of them together take gigabytes."""
    alive = []

    def rule(layer, input_shapes):
        alive.append(sum(isinstance(each, Convolution) for each in gc.get_objects()))
        return itf.lipschitz.LayerBound(1.0)

    itf.lipschitz.register(Probe)(rule)
    x = start = keras.Input((4, 4, 2))
    for _ in range(6):
        y = keras.layers.SeparableConv2D(2, 3, padding="same")(x)
        x = keras.layers.Concatenate()([x, y])
        x = keras.layers.SeparableConv2D(2, 3, padding="same")(x)
    model = keras.Model(start, Probe()(x))
    before = sum(isinstance(each, Convolution) for each in gc.get_objects())
    itf.lipschitz.bound(model, attained=False, verbose=False)
    assert alive[0] - before <= 2
