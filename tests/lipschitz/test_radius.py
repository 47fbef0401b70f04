"""Certified radii: exact for linear classifiers, never too large for others."""

from __future__ import annotations

import math
from multiprocessing.pool import ThreadPool

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import intriguing_tf as itf
from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz import bound, certified_radius
from intriguing_tf.lipschitz.radius import Certifier
from tests.lipschitz.random_layers import jacobian
from tests.lipschitz.small_networks import dense_network, sequential


def softmax_regression(ending: str | None, seed: int = 0) -> keras.Model:
    return sequential((8, 8, 1), layers.Flatten(), layers.Dense(5, ending), seed=seed)


@pytest.mark.parametrize("ending", [None, "softmax", "log_softmax", "sigmoid"])
def test_radius_of_a_linear_classifier_is_the_exact_distance(ending):
    model = softmax_regression(ending)
    images = np.random.default_rng(1).random((20, 8, 8, 1)).astype(np.float32)
    weights, bias = (w.astype(float) for w in model.get_weights())
    logits = images.reshape(20, -1).astype(float) @ weights + bias
    found = certified_radius(model, images)
    assert found.dtype == np.float64
    for i, scores in enumerate(logits):
        top = scores.argmax()
        exact = min(
            (scores[top] - scores[j]) / np.linalg.norm(weights[:, top] - weights[:, j])
            for j in range(5)
            if j != top
        )
        assert found[i] <= exact
        assert found[i] == pytest.approx(exact, rel=1e-3, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 8.0, 14.0, 40.0, -70.0, -100.0])
@pytest.mark.drawn(3)
def test_within_the_radius_no_two_units_of_a_sigmoid_saturate(shift):
    """Logits (3 x + shift, x + shift): both units may give 1, or 0, in float32."""
    model = sequential((1,), layers.Dense(2, "sigmoid"))
    model.set_weights([np.array([[3.0, 1.0]]), np.array([shift, shift])])
    images = np.array([[0.1], [1.0], [2.0], [6.0], [20.0]], np.float32)
    radii = certified_radius(model, images)
    for image, radius in zip(images[:, 0], radii, strict=True):
        points = image + radius * np.linspace(-0.999, 0.999, 2001)
        first, second = model.predict(points[:, None].astype(np.float32), verbose=0).T
        assert radius == 0 or (first > second).all()
    # Of the margins a share is lost that rounding may hide: most where a logit may come to 8.
    assert shift or np.allclose(radii[:3], images[:3, 0], rtol=2e-3)


@pytest.mark.slow
def test_radius_of_one_unit_means_two_classes():
    for ending in (None, "sigmoid"):
        model = sequential((4,), layers.Dense(1, ending))
        images = np.random.default_rng(1).random((6, 4)).astype(np.float32)
        weights, bias = (w.astype(float) for w in model.get_weights())
        exact = np.abs(images @ weights + bias).ravel() / np.linalg.norm(weights)
        assert certified_radius(model, images) == pytest.approx(exact, rel=1e-5)


def test_ties_have_radius_zero():
    model = sequential((4,), layers.Dense(3))
    model.layers[0].kernel.assign(np.ones((4, 3)))
    model.layers[0].bias.assign(np.zeros(3))
    images = np.random.default_rng(1).random((3, 4)).astype(np.float32)
    assert np.array_equal(certified_radius(model, images), np.zeros(3))


def test_a_constant_classifier_never_changes_its_mind():
    model = sequential((4,), layers.Dense(2))
    model.layers[0].kernel.assign(np.zeros((4, 2)))
    model.layers[0].bias.assign([1.0, 0.0])
    assert certified_radius(model, np.ones((1, 4), np.float32))[0] == np.inf


