"""Whole networks: graphs, folding, chains, radii."""

from __future__ import annotations

import itertools
import json
import math

import keras
import numpy as np
import pytest
from keras import layers
from random_layers import jacobian

import intriguing_tf as itf
from intriguing_tf.lipschitz import bound, certified_radius
from intriguing_tf.lipschitz.multipliers import Chain, optimise, through
from intriguing_tf.lipschitz.radius import Certifier, in_float64


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape) / math.sqrt(max(1, math.prod(weight.shape[:-1])))
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return model


def sequential(shape, *stack, seed: int = 0) -> keras.Model:
    return randomised(keras.Sequential([keras.Input(shape), *stack]), seed)


def norm(layer) -> float:
    return float(np.linalg.norm(layer.kernel.numpy().astype(float), 2))


def test_a_chain_of_layers_multiplies():
    first, second = layers.Dense(30, "relu"), layers.Dense(10)
    model = sequential((20,), first, second)
    report = bound(model, method="product")
    assert report.total == report.product == pytest.approx(norm(first) * norm(second), rel=1e-7)
    assert [row.layer for row in report.rows] == [first.name, second.name]
    assert report.rows[0].size == "20 × 30"
    for row in report.rows:
        assert row.attained <= row.bound <= row.attained * (1 + 1e-7)


def test_matrices_without_activation_between_are_multiplied_out():
    first, second = layers.Dense(30), layers.Dense(10)
    model = sequential((20,), first, layers.Dropout(0.5), second)
    exact = np.linalg.norm(first.kernel.numpy().astype(float) @ second.kernel.numpy(), 2)
    assert bound(model).total == pytest.approx(exact, rel=1e-6)
    assert bound(model).total >= exact


def test_batch_normalisation_is_folded_on_both_sides_and_through_flatten():
    model = sequential(
        (6, 6, 2),
        layers.Conv2D(3, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(4),
    )
    report, plain = bound(model), bound(model, method="product")
    assert report.total < 0.9 * plain.total
    double = in_float64(model)
    linear = keras.Model(double.inputs, double.layers[1].output)
    folded = np.linalg.norm(jacobian(linear, np.zeros((6, 6, 2))), 2)
    assert report.rows[0].bound == pytest.approx(folded, rel=1e-6)


def test_branches_add_up():
    x = keras.Input((5,))
    left, right = layers.Dense(4, "relu"), layers.Dense(4, "relu")
    norms = {}
    for merge in (layers.Add, layers.Average, layers.Subtract, layers.Concatenate, layers.Maximum):
        model = randomised(keras.Model(x, merge()([left(x), right(x)])))
        a, b = norm(left), norm(right)
        norms[merge] = bound(model, method="product").total
    assert norms[layers.Add] == pytest.approx(a + b, rel=1e-7)
    assert norms[layers.Subtract] == pytest.approx(a + b, rel=1e-7)
    assert norms[layers.Average] == pytest.approx((a + b) / 2, rel=1e-7)
    assert norms[layers.Concatenate] == pytest.approx(math.hypot(a, b), rel=1e-7)
    assert norms[layers.Maximum] == pytest.approx(math.hypot(a, b), rel=1e-7)


def test_identity_plus_linear_is_one_operator():
    x = keras.Input((6,))
    branch = layers.Dense(6)
    model = keras.Model(x, layers.Add()([x, branch(x)]))
    branch.kernel.assign(-np.eye(6))
    assert bound(model).total < 1e-6
    assert bound(model, method="product").total == pytest.approx(2.0)
    image = keras.Input((7, 6, 3))
    for padding in ("same",):
        conv = layers.Conv2D(3, (3, 5), padding=padding)
        residual = randomised(keras.Model(image, layers.Add()([conv(image), image])))
        exact = np.linalg.norm(jacobian(in_float64(residual), np.zeros((7, 6, 3))), 2)
        assert exact <= bound(residual).total <= exact * (1 + 1e-6)


def test_shared_layers_count_once_per_call_and_nested_models_are_entered():
    inner = sequential((6,), layers.Dense(6, "tanh", name="shared"))
    x = keras.Input((6,))
    model = keras.Model(x, inner(inner(x)))
    single = norm(inner.layers[0])
    report = bound(model, method="product")
    assert report.total == pytest.approx(single**2, rel=1e-7)
    assert len(report.rows) == 2
    assert all("shared" in row.layer for row in report.rows)


def test_several_inputs_and_outputs_count_as_one_vector():
    x, y = keras.Input((3,)), keras.Input((4,))
    model = keras.Model([x, y], [layers.Rescaling(3.0)(x), layers.Rescaling(4.0)(y)])
    assert bound(model).total == pytest.approx(5.0)  # 4 would be exact; 5 is safe


def test_operations_without_layers():
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, keras.ops.relu(x[:, 1:, ..., ::-1] / 0.5 - 1.0) * 3.0 + 1.0)
    assert bound(model).total == pytest.approx(6.0)
    with pytest.raises(ValueError, match="broadcast"):
        bound(keras.Model(x, x + keras.ops.ones((4, 1, 4, 4, 3))))
    with pytest.raises(ValueError, match="depends on the input"):
        bound(keras.Model(x, 1.0 / x))
    with pytest.raises(ValueError, match="Layer of its own"):
        bound(keras.Model(x, keras.ops.square(x)))


