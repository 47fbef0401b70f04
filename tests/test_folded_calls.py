"""Batch normalization folded into convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf import folded_calls
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.classifier import Classifier
from intriguing_tf.folded_calls import folded_call
from intriguing_tf.keras_graph import graph_of

L = keras.layers


def trained_normalizations(model, seed=0):
    """Gives every normalization statistics and factors that matter."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def network(dtype="float64"):
    """Every kind of convolution before a normalization, a branch, a model within the model."""
    keras.utils.set_random_seed(1)
    with_dtype = {"dtype": dtype}
    images = keras.Input((12, 12, 4), dtype=dtype)
    x = L.Conv2D(6, 3, strides=2, padding="same", use_bias=False, **with_dtype)(images)
    x = L.BatchNormalization(**with_dtype)(x)
    x = L.ReLU(**with_dtype)(x)
    y = L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", **with_dtype)(x)
    y = L.BatchNormalization(scale=False, **with_dtype)(y)
    y = L.Conv2D(6, 3, dilation_rate=2, padding="same", **with_dtype)(y)
    y = L.BatchNormalization(center=False, axis=3, **with_dtype)(y)
    x = L.Add(**with_dtype)([x, y])
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 6), dtype=dtype),
            L.Conv2D(5, 1, **with_dtype),
            L.BatchNormalization(**with_dtype),
            L.Dropout(0.5, **with_dtype),
        ]
    )
    x = L.GlobalAveragePooling2D(**with_dtype)(inner(x))
    return trained_normalizations(keras.Model(images, L.Dense(3, **with_dtype)(x)))


def multiplied_maps(function, shape):
    """How often a traced function multiplies a batch of maps: once for each normalization."""
    spec = tf.TensorSpec([None, *shape], "float32")
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    products = [op.outputs[0].shape for op in graph.get_operations() if op.type == "Mul"]
    return sum(shape.rank == 4 and shape[0] is None for shape in products)


def test_folded_it_is_the_same_function_with_the_same_gradient():
    model = network()
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 12, 12, 4)))
    values = []
    for call in (lambda m, x: m(x, training=False), folded_call):
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = call(model, x)
        values.append((logits, tape.gradient(logits, x)))
    for plain, folded in zip(*values, strict=True):
        np.testing.assert_allclose(folded, plain, rtol=1e-9, atol=1e-12)
    assert len(folded_calls._followed_by_normalization(graph_of(model))) == 3
    model.layers[1].kernel.assign(2 * model.layers[1].kernel)  # changed weights are followed
    np.testing.assert_allclose(folded_call(model, x), model(x), rtol=1e-9)


@pytest.mark.slow
def test_the_compiled_adversary_takes_the_folded_way():
    model = network("float32")
    classifier = Classifier(model)

    assert multiplied_maps(classifier.logits, (12, 12, 4)) == 4
    assert multiplied_maps(lambda x: classifier.logits(x, folded=True), (12, 12, 4)) == 0
    problem = Problem(classifier, (12, 12, 4))
    assert multiplied_maps(lambda x: problem.logits(x), (12, 12, 4)) == 0
    images = np.random.default_rng(1).uniform(size=(4, 12, 12, 4)).astype("float32")
    result = itf.LBFGSAdversary(model, bounds=(-9, 9))(images, targets="nearest")
    assert result.success.all()
    plain = model.predict(result.images, verbose=0).argmax(1)
    np.testing.assert_array_equal(plain, result.predictions)


def branches(model_input):
    x = L.Conv2D(2, 3, name="conv")(model_input)
    return x, L.BatchNormalization()(x)


@pytest.mark.parametrize(
    "output",
    [
        lambda i: L.Add()(branches(i)),  # something else reads the convolution
        lambda i: branches(i)[0],
        lambda i: L.BatchNormalization(axis=1)(L.Conv2D(2, 3)(i)),
        lambda i: L.BatchNormalization()(L.Conv2D(2, 3, activation="relu")(i)),
        lambda i: L.BatchNormalization()(L.ReLU()(i)),
    ],
)
def test_what_cannot_be_folded_is_left_alone(output):
    inputs = keras.Input((6, 6, 2))
    model = trained_normalizations(keras.Model(inputs, output(inputs)))
    assert not folded_calls._followed_by_normalization(graph_of(model))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    np.testing.assert_array_equal(folded_call(model, tf.constant(x)), model(x))


def test_a_model_within_that_has_no_graph_is_called_as_it_is():
    class Doubled(keras.Model):
        def call(self, inputs):
            return 2 * inputs

    model = keras.Sequential([keras.Input((4,)), Doubled(), L.Dense(3)])
    x = tf.ones([2, 4])
    np.testing.assert_array_equal(folded_call(model, x), model(x))


def test_a_layer_that_is_called_twice_is_left_alone():
    inputs = keras.Input((6, 6, 2))
    conv, norm = L.Conv2D(2, 3, padding="same"), L.BatchNormalization()
    model = trained_normalizations(keras.Model(inputs, norm(conv(norm(conv(inputs))))))
    assert not folded_calls._followed_by_normalization(graph_of(model))