@pytest.mark.slow
def test_pairwise_margins_and_the_chain_beat_the_plain_radius():
    model = dense_network(10, 40, 40, 4)
    images = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)
    logits = model.predict(images, verbose=0).astype(float)
    ordered = np.sort(logits, axis=1)
    plain = (ordered[:, -1] - ordered[:, -2]) / (math.sqrt(2) * bound(model, "product").total)
    found = certified_radius(model, images)
    assert np.all(found > 1.3 * plain * (1 - 1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["relu", "tanh"])
def test_no_prediction_changes_within_the_radius(hidden):
    model = sequential(
        (6, 6, 1),
        layers.Conv2D(4, 3, activation=hidden),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(8, hidden),
        layers.Dense(3, "softmax"),
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(12, 6, 6, 1)).astype(np.float32)
    radii = certified_radius(model, images)
    predictions = model.predict(images, verbose=0).argmax(1)
    assert np.all(radii > 0)
    double, moved = float64_copy(model), []
    for image, radius, prediction in zip(images, radii, predictions, strict=True):
        rows = jacobian(double, image.astype(float)).reshape(3, -1)
        others = [rows[j] - rows[prediction] for j in range(3) if j != prediction]
        steps = [*others, *rng.normal(size=(40, 36))]
        moved += [image.ravel() + 0.999 * radius * s / np.linalg.norm(s) for s in steps]
    classes = double.predict(np.reshape(moved, (-1, 6, 6, 1)), verbose=0).argmax(1)
    assert np.all(classes.reshape(12, 42) == predictions[:, None])


def test_global_pooling_heads_are_certified_too():
    model = sequential((6, 6, 2), layers.Conv2D(3, 3), layers.GlobalAveragePooling2D())
    radii = certified_radius(model, np.random.default_rng(0).random((4, 6, 6, 2)))
    assert np.all(radii > 0)


@pytest.mark.slow
def test_a_certifier_is_reused_and_its_bounds_are_symmetric():
    certifier = Certifier(dense_network(6, 12, 3))
    assert np.array_equal(certifier.bounds, certifier.bounds.T)
    images = np.random.default_rng(0).random((5, 6))
    whole = certifier.radius(images)
    alone = np.concatenate([certifier.radius(images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(whole, alone, rtol=1e-12)  # a batch may round otherwise
    assert certifier.radius(images[:0]).shape == (0,)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 8, 8, 1), np.uint8), "uint8"),
        (np.zeros((2, 7, 8, 1), np.float32), "shape"),
        (np.full((2, 8, 8, 1), np.nan, np.float32), "finite"),
    ],
    ids=["integers", "another size", "NaN"],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        certified_radius(softmax_regression(None), images)


def test_bfloat16_is_taken_as_float32():
    images = tf.cast(np.random.default_rng(0).uniform(size=(3, 8, 8, 1)), tf.bfloat16)
    certifier = Certifier(softmax_regression(None))
    expected = certifier.radius(tf.cast(images, tf.float32))
    for each in (images, images.numpy()):
        np.testing.assert_array_equal(certifier.radius(each), expected)


def test_models_that_are_not_classifiers_are_refused():
    with pytest.raises(ValueError, match="classes"):
        certified_radius(sequential((8, 8, 1), layers.Conv2D(2, 3)), np.zeros((1, 8, 8, 1)))


def test_a_certifier_notices_settings_and_variables_that_change():
    """relu(v x), and a slope: no weights of the model."""
    variable = keras.Variable(np.ones(2, np.float32))
    x = keras.Input((2,))
    model = keras.Model(x, keras.ops.relu(x * variable))
    certifier = Certifier(model)
    point = np.array([[3.0, -1.0]], np.float32)
    assert certifier.radius(point) > 0
    variable.assign([1.0, 100.0])
    with pytest.raises(ValueError, match="Make a new one"):
        certifier.radius(point)
    activation = keras.layers.LeakyReLU(0.1)
    model = keras.Sequential([x, keras.layers.Dense(2), activation, keras.layers.Dense(2)])
    certifier = Certifier(model)
    activation.negative_slope = -1000.0
    with pytest.raises(ValueError, match="Make a new one"):
        certifier.radius(point)


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_one_unit_is_divided_where_it_is_said_to_be(outputs):
    """f(x) = x on a line: the distance to 0, or to 1/2."""
    model = sequential((2,), layers.Dense(1, use_bias=False))
    model.set_weights([np.array([[1.0], [0.0]])])
    points = np.array([[0.3, 0.5], [0.2, 0.1], [0.45, 0.9], [0.9, 0.2]], np.float32)
    radii = certified_radius(model, points, outputs=outputs)
    middle = 0.5 if outputs == "probabilities" else 0.0
    np.testing.assert_allclose(radii, np.abs(points[:, 0] - middle), rtol=1e-5)
    evaluation = itf.evaluate(model, points, attack={"outputs": outputs}, verbose=False)
    np.testing.assert_allclose(evaluation.certified, radii)
    assert (evaluation.certified <= evaluation.l2).all()


