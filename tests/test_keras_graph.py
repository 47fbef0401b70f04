"""The graph that a model computes, and its copy in float64."""

import math
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import intriguing_tf as itf
from intriguing_tf import keras_graph
from intriguing_tf.folded_calls import folded_call
from intriguing_tf.keras_graph import up_to

L = keras.layers


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
    np.testing.assert_array_equal(folded_call(model, x), model(x))
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


def ones(shape, dtype=None):
    return keras.ops.ones(shape, dtype)


class Summed(keras.regularizers.Regularizer):
    """Not registered, so that nothing can make it again."""

    def __call__(self, values):
        return keras.ops.sum(values)

    def get_config(self):
        return {}


class Same(keras.constraints.Constraint):
    """Likewise."""

    def __call__(self, values):
        return values

    def get_config(self):
        return {}


class Own(keras.initializers.Initializer):
    """Neither registered, nor with a configuration."""

    def __init__(self, value):
        self.value = value

    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, self.value, dtype)


@pytest.mark.parametrize(
    "initializer", [ones, Own(2.0), lambda shape, dtype=None: keras.ops.ones(shape, dtype)],
    ids=["function", "object", "lambda"],
)  # fmt: skip
def test_how_weights_were_made_does_not_keep_a_model_from_its_copy(initializer):
    def dense(units):
        return L.Dense(
            units,
            kernel_initializer=initializer,
            kernel_regularizer=Summed(),
            kernel_constraint=Same(),
            activity_regularizer=Summed(),
        )

    inner = keras.Sequential([keras.Input((3, 4)), L.TimeDistributed(dense(2))])
    model = keras.Sequential([keras.Input((3, 4)), inner, L.Flatten(), dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 3, 4))
    copy = keras_graph.float64_copy(model)
    kernel = inner.layers[0].layer.kernel.numpy().astype(float)
    head = model.layers[-1].kernel.numpy().astype(float)
    np.testing.assert_allclose(copy(x), (x @ kernel).reshape(5, -1) @ head, rtol=1e-12)
    model(x.astype("float32"))  # for the activities
    assert len(copy.losses) == len(model.losses) > 2
    np.testing.assert_allclose(sum(copy.losses), sum(model.losses), rtol=1e-4)
    assert copy.layers[-1].kernel.constraint is model.layers[-1].kernel.constraint


def test_models_are_certified_however_their_weights_were_made():
    def first(shape, dtype=None):
        return keras.ops.eye(*shape, dtype=dtype)

    model = keras.Sequential([keras.Input((4,)), L.Dense(2, kernel_initializer=first)])
    x = np.array([[3, 1, 0, 0], [0, 1, 0, 0]], np.float32)
    radii = itf.lipschitz.certified_radius(model, x, verbose=False)
    np.testing.assert_allclose(radii, np.array([2, 1]) / np.sqrt(2), rtol=1e-4)
    itf.lipschitz.bound(model, domain=(0, 1), verbose=False)


CONSTANTS = {
    "add": lambda x, c: x + c,
    "subtract from": lambda x, c: c - x,
    "subtract an array": lambda x, c: x - np.array([c, 2 * c], x.dtype),
    "multiply": lambda x, c: x * c,
    "divide": lambda x, c: x / c,
    "maximum": lambda x, c: ops.maximum(x, c),
    "minimum": lambda x, c: ops.minimum(x2=x, x1=c),
    "logaddexp": lambda x, c: ops.logaddexp(x, np.array(c, x.dtype)),
    "power": lambda x, c: ops.softplus(x) ** c,
    "clip": lambda x, c: ops.clip(x, -c, c),
    "slope": lambda x, c: ops.leaky_relu(x, c),
    "matrix": lambda x, c: x @ np.full((2, 2), c, x.dtype),
    "layer": lambda x, c: L.LeakyReLU(c, dtype=x.dtype)(x),
    "rescaled": lambda x, c: L.Rescaling(c, 2 * c, dtype=x.dtype)(x),
    "epsilon": lambda x, c: L.LayerNormalization(epsilon=c, dtype=x.dtype)(x),
    "within a layer": lambda x, c: L.TimeDistributed(L.ELU(c, dtype=x.dtype), dtype=x.dtype)(x),
}


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_float64_copy_has_the_constants_that_the_model_computes_with(name, dtype):
    def model(constant, own):
        x = keras.Input((3, 2), dtype=own)
        return keras.Model(x, CONSTANTS[name](x, constant))

    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    constant = 0.1 if dtype == "float64" else float(np.float32(0.1))
    copy = keras_graph.float64_copy(model(0.1, dtype))
    expected = model(constant, "float64")(x)
    np.testing.assert_allclose(copy(x), expected, rtol=1e-12, atol=1e-15)


def test_constants_beyond_the_range_of_float32_stay():
    for constant in (1e39, 10**400, 1e-39, -1e-46, True, None, math.inf):
        assert keras_graph.in_float32(constant) is constant
    assert keras_graph.in_float32(10**9 + 33) == 10**9 + 64
    np.testing.assert_array_equal(
        keras_graph.in_float32(np.array([0, 10**9 + 33])), [0, 10**9 + 64]
    )


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
