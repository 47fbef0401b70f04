"""Attacks on the part of a network above a layer, and on networks of every make."""

import keras
import numpy as np
import pytest
from conftest import points, small_network
from test_invariances import confirm

import intriguing_tf as itf
from intriguing_tf.keras_graph import above, up_to


def attack(model, **settings):
    return itf.LBFGSAdversary(model, loss="margin", jit_compile=False, **settings)


RANGES = [
    ("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, np.inf), ("linear", -np.inf, np.inf),
    ("softplus", 0, np.inf), ("elu", -1, np.inf), ("relu6", 0, 6),
]  # fmt: skip


@pytest.mark.parametrize("activation, lower, upper", RANGES)
def test_bounds_at_a_layer_are_its_activations_range(activation, lower, upper):
    model = small_network(activation=activation)
    adversary = itf.LBFGSAdversary(model, layer="hidden")
    assert tuple(map(float, adversary.bounds)) == (lower, upper)


@pytest.mark.slow
def test_attack_above_a_hidden_layer():
    model = small_network(activation="sigmoid")
    hidden = up_to(model, "hidden").predict(points(20), verbose=0)
    result = attack(model, layer="hidden")(hidden)
    assert result.images.shape == (20, 12) and (result.status == "found").mean() > 0.9
    confirm(above(model, "hidden"), result)
    assert (result.original_predictions == model.predict(points(20), verbose=0).argmax(1)).all()


def test_a_layer_without_a_known_range_needs_bounds():
    model = keras.Sequential([keras.Input((8,)), keras.layers.LayerNormalization(name="norm"),
                              keras.layers.Dense(3)])  # fmt: skip
    with pytest.raises(ValueError, match=r"'norm'.*not known.*Give `bounds`"):
        itf.LBFGSAdversary(model, layer="norm")
    itf.LBFGSAdversary(model, layer="norm", bounds=(-np.inf, np.inf))


class Subclassed(keras.Model):
    """A network whose graph of layers nobody knows."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, x, training=None):
        return self.dropout(self.inner(keras.ops.reshape(x, (-1, 8))), training=training)


def test_subclassed_models_run_without_dropout(network):
    model = Subclassed(network)
    model(np.zeros((1, 2, 4), "float32"))
    x = points(10).reshape(10, 2, 4)
    result = attack(model)(x)
    assert result.images.shape == (10, 2, 4)
    flat = attack(network)(x.reshape(10, 8), targets=result.targets)
    np.testing.assert_allclose(result.distortion, flat.distortion, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["activation", "layer", "functional"])
def test_softmax_outputs_give_what_their_logits_give(network, adversary, ending):
    if ending == "activation":
        model = small_network(last="softmax")
    elif ending == "layer":
        model = keras.Sequential([keras.Input((8,)), small_network(), keras.layers.Softmax()])
    else:
        inputs = keras.Input((8,))
        model = keras.Model(inputs, keras.layers.Activation("softmax")(small_network()(inputs)))
    plain = adversary(points(10))
    result = attack(model)(points(10), targets=plain.targets)
    np.testing.assert_allclose(result.distortion, plain.distortion, rtol=1e-3)
    confirm(model, result)


@pytest.mark.parametrize("last", [None, "sigmoid"])
def test_one_unit_means_two_classes(last):
    model = small_network(classes=1, last=last)
    result = attack(model)(points(20))
    assert set(result.original_predictions) == {0, 1}
    np.testing.assert_array_equal(result.targets, 1 - result.original_predictions)
    assert (result.status == "found").all()
    scores = model.predict(result.images, verbose=0)[:, 0]
    threshold = 0.5 if last else 0.0
    np.testing.assert_array_equal(scores > threshold, result.targets == 1)


@pytest.mark.slow
def test_images_of_any_shape():
    model = keras.Sequential(
        [keras.Input((None, 6, 2)), keras.layers.Conv2D(5, 3), keras.layers.Activation("tanh"),
         keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    )  # fmt: skip
    adversary = attack(model)
    random = np.random.default_rng(0)
    for height in (5, 7):
        x = random.uniform(0, 1, (4, height, 6, 2)).astype("float32")
        result = adversary(x)
        assert result.images.shape == x.shape
        confirm(model, result)