def test_a_sigmoid_whose_output_is_a_logit_has_one_class():
    model = sequential((2,), layers.Dense(1, "sigmoid"))
    with pytest.raises(ValueError, match='give outputs="auto"'):
        certified_radius(model, np.zeros((1, 2), np.float32), outputs="logits")


@pytest.mark.parametrize("ending", ["softmax", "sigmoid", None])
def test_of_several_units_the_largest_is_predicted_whatever_they_are(ending):
    model = sequential((2,), layers.Dense(3, ending))
    images = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    radii = certified_radius(model, images, outputs="logits")
    np.testing.assert_array_equal(radii, certified_radius(model, images))
    assert (radii > 0).all()


@pytest.mark.parametrize("behind", [
    lambda x: layers.Reshape((2,), dtype="float64")(x), lambda x: keras.ops.cast(x, "float64"),
], ids=["layer", "cast"])  # fmt: skip
def test_sigmoids_are_as_coarse_as_they_were_computed(behind):
    """Both units are 1 in float32, whatever their values are cast to."""
    x = keras.Input((2,))
    model = keras.Model(x, behind(layers.Dense(2, "sigmoid", use_bias=False)(x)))
    model.set_weights([np.eye(2)])
    assert certified_radius(model, np.array([[12.0, 18.0]], np.float32))[0] == 0


def test_images_may_lie_at_the_edge_of_the_domain_by_rounding():
    model = sequential((3,), layers.Dense(2))
    mean = np.array([103.939, 116.779, 123.68])
    images = np.array([[0.0] * 3, [255.0] * 3], np.float32) - mean.astype(np.float32)
    assert (certified_radius(model, images, domain=(-mean, 255 - mean)) > 0).all()
    with pytest.raises(ValueError, match="must lie in the `domain`"):
        certified_radius(model, images - np.float32(1e-3), domain=(-mean, 255 - mean))


@pytest.mark.slow
def test_threads_may_share_a_certifier():
    model = sequential((8,), *(layers.Dense(16, "tanh") for _ in range(4)), layers.Dense(3))
    images = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
    certifier = Certifier(model)
    alone = certifier.radius(images)
    with ThreadPool(3) as threads:
        for radii in threads.map(lambda _: certifier.radius(images), range(30)):
            np.testing.assert_array_equal(radii, alone)


@pytest.mark.slow
@pytest.mark.parametrize("base, margin", [(9.55, 8.3e-4), (9.55, 0.02), (9.4, 1.1e-3), (9.0, 2e-3),
                                          (9.5, 0.02), (5.0, 0.3), (0.0, 0.5)])  # fmt: skip
def test_within_the_radius_rounded_sigmoids_are_told_apart(base, margin):
    """Where a sigmoid is flat but not yet 1, small margins vanish in its rounding."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="sigmoid")])
    model.set_weights([np.eye(2), np.full(2, base)])
    image = np.array([[0.0, margin]], np.float32)
    radius = certified_radius(model, image)[0]
    steps = np.linspace(0, 1, 2001)[:, None] * radius * np.array([[1, -1]]) / np.sqrt(2)
    assert (model.predict((image + steps).astype(np.float32), verbose=0).argmax(1) == 1).all()
    assert radius >= (0.99 if base < 9 else 0.0) * margin / np.sqrt(2)


@pytest.mark.parametrize("base, margin", [(8.0, 5e-4), (5.0, 1e-3), (0.0, 0.5)])
def test_a_margin_that_never_changes_may_vanish_in_rounding(base, margin):
    """Logits that rise together: their difference has no slope, and sigmoids flatten."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="sigmoid")])
    model.set_weights([np.ones((1, 2)), np.array([base, base + margin])])
    radius = certified_radius(model, np.zeros((1, 1), np.float32))[0]
    assert np.isfinite(radius) and (radius > 1 or base > 0)
    points = (np.linspace(-1, 1, 2001)[:, None] * radius).astype(np.float32)
    assert (model.predict(points, verbose=0).argmax(1) == 1).all()


