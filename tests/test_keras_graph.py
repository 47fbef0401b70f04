"""The graph that a model computes, and batch normalization folded into convolutions."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf import keras_graph
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import up_to

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
    for call in (lambda m, x: m(x, training=False), keras_graph.folded_call):
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = call(model, x)
        values.append((logits, tape.gradient(logits, x)))
    for plain, folded in zip(*values, strict=True):
        np.testing.assert_allclose(folded, plain, rtol=1e-9, atol=1e-12)
    assert len(keras_graph._followed_by_normalization(keras_graph.graph_of(model))) == 3
    model.layers[1].kernel.assign(2 * model.layers[1].kernel)  # changed weights are followed
    np.testing.assert_allclose(keras_graph.folded_call(model, x), model(x), rtol=1e-9)


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
    assert not keras_graph._followed_by_normalization(keras_graph.graph_of(model))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    np.testing.assert_array_equal(keras_graph.folded_call(model, tf.constant(x)), model(x))


def test_a_layer_that_is_called_twice_is_left_alone():
    inputs = keras.Input((6, 6, 2))
    conv, norm = L.Conv2D(2, 3, padding="same"), L.BatchNormalization()
    model = trained_normalizations(keras.Model(inputs, norm(conv(norm(conv(inputs))))))
    assert not keras_graph._followed_by_normalization(keras_graph.graph_of(model))


class FiveTimes(keras.Model):
    """Has a graph, and computes something else."""

    def __init__(self):
        inputs = keras.Input((4,))
        super().__init__(inputs, L.Dense(3, name="dense")(inputs))

    def call(self, inputs, training=None, mask=None):
        return 5 * super().call(inputs)


def test_a_model_with_a_call_of_its_own_is_not_taken_for_its_graph():
    model = FiveTimes()
    x = tf.ones((2, 4))
    np.testing.assert_array_equal(keras_graph.folded_call(model, x), model(x))
    for use in (
        lambda: itf.lipschitz.bound(model),
        lambda: itf.lipschitz.certified_radius(model, np.ones((2, 4))),
        lambda: up_to(model, "dense"),
        lambda: itf.training.LipschitzPenalty(total=1.0).prepare(model),
    ):
        with pytest.raises(ValueError, match="`call` of its own"):
            use()


def test_the_float64_copy_rounds_nowhere():
    """Not at its input, not between models in it, not in layers within layers."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((6, 4)), L.TimeDistributed(L.Dense(5))])
    normalization = L.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(20, 3, (50, 6, 4)))
    model = keras.Sequential([keras.Input((6, 4)), normalization, inner, L.Flatten(), L.Dense(2)])
    copy = keras_graph.float64_copy(model)
    x = np.random.default_rng(2).normal(20, 3, (7, 6, 4))
    mean, variance = (w.numpy().astype(float) for w in normalization.weights[:2])
    z = (x - mean) / np.sqrt(variance)
    dense, head = inner.layers[0].layer, model.layers[-1]
    z = z @ dense.kernel.numpy().astype(float) + dense.bias.numpy()
    z = z.reshape(7, -1) @ head.kernel.numpy().astype(float) + head.bias.numpy()
    np.testing.assert_allclose(copy(x), z, rtol=1e-12, atol=1e-13)
    copy.layers[-1].bias.assign([9.0, 9.0])
    assert not (head.bias.numpy() == 9).any(), "the copy has its own weights"


def test_a_model_without_a_graph_has_no_float64_copy():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="no graph of layers"):
        keras_graph.float64_copy(Own())


def test_a_missing_private_name_is_reported_with_the_release():
    with pytest.raises(RuntimeError, match=rf"no '_gone' in Keras {keras.__version__}.*Known to"):
        keras_graph.private(keras.Sequential(), "_gone")


def test_what_is_in_layers_and_models_within_a_model_is_found():
    inner = keras.Sequential([keras.Input((6, 4)), L.TimeDistributed(L.Dense(5))])
    model = keras.Sequential([keras.Input((6, 4)), inner, L.Flatten()])
    kinds = [type(each).__name__ for each in keras_graph.layers_in(model)]
    assert {"Sequential", "TimeDistributed", "Dense", "Flatten"} <= set(kinds)
    assert keras_graph.layer_below(model.layers[-1]) is inner


def test_no_other_file_touches_private_names_of_keras():
    package = pathlib.Path(keras_graph.__file__).parent
    private = re.compile(
        r"\._(keras_history|flatten_layers|functional|nodes_by_depth|inputs_struct)"
    )
    for file in package.rglob("*.py"):
        if file.name != "keras_graph.py":
            assert not private.search(file.read_text("utf-8")), file
            assert "keras.src" not in file.read_text("utf-8"), file
