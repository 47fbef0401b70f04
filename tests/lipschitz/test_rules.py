"""Rules of layers against closed forms, and refusals."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from intriguing_tf.lipschitz.activations import _SLOPES, activation_steps
from keras import activations, layers
from scipy.special import erf

import intriguing_tf as itf
from intriguing_tf.lipschitz import LayerBound, NoBoundError, bound, register


def total(*stack, shape=(6, 6, 4)) -> float:
    return bound(keras.Sequential([keras.Input(shape), *stack])).total


@pytest.mark.parametrize("function", list(_SLOPES), ids=lambda function: function.__name__)
def test_activations_stay_within_their_slopes_and_nearly_reach_them(function):
    """Difference quotients in float64, on a grid that is fine where the activations bend."""
    x = np.concatenate([np.linspace(-12, 12, 480_001), np.linspace(-0.01, 0.01, 101)])
    x = np.sort(x)
    y = np.asarray(function(keras.ops.convert_to_tensor(x, "float64")))
    steps = np.diff(x) > 1e-9
    slopes = np.diff(y)[steps] / np.diff(x)[steps]
    found = _SLOPES[function]
    assert slopes.max() <= found.high * (1 + 1e-9)
    assert slopes.min() >= found.low - 1e-9
    assert slopes.max() >= 0.99 * found.bound


def test_slopes_of_smooth_activations_are_the_closed_forms_rounded_up():
    root = math.sqrt(2)
    gelu = 0.5 * (1 + erf(1)) + root * math.exp(-1) / math.sqrt(2 * math.pi)
    assert gelu < _SLOPES[activations.gelu].high < gelu + 1e-7
    selu = 1.0507009873554805 * 1.6732632423543772
    assert selu < _SLOPES[activations.selu].high < selu + 1e-6


@pytest.mark.parametrize(
    "layer, value",
    [
        (layers.MaxPooling2D(3, 2), 2.0),
        (layers.MaxPooling2D(2), 1.0),
        (layers.MaxPooling2D(3, 1), 3.0),
        (layers.AveragePooling2D(2), 0.5),
        (layers.GlobalAveragePooling2D(), 1 / 6),
        (layers.GlobalMaxPooling2D(), 1.0),
        (layers.UpSampling2D(2), 2.0),
        (layers.UpSampling2D(2, interpolation="bilinear"), 2.0),
        (layers.ZeroPadding2D(2), 1.0),
        (layers.Cropping2D(1), 1.0),
        (layers.Rescaling(-3.0), 3.0),
        (layers.LeakyReLU(2.0), 2.0),
        (layers.ReLU(6.0), 1.0),
        (layers.ELU(3.0), 3.0),
        (layers.Softmax(), 0.5),
        (layers.Activation("log_softmax"), 2.0),
        (layers.Dropout(0.5), 1.0),
        (layers.RandomFlip(), 1.0),
        (layers.LayerNormalization(epsilon=0.25), 2.0),
        (layers.GroupNormalization(2, epsilon=0.25), 2.0),
        (layers.RMSNormalization(epsilon=0.25), 2.0),
        (itf.layers.LocalResponseNormalization(9, k=4.0, beta=0.5), 0.5),
        (itf.layers.LocalResponseNormalization(3, k=1.0, beta=1.0), 1 + math.sqrt(2) / 2),
        (itf.layers.L2Pooling2D(2, 1), 2.0),
        (itf.layers.CeilMaxPooling2D(3, 2), 2.0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_closed_forms(layer, value):
    # Interpolation allows 1e-5 per axis for a float32 layer.
    assert total(layer) == pytest.approx(value, rel=3e-5)
    assert total(layer) >= value * (1 - 1e-9)


def test_pooling_counts_the_windows_that_the_map_really_has():
    assert total(layers.MaxPooling2D(3, 2), shape=(3, 3, 1)) == 1.0


def test_same_average_pooling_can_exceed_one():
    """TensorFlow divides by the pixels that lie on the map, so corners weigh more."""
    assert total(layers.AveragePooling2D(3, 1, "same"), shape=(2, 2, 1)) == pytest.approx(1.0)
    assert total(layers.AveragePooling1D(2, 1, "same"), shape=(3, 1)) > 1.0


def test_batch_normalisation_is_the_steepest_channel():
    layer = layers.BatchNormalization(epsilon=1e-3)
    layer.build((None, 6, 6, 4))
    layer.gamma.assign([1.0, -8.0, 2.0, 0.5])
    layer.moving_variance.assign([1.0, 4.0, 0.01, 1.0])
    exact = max(8 / math.sqrt(4.001), 2 / math.sqrt(0.011))
    assert total(layer) == pytest.approx(exact, rel=1e-6)


def test_a_separable_layer_is_bounded_as_one():
    keras.utils.set_random_seed(0)
    layer = layers.SeparableConv2D(16, 3, padding="same")
    joint = total(layer, shape=(12, 12, 8))
    parts = itf.lipschitz.depthwise_norm(
        layer.depthwise_kernel.numpy(), (12, 12), padding="same"
    ) * itf.lipschitz.dense_norm(layer.pointwise_kernel.numpy()[0, 0])
    assert joint < 0.97 * parts


def test_spectral_normalisation_is_measured_not_believed():
    layer = layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same", use_bias=False))
    layer.build((None, 6, 6, 4))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 4))
    layer.layer.kernel.assign(kernel)
    measured = itf.lipschitz.conv_norm(kernel.astype(np.float32), (6, 6), padding="same")
    assert total(layer) == pytest.approx(measured, rel=1e-9)
    assert measured > 1.5


def test_time_distributed_is_the_layer_itself():
    keras.utils.set_random_seed(0)
    inner = layers.Dense(5)
    distributed = total(layers.TimeDistributed(inner), shape=(7, 4))
    assert distributed == pytest.approx(itf.lipschitz.dense_norm(inner.kernel.numpy()), rel=1e-9)


def test_embedding_is_the_steepest_step_between_neighbours():
    layer = layers.Embedding(3, 2)
    layer.build()
    layer.embeddings.assign([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
    assert bound(model).total == pytest.approx(5.0)


class Doubling(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class Renamed(layers.Dense):
    pass


def test_an_unknown_layer_is_refused_by_name_until_it_is_registered():
    with pytest.raises(NoBoundError, match=r"doubling.*register"):
        total(Doubling(name="doubling"))
    with pytest.raises(NoBoundError, match="Renamed"):
        total(Renamed(3))

    class Registered(Doubling):
        pass

    @register(Registered)
    def rule(layer, input_shapes):
        assert input_shapes == [(None, 6, 6, 4)]
        return LayerBound(2.0, attained=2.0, how="definition")

    assert total(Registered()) == 2.0


def test_rules_must_return_bounds():
    class Wrong(Doubling):
        pass

    register(Wrong)(lambda layer, input_shapes: 2.0)
    with pytest.raises(TypeError, match="LayerBound"):
        total(Wrong())
    with pytest.raises(TypeError, match="Layer classes"):
        register(lambda x: x)
    for arguments in ({"bound": -1.0}, {"bound": math.nan}, {"bound": 1.0, "attained": 2.0}):
        with pytest.raises(ValueError, match="Received"):
            LayerBound(**arguments)


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


def test_products_of_branches_have_no_bound():
    x = keras.Input((4, 4))
    attention = layers.MultiHeadAttention(1, 2)(x, x)
    for output in (attention, layers.Multiply()([x, layers.Dense(4)(x)]), x * layers.ReLU()(x)):
        model = keras.Model(x, output)
        with pytest.raises(NoBoundError):
            bound(model)
        assert bound(model, unbounded="inf").total == math.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_layer(bad):
    layer = layers.Dense(3, name="broken")
    model = keras.Sequential([keras.Input((4,)), layer])
    weights = np.ones((4, 3))
    weights[1, 1] = bad
    layer.kernel.assign(weights)
    with pytest.raises(ValueError, match=r"broken.*finite"):
        bound(model)


def test_an_unknown_size_is_refused_only_where_it_matters():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3, name="first")])
    with pytest.raises(ValueError, match=r"first.*size"):
        bound(model)
    pointwise = keras.Sequential([keras.Input((None, None, 3)), layers.Dense(4), layers.ReLU()])
    assert bound(pointwise).total > 0


def test_channels_first_is_refused():
    model = keras.Sequential(
        [keras.Input((3, 8, 8)), layers.MaxPooling2D(data_format="channels_first")]
    )
    with pytest.raises(ValueError, match="channels_last"):
        bound(model)


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


def test_every_activation_of_keras_has_an_answer():
    names = set(dir(activations)) - {"get", "serialize", "deserialize"}
    functions = [getattr(activations, name) for name in names if not name.startswith("_")]
    assert len(functions) >= 30
    for function in functions:
        try:
            steps = activation_steps(function, (None, 4))
        except NoBoundError as error:
            assert "not Lipschitz" in str(error)
        else:
            assert all(step.bound > 0 for step in steps)
