"""Bad input: what was wrong, and what would be right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from tests.adversary.networks import points, small_network


def two_inputs():
    a, b = keras.Input((4,)), keras.Input((4,))
    return keras.Model([a, b], keras.layers.Dense(3)(keras.layers.add([a, b])))


def named_inputs():
    a = keras.Input((4,), name="a")
    return keras.Model({"a": a}, keras.layers.Dense(3)(a))


def named_outputs():
    a = keras.Input((4,))
    return keras.Model(a, {"scores": keras.layers.Dense(3)(a)})


def two_outputs():
    a = keras.Input((4,))
    return keras.Model(a, [keras.layers.Dense(3)(a), keras.layers.Dense(3)(a)])


MODELS = [
    (lambda: "model.keras", TypeError, r"must be a keras.Model.*Received: builtins.str"),
    (two_inputs, ValueError, r"must have one input.*Received: model"),
    (named_inputs, ValueError, r"must have one input.*\['a'\]"),
    (named_outputs, ValueError, r"must have one output.*\['scores'\]"),
    (two_outputs, ValueError, r"must have one output.*2 outputs"),
    (lambda: keras.Sequential([keras.layers.Dense(3)]), ValueError, "is not built"),
]


@pytest.mark.parametrize("make, error, message", MODELS)
def test_models_that_cannot_be_attacked(make, error, message):
    with pytest.raises(error, match=message):
        itf.LBFGSAdversary(make())


def test_another_backend(monkeypatch, network):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"TensorFlow backend.*'jax'.*KERAS_BACKEND=tensorflow"):
        itf.LBFGSAdversary(network)


SETTINGS = [
    ({"loss": "hinge"}, ValueError, r"`loss` must be one of 'cross_entropy', 'margin'.*'hinge'"),
    ({"solver": "adam"}, ValueError, r"`solver` must be one of.*'adam'"),
    ({"jit_compile": "yes"}, ValueError, r"`jit_compile` must be one of True, False, 'auto'"),
    ({"maxcor": 0}, ValueError, "`maxcor` must be a positive integer.*0"),
    ({"maxfun": 2.5}, ValueError, "`maxfun` must be a positive integer.*2.5"),
    ({"memory": True}, ValueError, "`memory` must be a positive integer"),
    ({"xtol": 0}, ValueError, r"`xtol` must be in \(0, 1\).*0"),
    ({"layer": "fc9"}, ValueError, r"Layer 'fc9' is not.*Valid: hidden, scores"),
    ({"bounds": (1.0, 0.0)}, ValueError, "lower bound must lie below"),
    ({"bounds": (np.nan, 1.0)}, ValueError, "lower bound must lie below"),
    ({"bounds": (1.0, 1.0)}, ValueError, "lower bound must lie below"),
    ({"starts": 0}, ValueError, "`starts` must be a positive integer.*0"),
    ({"confidence": -1.0}, ValueError, "`confidence` must be positive"),
    ({"levels": 1}, ValueError, "`levels` must be at least 2.*1"),
    ({"levels": 256, "bounds": (0.0, np.inf)}, ValueError, "`levels`.*the bounds finite"),
    ({"outputs": "scores"}, ValueError, "`outputs` must be one of 'auto', 'logits', 'prob"),
    ({"bounds": 3.0}, TypeError, r"`bounds` must be a pair \(lower, upper\)"),
]


@pytest.mark.parametrize("setting, error, message", SETTINGS)
def test_settings(network, setting, error, message):
    with pytest.raises(error, match=message):
        itf.LBFGSAdversary(network, **setting)


def images(**change):
    """Good images, but for one value."""
    x = points(3)
    if change:
        x[1, 2] = change["value"]
    return x


CALLS = [
    ((images().astype("uint8"),), {}, TypeError, r"must be floating.*uint8.*/ 255"),
    ((images().astype("int64"),), {}, TypeError, r"must be floating numbers.*int64"),
    ((images(value=1.5),), {}, ValueError, r"within the bounds \[0, 1\].*to 1.5"),
    ((images(value=-0.5),), {}, ValueError, r"within the bounds \[0, 1\].*-0.5"),
    ((images(value=np.nan),), {}, ValueError, r"finite.*image 1"),
    ((images(value=np.inf),), {}, ValueError, r"finite.*image 1"),
    ((images()[:, :5],), {}, ValueError, r"shape \(n, 8\).*\(3, 5\)"),
    ((images()[0],), {}, ValueError, r"shape \(n, 8\).*\(8,\)"),
    ((images()[:0],), {}, ValueError, "At least one image"),
    ((images(), [0, 1]), {}, ValueError, r"`labels` must have shape \(3,\).*\(2,\)"),
    ((images(), [0, 1, 4]), {}, ValueError, r"`labels` must lie between 0 and 3.*4"),
    ((images().astype(object),), {}, TypeError, r"dtype object.*images.astype\('float32'\)"),
    ((images(), np.array(["0", "1", "2"])), {}, TypeError, r"<U1.*labels.astype\('int64'\)"),
    ((images(), ["a", "b", "c"]), {}, TypeError, "`labels` must be integers.*list of dtype <U1.$"),
    (
        (images(),),
        {"targets": np.array([0, 1, 2], object)},
        TypeError,
        r"dtype object.*targets.astype\('int64'\)",
    ),
    ((images(),), {"mask": np.array([True], object)}, TypeError, r"object.*mask.astype\('bool'\)"),
    ((images(), [0.0, 1, 2]), {}, TypeError, "`labels` must be integers.*float64"),
    ((images(),), {"targets": [0, 1, -1]}, ValueError, r"`targets` must lie between 0 and 3.*-1"),
    ((images(),), {"targets": "farthest"}, ValueError, r"'nearest'.*Received: 'farthest'"),
    ((images(),), {"targets": [[0, 1], [1, 2], [2, 3]]}, ValueError, r"`targets` must have shape"),
    ((images(),), {"targets": [[0, 2, 0, 0]] * 3}, ValueError, "One-hot rows of `targets`"),
    ((images(),), {"mask": [1, 0] * 4}, TypeError, "`mask` must be booleans.*int64"),
    ((images(),), {"mask": np.ones(5, bool)}, ValueError, r"`mask` must broadcast.*\(5,\)"),
    ((images(),), {"enough": 0}, ValueError, "`enough` must be positive"),
    ((images(),), {"time_limit": -1.0}, ValueError, "`time_limit` must be positive"),
    ((images(),), {"seed": -1}, ValueError, "`seed` must be at least 0"),
    ((images(),), {"verbose": "loud"}, ValueError, "`verbose` must be True, False or"),
]


@pytest.mark.parametrize("positional, named, error, message", CALLS)
def test_calls(adversary, positional, named, error, message):
    with pytest.raises(error, match=message):
        adversary(*positional, **named)


@pytest.mark.parametrize("bounds", [(0, 1), (0, 255), (-1, 1), (0, 2), (-3, 3.5), (0.1, 1.1)])
def test_the_advice_for_uint8_leads_into_the_bounds(network, bounds):
    pixels = np.array([0, 255] * 4, np.uint8)[None]
    with pytest.raises(TypeError, match=r"uint8\. Scale them to the bounds: ") as caught:
        itf.LBFGSAdversary(network, bounds=bounds)(pixels)
    advice = str(caught.value).partition("the bounds: ")[2].rstrip(".")
    np.testing.assert_allclose(eval(advice, {"images": pixels})[0, :2], bounds, rtol=1e-5)


@pytest.mark.parametrize(
    "bounds, ends", [((0, np.linspace(1, 2, 8)), "to the bounds."), ((0, np.inf), "dtype uint8.")]
)
def test_where_no_one_scale_leads_into_the_bounds_none_is_advised(network, bounds, ends):
    with pytest.raises(TypeError) as caught:
        itf.LBFGSAdversary(network, bounds=bounds)(np.zeros((1, 8), np.uint8))
    assert str(caught.value).endswith(ends)


@pytest.mark.parametrize("c", [0, -1.0, np.nan, [0.1, 0.2]])
def test_weights_of_minimize(adversary, c):
    with pytest.raises(ValueError, match="`c` must be positive: one number, or 3 of them"):
        adversary.minimize(images(), [0, 1, 2], c)


def test_bounds_that_do_not_fit_the_images(network):
    attack = itf.LBFGSAdversary(network, bounds=(np.zeros(5), np.ones(5)))
    with pytest.raises(ValueError, match=r"`bounds` of shapes \(5,\).*shape \(8,\)"):
        attack(images())


def test_probabilities_without_a_softmax_in_the_graph():
    inputs = keras.Input((8,))
    z = keras.ops.exp(small_network()(inputs))
    model = keras.Model(inputs, z / keras.ops.sum(z, axis=1, keepdims=True))
    with pytest.raises(ValueError, match=r"look like probabilities.*return logits"):
        itf.LBFGSAdversary(model)(images())


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", [keras.layers.Softmax(), lambda p: keras.ops.clip(p, 1e-7, 1 - 1e-7)]
)
def test_probabilities_that_enter_a_softmax_or_a_clip_are_attacked(head):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, head(keras.layers.Softmax()(small_network()(inputs))))
    result = itf.LBFGSAdversary(model, bounds=(-5, 5))(images(), targets="nearest")
    assert result.success.all() and (result.predictions != result.original_predictions).all()
    seen = model.predict(result.images, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(result.predictions, seen)


def test_a_model_without_gradient():
    inputs = keras.Input((8,))
    rounded = keras.layers.Lambda(keras.ops.stop_gradient)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(rounded))
    with pytest.raises(ValueError, match="No gradient flows"):
        itf.LBFGSAdversary(model, jit_compile=False)(images())


@pytest.mark.parametrize("within", [False, True], ids=["itself", "within another"])
def test_a_model_of_integers_says_how_it_can_be_attacked(within):
    whole = keras.Sequential(
        [keras.Input((8,), dtype="uint8"), keras.layers.Dense(3)], name="integers"
    )
    model = keras.Sequential([keras.Input((8,)), whole]) if within else whole
    with pytest.raises(ValueError, match=r"'integers' takes uint8.*float32: copy = ") as raised:
        itf.LBFGSAdversary(model, jit_compile=False, bounds=(0, 255))(255 * images())
    names = {"keras": keras, "model": whole, "shape": (8,)}
    exec("copy = " + str(raised.value).split("copy = ")[1].rstrip("."), names)
    x = np.floor(255 * images())
    np.testing.assert_allclose(names["copy"](x), whole(x), rtol=1e-5)
    attack = itf.LBFGSAdversary(names["copy"], jit_compile=False, solver="scipy", bounds=(0, 255))
    assert attack(x, verbose=False).success.any()


@pytest.mark.slow
def test_an_operation_of_which_tensorflow_has_no_gradient():
    """Of attacks, of penalties and of pools."""
    inputs = keras.Input((4, 4, 1))
    halve = keras.layers.Lambda(
        lambda x: tf.image.resize(x, (2, 2), method="area"), output_shape=(2, 2, 1)
    )
    small = halve(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(small)))
    with pytest.raises(ValueError, match=r"No gradient flows.*ResizeArea"):
        itf.LBFGSAdversary(model)(np.full((1, 4, 4, 1), 0.5, np.float32))
    x, y = np.full((2, 4, 4, 1), 0.5, np.float32), np.zeros(2, int)
    pool = itf.training.AdversarialPool(interval=0, distortion=0.05)
    for parts in (
        {"penalties": [itf.training.GradientPenalty(0.1)]},
        {"penalties": [itf.training.GradientPenalty(0.1, of="jacobian")]},
        {"pools": [pool]},
    ):
        trained = itf.training.AdversarialModel(model, **parts)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        trained.compile("sgd", loss, jit_compile=False)
        with pytest.raises(ValueError, match=r"No gradient flows.*ResizeArea"):
            trained.fit(x, y, verbose=0)


@pytest.mark.parametrize("what", ["images", "labels", "targets"])
def test_rows_that_differ_in_shape(what):
    given = {"images": images(), "labels": [0, 1, 2], "targets": [1, 2, 0]}
    rows = {**given, what: [[0.5, 0.5], [0.5]]}
    with pytest.raises(ValueError, match=f"`{what}` must be an array.*Received: list"):
        itf.LBFGSAdversary(small_network())(*rows.values())


def test_one_class():
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(1), keras.layers.Reshape((1, 1))]
    )
    with pytest.raises(ValueError, match=r"shape \[n, classes\]"):
        itf.LBFGSAdversary(model)(images())


def test_a_model_whose_weights_are_not_finite_is_refused():
    """What it gives for one image alone may be NaN: such an image fails."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="broken")])
    model.set_weights([np.full((4, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match=r"finite. Received: .*broken/kernel"):
        itf.LBFGSAdversary(model)(np.zeros((2, 4), np.float32))
    x = keras.Input((4,))
    partly = keras.Model(x, keras.layers.Dense(3)(keras.ops.sqrt(x - 0.5)))
    found = itf.LBFGSAdversary(partly, maxfun=3, jit_compile=False)(np.zeros((1, 4), np.float32))
    assert found.status.tolist() == ["failed"]


@pytest.mark.parametrize("flipped", [False, True])
def test_a_model_whose_rows_depend_on_those_before_or_behind_is_refused(flipped):
    x = keras.Input((8,))
    rows = keras.ops.flip(x, axis=0) if flipped else x
    sums = keras.ops.cumsum(rows, axis=0)
    model = keras.Model(x, keras.layers.Dense(3)(keras.ops.flip(sums, 0) if flipped else sums))
    for number in (3, 20):
        with pytest.raises(ValueError, match="the same logits each time"):
            itf.LBFGSAdversary(model, jit_compile=False)(points(number))


@pytest.mark.parametrize("kind", ["generator", "RaggedTensor"])
def test_what_is_no_array_is_named(kind):
    images = {
        "generator": lambda: (row for row in points(2)),
        "RaggedTensor": lambda: tf.ragged.constant([[1.0, 2.0], [1.0]]),
    }[kind]()
    with pytest.raises(TypeError, match=rf"an array \[n, ...\] or a tf.data.Dataset. .*{kind}"):
        itf.LBFGSAdversary(small_network())(images)
