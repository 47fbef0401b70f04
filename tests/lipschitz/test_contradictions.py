"""The check that knows nothing of rules: it finds what is attained, and raises no false alarm."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from intriguing_tf.lipschitz import bound, certified_radius, contradictions
from tests.lipschitz.small_networks import dense_network, sequential


def points(*shape: int) -> list[tf.Tensor]:
    return [tf.constant(np.random.default_rng(0).normal(size=shape))]


@pytest.mark.parametrize("largest", [2**18, 0], ids=["jacobians", "products"])
def test_what_a_matrix_attains_is_its_norm(largest, monkeypatch):
    monkeypatch.setattr(contradictions, "LARGEST_JACOBIANS", largest)
    model = sequential((5,), layers.Dense(4, dtype="float64"))
    found = contradictions.attained(model, points(3, 5), math.inf)
    norm = np.linalg.norm(model.layers[0].kernel.numpy(), 2)
    np.testing.assert_allclose(found, norm, rtol=0.1 if largest == 0 else 1e-6)
    assert np.all(found <= norm * (1 + 1e-6))


def test_several_inputs_and_outputs_are_one_long_vector():
    x, y = keras.Input((3,), dtype="float64"), keras.Input((2,), dtype="float64")
    model = keras.Model([x, y], [x * 3.0, y * 4.0, ops.flip(x, axis=-1) * 4.0])
    found = contradictions.attained(model, [*points(2, 3), *points(2, 2)], math.inf)
    np.testing.assert_allclose(found, 5.0, rtol=1e-4)


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_a_bound_below_what_is_attained_is_contradicted(share):
    model = dense_network(4, 6, 3, activation="linear")
    first, second = (weight.numpy() for weight in model.weights if len(weight.shape) == 2)
    norm = float(np.linalg.norm(first @ second, 2))
    if share > 1:
        contradictions.check_bound(model, share * norm, 0.0, 0.0)
    else:
        with pytest.raises(contradictions.ContradictionError, match="has the norm"):
            contradictions.check_bound(model, share * norm, 0.0, 0.0)


def test_the_gradient_of_celu_at_zero_is_no_contradiction():
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(2)(layers.Activation("celu")(ops.celu(x))))
    model.layers[-1].kernel.assign([[1.0, -1.0], [-1.0, 1.0]])
    radii = certified_radius(model, np.array([[0.0, 2.0], [0.0, 0.0]], "float32"), verbose=False)
    assert radii[0] == pytest.approx(2**0.5, rel=1e-4)
    assert contradictions.gradients_may_exceed(model) == 4.0
    assert bound(model, verbose=False).total == pytest.approx(2.0)