@pytest.mark.parametrize("margin", [1e-5, 1e-2])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("ending", ["softmax", "log_softmax", "sigmoid of one"])
def test_within_the_radius_a_rounded_head_tells_the_classes_apart(ending, classes, margin):
    """A logit of margin · x beside others of 0; 1 − x is exact in float32, and so are logits."""
    one = ending == "sigmoid of one"
    units = 1 if one else classes
    model = sequential((1,), layers.Dense(units, "sigmoid" if one else ending))
    model.set_weights([np.eye(1, units) * 2.0 ** round(math.log2(margin)), np.zeros(units)])
    image = np.ones((1, 1), np.float32)
    (radius,) = certified_radius(model, image)
    assert 1 - 5e-6 / margin < radius < 1
    points = (1 - radius * np.linspace(0.99, 1.0, 501)[:, None]).astype(np.float32)
    outputs = model.predict(points, verbose=0)
    assert (outputs > 0.5).all() if one else (outputs[:, :1] > outputs[:, 1:]).all()


CHAINS = {  # factors of dense layers, an image at which something leaves float32's range within
    "logits overflow": ([1e38], 3.0),
    "a hidden layer overflows": ([1e38, 1e-38], 3.0),
    "a hidden layer underflows": ([1e-20, 1e-18, 1e38], 2.0),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_certified_where_numbers_leave_the_range_of_their_precision(name, dtype):
    factors, image = CHAINS[name]
    dense = [layers.Dense(1, use_bias=False, dtype=dtype) for _ in factors[1:]]
    last = layers.Dense(2, use_bias=False, dtype=dtype)
    model = keras.Sequential([keras.Input((1,), dtype=dtype), *dense, last])
    model.set_weights([*(np.full((1, 1), f) for f in factors[:-1]), np.array([[0.0, factors[-1]]])])
    (radius,) = certified_radius(model, np.full((1, 1), image, dtype))
    assert radius == pytest.approx(image if dtype == "float64" else 0.0, rel=1e-6)


def test_a_constant_too_small_for_float32_may_be_zero():
    """1 / √(variance + ε), where TensorFlow's processors take the ε for 0."""
    variance, epsilon = 1.5e-38, 1.1e-38
    model = sequential((2,), layers.BatchNormalization(epsilon=epsilon))
    model.set_weights([np.ones(2), np.zeros(2), np.zeros(2), np.full(2, variance)])
    assert bound(model).total >= variance**-0.5
    assert bound(model).total < 3 * variance**-0.5


JUST_ABOVE = float(np.nextafter(np.float32(0.1), np.float32(1)))


@pytest.mark.parametrize(
    "function, image, distance",
    [
        (lambda x: x - 0.1, [JUST_ABOVE], JUST_ABOVE - float(np.float32(0.1))),
        (lambda x: 0.1 - x, [JUST_ABOVE], JUST_ABOVE - float(np.float32(0.1))),
        (lambda x: x - (1e9 + 33), [1e9 + 128], 64.0),
        (lambda x: x - np.array(10**9 + 33), [1e9 + 128], 64.0),
        (lambda x: ops.maximum(x, 1e9 + 33), [0.0, 1e9 + 128], 64.0),
        (lambda x: ops.clip(x, 1e9 + 33, 1e12), [0.0, 1e9 + 128], 64.0),
    ],
)
def test_constants_are_those_that_float32_rounds(function, image, distance):
    x = keras.Input((len(image),))
    model = keras.Model(x, function(x))
    (radius,) = certified_radius(model, np.array([image], "float32"), outputs="logits")
    assert 0.7 * distance < radius <= distance


@pytest.mark.parametrize(
    "function",
    [
        lambda x, top: top - ops.norm(x, axis=1, keepdims=True),
        lambda x, top: top - ops.squareplus(x[:, :1]),
        lambda x, top: top - layers.Dense(1, "squareplus", kernel_initializer="ones")(x),
        lambda x, top: layers.LayerNormalization()(x),
        lambda x, top: layers.RMSNormalization()(x),
    ],
)
@pytest.mark.parametrize("top", [2e19, 20.0])
def test_nothing_is_certified_where_squares_within_a_layer_overflow(function, top):
    x = keras.Input((2,))
    image = np.array([[0.9 * top, 0.0]], "float32")
    (radius,) = certified_radius(keras.Model(x, function(x, top)), image, outputs="logits")
    assert radius == 0 if top > 1e19 else radius > 0
