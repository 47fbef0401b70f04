"""What float32 computes lies within the errors of the evaluation in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz.evaluation import EvaluatedCall, Evaluator
from intriguing_tf.lipschitz.graph import calls_of
from intriguing_tf.lipschitz.margins import MarginBounds
from tests.lipschitz.small_networks import sequential

IMAGES = np.random.default_rng(0).normal(size=(4, 5, 4, 2)).astype("float32")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(
    "make",
    [
        lambda kind: layers.UpSampling2D(2, interpolation=kind),
        lambda kind: layers.Resizing(3, 7, interpolation=kind),
    ],
    ids=["up", "resized"],
)
def test_resampled_images_have_errors(make, interpolation):
    model = sequential((5, 4, 2), make(interpolation), layers.Flatten(), layers.Dense(3))
    found = Evaluator(float64_copy(model), single=True)(IMAGES)
    differences = np.abs(model(IMAGES).numpy() - found.logits)
    errors = found.errors(unit=2.0**-24, rounded=True)
    assert np.all(differences <= errors)
    assert errors.max() < 1e-3


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: x * -x * x,
        lambda x: x * ops.mean(x, axis=-1, keepdims=True),
        lambda x: x / (3.0 * x - 1.0),
        lambda x: x**-1.5,
        ops.expm1,
        ops.log10,
        ops.rsqrt,
        ops.square,
    ],
)
def test_what_only_a_domain_bounds_has_errors_there(function):
    x = keras.Input((2,))
    model = keras.Model(x, function((x + 1e4) - 1e4))  # some digits are lost before
    on_domain = MarginBounds(model, domain=(0.5, 1)).on_domain
    evaluate = Evaluator(float64_copy(model), True, on_domain)
    images = np.random.default_rng(0).uniform(0.5, 1, (50, 2))
    found = evaluate(images)
    single, double = found.errors(unit=2.0**-24, rounded=True), found.errors()
    assert np.all(np.abs(model(images).numpy() - found.logits) <= single)
    lost = np.abs(np.asarray(function(images)) - found.logits)
    assert np.all(lost <= double) and lost.max() > double.max() / 1e3


def test_what_is_computed_is_brought_into_the_domains_interval():
    x = keras.Input((2,))
    (call,) = calls_of(float64_copy(keras.Model(x, ops.log(x)))).calls
    (rule,) = MarginBounds(keras.Model(x, ops.log(x)), domain=(1, 2)).on_domain.values()
    evaluated = EvaluatedCall(call, rule.rule, rule.intervals)
    (found,) = evaluated.run([np.array([[-1.0, 1.5], [1.0, 9.0]])])
    np.testing.assert_allclose(found, np.log([[1, 1.5], [1, 2]]), atol=1e-5)
