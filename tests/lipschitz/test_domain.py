"""Bounds on a box of inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf.lipschitz import bound, certified_radius
from intriguing_tf.lipschitz.domain import boxes_of, described
from tests.lipschitz.small_networks import randomised


def squeezed() -> keras.Model:
    x = keras.Input((6, 6, 2))
    y = layers.Conv2D(4, 3, activation="silu")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    return randomised(keras.Model(x, layers.Multiply()([y, gate])))


def test_a_gate_has_a_bound_on_a_domain_and_a_smaller_one_on_a_smaller_domain():
    model = squeezed()
    totals = [bound(model, domain=(0.0, high)).total for high in (0.1, 1.0, 10.0)]
    assert totals[0] < totals[1] < totals[2] < np.inf
    report = bound(model, domain=(0, 1))
    assert report.domain == "[0, 1]" and "only for inputs in [0, 1]" in str(report)
    assert "on the domain" in report.rows[-1].how


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.sigmoid(x + 20.0),
        lambda x: ops.rsqrt(x - (1 - 2e-6)),
        lambda x: ops.cos(0.1 * x),
        lambda x: ops.softmax(0.1 * x),
        lambda x: layers.LayerNormalization()(x + np.array([0, 9], "float32")),
        lambda x: layers.Multiply()([x, x]),
    ],
)
def test_on_a_domain_nothing_attains_what_it_does_elsewhere(function):
    """The sigmoid's slope is 2e-9, the root's at most 1.8e8, of intervals that are rounded out."""
    x = keras.Input((2,))
    report = bound(keras.Model(x, function(x)), domain=(1, 2))
    assert report.rows[-1].attained is None


def test_on_a_domain_linear_layers_attain_what_they_do_anywhere():
    model = randomised(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    (row,) = bound(model, domain=(0, 1)).rows
    assert 0.999 * row.bound < row.attained <= row.bound
    assert row.attained == bound(model).rows[0].attained


def test_a_domain_may_be_arrays():
    model = squeezed()
    whole = bound(model, domain=(0, 1)).total
    assert bound(model, domain=(np.zeros(2), np.ones((6, 6, 2)))).total == whole
    assert bound(model, domain=([0.5, 0.5], [0.6, 0.6])).total < whole


def test_several_inputs_have_a_box_each():
    x, y = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([x, y], layers.Multiply()([x, y]))
    # ‖Δ(xy)‖ ≤ 5 ‖Δx‖ + 2 ‖Δy‖, where each may be as long as both together.
    assert bound(model, domain=[(0, 2), (-5, 1)]).total == pytest.approx(7.0, rel=1e-5)
    assert described([(0, 2), (-5, 1)], 2) == "[0, 2], [-5, 1]"
    assert described(([0, -1, 2], [3, 3, 3]), 1) == "[(0, -1, 2), 3]"
    assert described((np.arange(9), 9.0), 1) == "[0 … 8, 9]"


@pytest.mark.parametrize(
    "domain", [3, (0, 1, 2), (1, 0), (0, np.inf), (np.zeros(5), 1), ("a", "b"), [(0, 1)]],
    ids=["number", "three", "turned", "infinite", "shape", "text", "list"],
)  # fmt: skip
def test_what_is_no_box_is_refused(domain):
    with pytest.raises(ValueError, match="domain"):
        boxes_of(domain, [(None, 4, 4, 3)])


def test_a_domain_needs_a_known_size():
    with pytest.raises(ValueError, match="known size"):
        boxes_of((0, 1), [(None, None, None, 3)])


@pytest.mark.slow
def test_radii_on_a_domain_hold_within_it_and_nobody_asks_for_points_outside():
    keras.utils.set_random_seed(1)
    ends = [layers.Dense(9, "sigmoid"), layers.Dense(3)]
    model = keras.Sequential([keras.Input((2,)), *ends])
    ends[0].set_weights([20 * w for w in ends[0].get_weights()])
    random = np.random.default_rng(0)
    corner = 0.02
    images = random.uniform(-corner, corner, (40, 2))
    everywhere = certified_radius(model, images)
    for method in ("global", "local"):
        np.testing.assert_array_equal(
            certified_radius(model, images, method=method, domain=None),
            certified_radius(model, images, method=method),
        )
        radii = certified_radius(model, images, method=method, domain=(-corner, corner))
        assert (radii >= everywhere * (1 - 1e-12)).all()
        points = random.uniform(-corner, corner, (20000, 2))
        classes = model.predict(points, verbose=0).argmax(axis=1)
        predicted = model.predict(images, verbose=0).argmax(axis=1)
        distances = np.linalg.norm(images[:, None] - points, axis=2)
        assert not ((distances < radii[:, None]) & (classes != predicted[:, None])).any()
    with pytest.raises(ValueError, match="must lie in the `domain`"):
        certified_radius(model, images + 1, domain=(-corner, corner))


@pytest.mark.slow
def test_a_smaller_domain_gives_larger_radii():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, "tanh"), layers.Dense(1)])
    model.set_weights([np.array(w) for w in ([[1.0]], [2.0], [[1.0]], [-0.5])])  # steep at −2 alone
    image = np.ones((1, 1))
    radii = [certified_radius(model, image, domain=(low, 1.0))[0] for low in (-3, 0, 0.5)]
    assert radii[0] == pytest.approx(certified_radius(model, image)[0])
    assert radii[0] < radii[1] < radii[2]
    slope = 1 - np.tanh(2) ** 2
    assert radii[1] == pytest.approx((np.tanh(3) - 0.5) / slope, rel=1e-4)
