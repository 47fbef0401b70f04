"""The calls of a model: in the order of computation, with the tensors that each one is given."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from intriguing_tf.lipschitz.graph import Tensor, calls_of


def test_calls_come_after_those_that_give_their_inputs():
    x = keras.Input((4,))
    left, right = layers.Dense(3, name="left")(x), layers.Dense(3, name="right")(x)
    graph = calls_of(keras.Model(x, layers.Subtract(name="difference")([right, left])))
    number = {call.name: call.number for call in graph.calls}
    assert [call.number for call in graph.calls] == [0, 1, 2]
    difference = graph.calls[number["difference"]]
    assert difference.inputs == (Tensor(number["right"]), Tensor(number["left"]))
    assert graph.calls[number["left"]].inputs == graph.inputs == (Tensor(-1),)
    assert graph.outputs == difference.outputs


def test_models_within_are_entered_once_per_call_with_their_own_inputs():
    a, b = keras.Input((2,)), keras.Input((2,))
    inner = keras.Model([a, b], layers.Subtract(name="minus")([a, b]), name="inner")
    x, y = keras.Input((2,)), keras.Input((2,))
    graph = calls_of(keras.Model([x, y], inner([y, inner([x, y])])))
    assert [call.name for call in graph.calls] == ["inner/minus"] * 2
    first, second = graph.calls
    assert first.inputs == (Tensor(-1, 0), Tensor(-1, 1))
    assert second.inputs == (Tensor(-1, 1), Tensor(0))
    assert graph.outputs == (Tensor(1),)


def test_outputs_of_one_call_are_told_apart():
    x = keras.Input((4,))
    graph = calls_of(keras.Model(x, keras.ops.split(x, 2, axis=-1)[::-1]))
    assert graph.outputs == (Tensor(0, 1), Tensor(0, 0))
    assert graph.calls[0].input_shapes == [(None, 4)]


def test_a_model_without_a_graph_is_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="no graph of layers"):
        calls_of(Subclassed())
