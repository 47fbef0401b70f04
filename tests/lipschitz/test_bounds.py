"""Whole models: how the bounds of layers combine along the graph."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers

from intriguing_tf.lipschitz import LayerBound, NoBoundError, bound, chains, register
from tests.lipschitz.small_networks import norm, randomised, sequential


def test_a_chain_of_layers_multiplies():
    first, second = layers.Dense(30, "relu"), layers.Dense(10)
    model = sequential((20,), first, second)
    report = bound(model, method="product")
    assert report.total == report.product == pytest.approx(norm(first) * norm(second), rel=1e-7)
    assert [row.layer for row in report.rows] == [first.name, second.name]
    assert report.rows[0].size == "20 × 30"
    for row in report.rows:
        assert row.attained <= row.bound <= row.attained * (1 + 1e-7)


@pytest.mark.slow
def test_a_quick_bound_leaves_out_long_chains(monkeypatch):
    model = randomised(sequential((20,), layers.Dense(30, "relu"), layers.Dense(10)))
    best, quick, product = (bound(model, method) for method in ("best", "quick", "product"))
    assert quick.total == best.total < product.total  # a chain of moments
    monkeypatch.setattr(chains, "CHEAP", 0)
    assert bound(model, "quick").total == product.total and bound(model).total == best.total
    with pytest.raises(ValueError, match=r"'product'\. Received: 'slow'"):
        bound(model, "slow")


def test_branches_add_up():
    x = keras.Input((5,))
    left, right = layers.Dense(4, "relu"), layers.Dense(4, "relu")
    norms = {}
    for merge in (layers.Add, layers.Average, layers.Subtract, layers.Concatenate, layers.Maximum):
        model = randomised(keras.Model(x, merge()([left(x), right(x)])))
        a, b = norm(left), norm(right)
        norms[merge] = bound(model, method="product").total
    assert norms[layers.Add] == pytest.approx(a + b, rel=1e-7)
    assert norms[layers.Subtract] == pytest.approx(a + b, rel=1e-7)
    assert norms[layers.Average] == pytest.approx((a + b) / 2, rel=1e-7)
    assert norms[layers.Concatenate] == pytest.approx(math.hypot(a, b), rel=1e-7)
    assert norms[layers.Maximum] == pytest.approx(math.hypot(a, b), rel=1e-7)


def test_shared_layers_count_once_per_call_and_nested_models_are_entered():
    inner = sequential((6,), layers.Dense(6, "tanh", name="shared"))
    x = keras.Input((6,))
    model = keras.Model(x, inner(inner(x)))
    single = norm(inner.layers[0])
    report = bound(model, method="product")
    assert report.total == pytest.approx(single**2, rel=1e-7)
    assert len(report.rows) == 2
    assert all("shared" in row.layer for row in report.rows)


def test_several_inputs_and_outputs_count_as_one_vector():
    x, y = keras.Input((3,)), keras.Input((4,))
    model = keras.Model([x, y], [layers.Rescaling(3.0)(x), layers.Rescaling(4.0)(y)])
    assert bound(model).total == pytest.approx(5.0)  # 4 would be exact; 5 is safe


def test_two_outputs_of_one_layer_are_two_tensors():
    """x ↦ (x, −x), then W on the first plus −W on the second: 2 W x, not (W − W) x = 0."""

    class Mirrored(layers.Layer):
        def call(self, x):
            return x, -x

    register(Mirrored)(lambda layer, input_shapes: LayerBound(math.sqrt(2)))
    x = keras.Input((3,))
    left, right = Mirrored()(x)
    branches = [layers.Dense(3, use_bias=False) for _ in range(2)]
    model = keras.Model(x, layers.Add()([branches[0](left), branches[1](right)]))
    branches[0].kernel.assign(np.eye(3))
    branches[1].kernel.assign(-np.eye(3))
    assert bound(model).total >= 2


def test_a_subclass_of_add_is_bounded_by_its_own_rule():
    class Tripled(layers.Add):
        def call(self, inputs):
            return 3 * super().call(inputs)

    register(Tripled)(lambda layer, input_shapes: LayerBound(3.0, combine="sum"))
    x = keras.Input((3,))
    assert bound(keras.Model(x, Tripled()([x, x]))).total == pytest.approx(6.0)


def test_products_of_branches_have_no_bound():
    x = keras.Input((4, 4))
    attention = layers.MultiHeadAttention(1, 2)(x, x)
    for output in (attention, layers.Multiply()([x, layers.Dense(4)(x)]), x * layers.ReLU()(x)):
        model = keras.Model(x, output)
        with pytest.raises(NoBoundError):
            bound(model)
        assert bound(model, unbounded="inf").total == math.inf


@pytest.mark.parametrize(
    "layer, shape",
    [
        (layers.UnitNormalization(), (4,)),
        (layers.Activation("exponential"), (4,)),
        (layers.Activation("hard_shrink"), (4,)),
        (layers.Activation("sparsemax"), (4,)),
        (layers.Dense(4, activation="glu"), (4,)),
        (layers.Dense(4, activation=lambda x: x**2), (4,)),
        (layers.ReLU(threshold=1.0), (4,)),
        (layers.LSTM(3), (4, 2)),
        (layers.Lambda(lambda x: x), (4,)),
        (layers.Masking(), (4, 2)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_has_no_bound_is_refused_or_infinite(layer, shape):
    model = keras.Sequential([keras.Input(shape), layer])
    with pytest.raises(NoBoundError, match=layer.name):
        bound(model)
    report = bound(model, unbounded="inf")
    assert report.total == math.inf
    assert [row.layer for row in report.unbounded] == [layer.name]
    assert layer.name in str(report)


def test_models_that_cannot_be_seen_through_are_refused():
    with pytest.raises(TypeError, match=r"keras\.Model"):
        bound(lambda x: x)
    with pytest.raises(ValueError, match="not built"):
        bound(keras.Sequential([layers.Dense(3)]))

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    model = Subclassed()
    model(np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="graph"):
        bound(model)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="method"):
        bound(model, method="worst")
    with pytest.raises(ValueError, match="unbounded"):
        bound(model, unbounded="ignore")