def test_the_report_prints_as_table_5_and_becomes_json():
    x = keras.Input((9, 9, 2))
    y = layers.Conv2D(3, 3, strides=2, name="conv")(x)
    report = bound(keras.Model(x, layers.Multiply()([y, y]), name="net"), unbounded="inf")
    text = str(report)
    for part in ("net", "conv", "2 × 3 × 3 × 3", "stride", "attained", "no bound"):
        assert part in text
    values = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert values["total"] is None
    assert values["rows"][0]["size"] == "2 × 3 × 3 × 3"


def dense_network(*widths: int, activation: str = "relu", seed: int = 0) -> keras.Model:
    hidden = [layers.Dense(width, activation) for width in widths[1:-1]]
    return sequential((widths[0],), *hidden, layers.Dense(widths[-1]), seed=seed)


@pytest.mark.parametrize("activation, largest", [("relu", 1.0), ("sigmoid", 0.25), ("selu", 1.76)])
def test_chains_beat_the_product_and_hold_every_pattern_of_slopes(activation, largest):
    """The bound covers W₃D₂W₂D₁W₁ for all diagonals of slopes, relu or not."""
    model = dense_network(8, 9, 7, 3, activation=activation)
    report = bound(model)
    assert report.total < 0.85 * report.product
    assert report.chains[0].bound == report.total
    weights = [layer.kernel.numpy().astype(float).T for layer in model.layers]
    rng = np.random.default_rng(0)
    steepest = 0.0
    for _ in range(4000):
        first, second = (largest * (rng.random(n) < rng.random()) for n in (9, 7))
        product = weights[2] @ (second[:, None] * weights[1]) @ (first[:, None] * weights[0])
        steepest = max(steepest, np.linalg.norm(product, 2))
    slack = 1.0 if activation != "selu" else 1.76**2 / 1.7580994**2
    assert 0.3 * report.total < steepest <= report.total * slack


def test_a_chain_of_positive_matrices_reaches_its_exact_constant():
    """With non-negative weights all slopes at 1 are the worst: ‖W₂W₁‖ is exact, and reached."""
    model = dense_network(5, 6, 4)
    for weight in model.weights:
        weight.assign(np.abs(weight.numpy()))
    first, second = (layer.kernel.numpy().astype(float) for layer in model.layers)
    exact = np.linalg.norm(first @ second, 2)
    assert exact <= bound(model).total <= exact * 1.01


@pytest.mark.slow
def test_chains_of_convolutions_hold_on_the_real_layer():
    model = sequential(
        (9, 8, 2),
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.Conv2D(4, 3, strides=2, activation="relu"),
        layers.Conv2D(3, (3, 2), padding="same", groups=1),
    )
    report = bound(model)
    assert report.total < 0.75 * report.product
    double = in_float64(model)
    rng = np.random.default_rng(0)
    for scale in (0.0, 0.1, 1.0, 10.0):
        for _ in range(20):
            point = scale * rng.normal(size=(9, 8, 2))
            assert np.linalg.norm(jacobian(double, point), 2) <= report.total
    # All slopes at 1 is one of the covered patterns.
    linear = keras.Sequential([keras.Input((9, 8, 2), dtype="float64")])
    for layer in double.layers:
        config = layer.get_config() | {"activation": "linear"}
        linear.add(layers.Conv2D.from_config(config))
    linear.set_weights(double.get_weights())
    assert np.linalg.norm(jacobian(linear, np.zeros((9, 8, 2))), 2) <= report.total


