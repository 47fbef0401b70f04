"""Logits, sub-networks and batches of any Keras classifier, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import above, find_layer, up_to


def network(last=None, classes=3, dtype=None):
    return keras.Sequential(
        [
            keras.Input((5,), dtype="float64" if dtype == "float64" else "float32"),
            keras.layers.Dense(4, activation="tanh", name="hidden", dtype=dtype),
            keras.layers.Dense(classes, activation=last, name="scores", dtype=dtype),
        ]
    )


def logits_by_hand(model, x):
    w, b, v, d = model.get_weights()
    return np.tanh(x @ w + b) @ v + d


X = np.random.default_rng(0).normal(size=(11, 5)).astype("float32")


@pytest.mark.parametrize("last", [None, "softmax", "sigmoid"])
def test_logits_are_what_enters_the_squashing(last):
    model = network(last)
    logits = Classifier(model).predict_logits(X)
    np.testing.assert_allclose(logits, logits_by_hand(model, X), rtol=1e-4, atol=1e-5)


def test_logits_outlive_probabilities_that_round_to_zero():
    model = network("softmax")
    model.set_weights([w * 200 for w in model.get_weights()])
    expected = logits_by_hand(model, X)
    assert (model.predict(X, verbose=0) == 0).any()
    np.testing.assert_allclose(Classifier(model).predict_logits(X), expected, rtol=1e-3)


def clipped(clip, last="softmax"):
    model = network(last)
    model.set_weights([3 * w for w in model.get_weights()])
    return keras.Model(model.inputs, clip(model.outputs[0]))


@pytest.mark.parametrize(
    "clip, last",
    [
        (lambda p: keras.ops.clip(p, 1e-7, 1 - 1e-7), "softmax"),
        (lambda p: keras.ops.clip(p, 0.3, 0.51), "softmax"),
        (
            lambda p: keras.ops.minimum(
                0.7, keras.ops.maximum(p, np.array([0.1, 0.2, 0.3], np.float32))
            ),
            "softmax",
        ),
        (lambda p: keras.layers.ReLU(max_value=1.0)(p), "softmax"),
        (lambda p: keras.ops.clip(keras.ops.cast(p, "float64"), 0.1, 0.9), "softmax"),
        (lambda p: keras.ops.clip(p, -9.0, -0.1), "log_softmax"),
    ],
)
def test_a_softmax_is_found_below_a_clip_that_leaves_its_largest_number_the_largest(clip, last):
    model = clipped(clip, last)
    classifier = Classifier(model)
    np.testing.assert_allclose(
        classifier.predict_logits(X), logits_by_hand(model, X), rtol=1e-4, atol=1e-5
    )
    assert classifier.squashes
    seen = model.predict(X, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(classifier.predict(X), seen)
    np.testing.assert_array_equal(logits_by_hand(model, X).argmax(axis=1), seen)


@pytest.mark.parametrize(
    "clip, last",
    [
        (lambda p: keras.ops.clip(p, 1e-7, 0.5), "softmax"),  # where two are 1/2, the first wins
        (lambda p: keras.ops.clip(p, 0.4, 1.0), "softmax"),
        (lambda p: keras.ops.minimum(p, np.array([0.9, 0.9, 0.2], np.float32)), "softmax"),
        (lambda p: keras.ops.clip(p, -9.0, -0.7), "log_softmax"),
        (lambda p: keras.ops.maximum(p, p[:, ::-1]), "softmax"),
    ],
)
def test_a_clip_that_makes_numbers_equal_hides_the_softmax(clip, last):
    model = clipped(clip, last)
    classifier = Classifier(model)
    np.testing.assert_allclose(classifier.predict_logits(X), model(X), rtol=1e-5)
    assert not classifier.squashes
    np.testing.assert_array_equal(classifier.predict(X), np.asarray(model(X)).argmax(axis=1))


@pytest.mark.parametrize("last", [None, "sigmoid"])
def test_one_unit_is_two_classes(last):
    model = network(last, classes=1)
    expected = logits_by_hand(model, X)
    logits = Classifier(model).predict_logits(X)
    np.testing.assert_allclose(logits[:, 1:], expected, rtol=1e-4, atol=1e-5)
    assert (logits[:, 0] == 0).all()
    np.testing.assert_array_equal(Classifier(model).predict(X), expected[:, 0] > 0)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_batch_size_does_not_matter(size):
    classifier = Classifier(network())
    whole = classifier.predict_logits(X)
    np.testing.assert_allclose(classifier.predict_logits(X, size), whole, atol=1e-5)
    assert classifier.predict(X, size).dtype == np.int64


def test_dtypes():
    assert Classifier(network()).dtype == tf.float32
    assert Classifier(network(dtype="float64")).dtype == tf.float64
    half = Classifier(network(dtype="mixed_float16"))
    assert half.dtype == tf.float32 and half.predict_logits(X).dtype == np.float32


def test_new_weights_and_new_settings_are_followed():
    model = network()
    classifier = Classifier(model)
    classifier.predict_logits(X)
    model.predict(X, verbose=0)
    model.set_weights([2 * w for w in model.get_weights()])
    expected = logits_by_hand(model, X)
    np.testing.assert_allclose(classifier.predict_logits(X), expected, rtol=1e-4, atol=1e-5)
    graph = classifier.graph((5,))
    model.get_layer("scores").activation = keras.activations.relu
    logits = np.maximum(expected, 0)
    np.testing.assert_allclose(classifier.predict_logits(X), logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict(X, verbose=0), logits, rtol=1e-4, atol=1e-5)
    assert classifier.graph((5,)) is classifier.graph((5,)) is not graph


COUNT, UNIT = {"calls": 0}, {"unit": 1.0}


class Keeping(keras.layers.Layer):
    """Keeps of its calls what a layer may keep."""

    def __init__(self):
        super().__init__()
        self.calls, self.seen, self.factor = 0, [], 1.0

    def call(self, x):
        self.calls += 1
        COUNT["calls"] += 1
        self.shape, self.last, self.cache = x.shape, x, {"x": x}
        self.seen.append(x)
        return self.factor * UNIT["unit"] * x


def test_what_a_layer_keeps_of_its_calls_is_no_change():
    model = network()
    model.add(Keeping())
    classifier = Classifier(model)
    graph, before = classifier.graph((5,)), classifier.predict_logits(X)
    tf.function(lambda x: classifier.logits(x, folded=True)).get_concrete_function(X)
    model(X)
    model.predict(X, verbose=0)
    assert classifier.graph((5,)) is graph
    model.layers[-1].factor = -1.0
    np.testing.assert_array_equal(classifier.predict_logits(X), -before)
    UNIT["unit"] *= -1
    np.testing.assert_array_equal(classifier.predict_logits(X), before)


def test_predict_is_dropped_once_for_a_structure():
    model = network()
    model.predict(X, verbose=0)
    Classifier(model)
    model.predict(X, verbose=0)
    renewed = model.predict_function
    Classifier(model)
    assert model.predict_function is renewed
    model.layers[0].activation = keras.activations.relu
    Classifier(model)
    assert model.predict_function is not renewed


def test_what_predict_kept_before_is_dropped():
    model = network()
    model.predict(X, verbose=0)
    model.layers[0].activation = keras.activations.relu
    seen = Classifier(model).predict_logits(X)
    np.testing.assert_allclose(model.predict(X, verbose=0), seen, rtol=1e-4, atol=1e-5)


def test_a_change_to_what_is_refused_is_refused():
    classifier = Classifier(model := network())
    classifier.predict(X)
    model.predict_step = lambda data: tf.zeros([len(data), 3])
    with pytest.raises(ValueError, match="predict_step of its own"):
        classifier.predict(X)


@pytest.mark.parametrize("classes, last", [(3, "softmax"), (1, "sigmoid"), (3, None)])
def test_outputs_that_are_not_finite_are_no_class(classes, last):
    model = network(last, classes)
    x = X.copy()
    x[[2, 5]] = np.nan
    predicted = Classifier(model).predict(x)
    np.testing.assert_array_equal(np.flatnonzero(predicted == -1), [2, 5])
    rest = np.delete(np.arange(len(X)), [2, 5])
    np.testing.assert_array_equal(predicted[rest], Classifier(model).predict(X)[rest])


def test_a_model_is_its_lower_and_its_upper_part():
    model = network()
    parts = above(model, "hidden")(up_to(model, "hidden")(X))
    np.testing.assert_allclose(parts, model(X), rtol=1e-6)
    through = Classifier(model, layer="hidden").predict_logits(
        np.asarray(up_to(model, "hidden")(X))
    )
    np.testing.assert_allclose(through, model(X), rtol=1e-5)
    assert find_layer(model, "hidden") is find_layer(model, model.layers[0]) is model.layers[0]


def test_the_upper_part_has_the_precision_of_the_model(other_precision):
    model = network()
    other_precision()
    assert Classifier(model, layer="hidden").dtype == Classifier(model).dtype == "float32"


def test_a_path_around_the_layer_is_refused():
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(5, name="branch")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.add([inputs, hidden])))
    with pytest.raises(ValueError, match=r"Nothing of model .* lies above layer 'scores'"):
        above(network(), "scores")
    with pytest.raises(ValueError, match="cannot be cut above layer 'branch'"):
        above(model, "branch")


def test_layers_of_other_models_are_refused():
    with pytest.raises(ValueError, match=r"'hidden9' is not one of the layers.*hidden, scores"):
        above(network(), "hidden9")
    with pytest.raises(ValueError, match="is not one of the layers"):
        find_layer(network(), keras.layers.Dense(3, name="other"))


def test_one_unit_that_averages_sigmoids_is_divided_where_one_says():
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(4, activation="sigmoid")(inputs)
    model = keras.Model(inputs, keras.ops.mean(hidden, axis=1, keepdims=True))
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    with pytest.raises(ValueError, match=r"One output unit.*values between 0 and 1"):
        Classifier(model).predict(x)
    given = Classifier(model, outputs="probabilities").predict(x)
    assert (given == (model.predict(x, verbose=0)[:, 0] > 0.5)).all() and given.any()


def test_a_model_that_keeps_what_came_before_is_refused():
    layers = [keras.Input((6, 4), batch_size=2), keras.layers.LSTM(3, stateful=True, name="memory")]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"same outputs.*memory, which has stateful=True"):
        Classifier(model)


def test_a_prediction_of_ones_own_is_refused_and_what_to_do_works():
    class Reversed(keras.Model):
        def predict_step(self, data):
            return -super().predict_step(data)

    inputs = keras.Input((5,))
    model = Reversed(inputs, network()(inputs))
    with pytest.raises(ValueError, match="with predict_step of its own"):
        Classifier(model)
    wrapped = keras.Sequential([keras.Input((5,)), model])
    seen = wrapped.predict(X, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(Classifier(wrapped).predict(X), seen)


def reversed_function(model):
    def function(iterator):
        return -model(next(iterator)[0])

    return function


SET = {
    "predict": lambda model: lambda x, **_: -keras.Model.predict(model, x, verbose=0),
    "predict_on_batch": lambda model: lambda x: -model(x),
    "predict_step": lambda model: lambda data: -model(data[0]),
    "make_predict_function": lambda model: lambda force=False: reversed_function(model),
    "predict_function": lambda model: tf.function(reversed_function(model)),
}


@pytest.mark.parametrize("name", SET)
def test_a_prediction_that_was_set_on_a_model_is_refused_too(name):
    model = network()
    Classifier(model)
    setattr(model, name, SET[name](model))
    for use in (
        Classifier,
        itf.LBFGSAdversary,
        lambda model: itf.lipschitz.certified_radius(model, X, verbose=False),
        lambda model: itf.evaluate(model, X, np.zeros(11, int), bounds=(-3, 3), verbose=False),
    ):
        with pytest.raises(ValueError, match=f"with {name} of its own"):
            use(model)


@pytest.mark.slow
def test_what_keras_keeps_for_predicting_is_not_taken_for_ones_own():
    for eager in (False, True):
        model = network()
        model.compile("sgd", "mse", run_eagerly=eager)
        model.fit(X, np.zeros((11, 3)), verbose=0)
        model.predict(X, verbose=0)
        assert model.predict_function is not None
        np.testing.assert_array_equal(
            Classifier(model).predict(X), model.predict(X, verbose=0).argmax(axis=1)
        )


@pytest.mark.slow
def test_one_unit_behind_a_function_is_divided_where_one_says(tmp_path):
    model = network("sigmoid", classes=1)
    model.export(tmp_path / "saved", verbose=False)
    layer = keras.layers.TFSMLayer(tmp_path / "saved", call_endpoint="serve")
    saved = keras.Sequential([keras.Input((5,)), layer])
    with pytest.raises(ValueError, match="PartitionedCall leaves open"):
        Classifier(saved).predict(X)
    seen = model.predict(X, verbose=0)[:, 0] > 0.5
    np.testing.assert_array_equal(Classifier(saved, outputs="probabilities").predict(X), seen)