@pytest.mark.parametrize("shape", [(1, 1), (5, 3)])
def test_gradient_of_the_multipliers_is_the_difference_quotient(shape, monkeypatch):
    from intriguing_tf.lipschitz import multipliers

    monkeypatch.setattr(multipliers, "SHARPNESS", 1e9)
    frequencies, _ = shape
    rng = np.random.default_rng(0)
    sizes = [3, 5, 4, 2]
    stages = [
        rng.normal(size=(frequencies, n, 1, m, 2)) @ [1, 1j if frequencies > 1 else 0]
        for m, n in itertools.pairwise(sizes)
    ]
    chain = Chain(stages)
    point = [0.3 * rng.normal(size=n) for n in sizes[1:-1]]
    shares = [0.4, -0.3]

    def value(scales, shares):
        return chain.gradient(chain.forward(scales, shares), scales, shares)

    _, by_scale, by_share = value(point, shares)
    step = 1e-6
    for i, j in ((0, 1), (1, 3)):
        up, down = ([p.copy() for p in point] for _ in range(2))
        up[i][j] += step
        down[i][j] -= step
        quotient = (value(up, shares)[0] - value(down, shares)[0]) / (2 * step)
        assert by_scale[i][j] == pytest.approx(quotient, abs=1e-6)
        up_share, down_share = list(shares), list(shares)
        up_share[i] += step
        down_share[i] -= step
        quotient = (value(point, up_share)[0] - value(point, down_share)[0]) / (2 * step)
        assert by_share[i] == pytest.approx(quotient, abs=1e-6)


def test_optimised_multipliers_beat_eclipse_fast():
    rng = np.random.default_rng(0)
    stages = [rng.normal(size=(1, 30, 1, 30)) / 5 for _ in range(3)]
    chain = Chain(stages)
    assert chain.largest(optimise(chain, 60)) < 0.8 * chain.largest(optimise(chain, 0))


def test_one_hidden_layer_with_one_unit_is_exact():
    """M₁ = λ(1 − λ w²/4) is largest at λ = 2/w²: L = |v||w|, the exact constant."""
    stages = [np.array([[[[3.0]]]]), np.array([[[[2.0]]]])]
    chain = Chain(stages)
    assert chain.largest([np.array([2 / 9])]) == pytest.approx(36.0)
    assert chain.largest([np.array([1.0])]) == np.inf
    assert through(stages[0], None)[0, 0, 0] == 9.0


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
    double = in_float64(model)
    for image, radius, prediction in zip(images, radii, predictions, strict=True):
        rows = jacobian(double, image.astype(float)).reshape(3, -1)
        others = [rows[j] - rows[prediction] for j in range(3) if j != prediction]
        steps = [*others, *rng.normal(size=(40, 36))]
        moved = [image.ravel() + 0.999 * radius * s / np.linalg.norm(s) for s in steps]
        moved = np.reshape(moved, (-1, 6, 6, 1))
        assert np.all(double.predict(moved, verbose=0).argmax(1) == prediction)


def test_global_pooling_heads_are_certified_too():
    model = sequential((6, 6, 2), layers.Conv2D(3, 3), layers.GlobalAveragePooling2D())
    radii = certified_radius(model, np.random.default_rng(0).random((4, 6, 6, 2)))
    assert np.all(radii > 0)


def test_a_certifier_is_reused_and_its_bounds_are_symmetric():
    certifier = Certifier(dense_network(6, 12, 3))
    assert np.array_equal(certifier.bounds, certifier.bounds.T)
    images = np.random.default_rng(0).random((5, 6))
    whole = certifier.radius(images)
    assert np.array_equal(whole, np.concatenate([certifier.radius(images[i : i + 1])
                                                 for i in range(5)]))  # fmt: skip
    assert certifier.radius(images[:0]).shape == (0,)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 8, 8, 1), np.uint8), "uint8"),
        (np.zeros((2, 7, 8, 1), np.float32), "shape"),
        (np.full((2, 8, 8, 1), np.nan, np.float32), "finite"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        certified_radius(softmax_regression(None), images)


def test_models_that_are_not_classifiers_are_refused():
    with pytest.raises(ValueError, match="classes"):
        certified_radius(sequential((8, 8, 1), layers.Conv2D(2, 3)), np.zeros((1, 8, 8, 1)))


@pytest.mark.slow
def test_table_5_of_a_small_alexnet_and_of_kernels_agree():
    rng = np.random.default_rng(0)
    kernels = {
        "conv3/kernel": rng.normal(size=(3, 3, 8, 16)),
        "fc8/kernel": rng.normal(size=(9, 4)),
    }
    result = itf.experiments.Table5.of_kernels(kernels)
    assert set(result.bounds) == {"Conv 3", "FC 3"}
    assert result.bounds["FC 3"] == itf.lipschitz.dense_norm(kernels["fc8/kernel"])
    assert result.bounds["Conv 3"] == itf.lipschitz.conv_norm(
        kernels["conv3/kernel"], (13, 13), padding="same"
    )
    text = str(result)
    assert "FC 1" in text and "2.75" in text and "empty" in text
    with pytest.raises(ValueError, match="conv1/kernel"):
        itf.experiments.Table5.of_kernels({})
