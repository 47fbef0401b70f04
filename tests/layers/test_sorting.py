"""Groups of features in order, along any axis; saved; refused."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from tests.layers.layer_checks import (  # noqa: F401 (what every layer must pass)
    images,
    test_gradient_is_the_slope,
    test_saved_layer_computes_the_same,
)

LAYERS = {
    "pairs of channels": lambda: itf.layers.GroupSort(2),
    "fours of channels": lambda: itf.layers.GroupSort(4),
    "threes of rows": lambda: itf.layers.GroupSort(3, axis=1),
    "pairs of columns": lambda: itf.layers.GroupSort(2, axis=-2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_group_is_in_ascending_order(name):
    layer, x = LAYERS[name](), images()
    y = layer(x).numpy()
    moved = np.moveaxis(x, layer.axis, -1)
    expected = np.sort(moved.reshape(*moved.shape[:-1], -1, layer.group_size)).reshape(moved.shape)
    np.testing.assert_array_equal(y, np.moveaxis(expected, -1, layer.axis))
    assert (y != x).any()


@pytest.mark.parametrize("size", [2, 3])
def test_equal_features_do_not_stretch_gradients(size):
    """The Jacobian's norm is 1 there too."""
    x = tf.ones([1, size], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = itf.layers.GroupSort(size)(x)
    assert np.linalg.norm(tape.jacobian(y, x)[0, :, 0], 2) == pytest.approx(1)


def test_unknown_sizes_along_other_axes():
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, itf.layers.GroupSort(2)(inputs))
    x = images(3, 4)[:, :, :, 0]
    assert model.output_shape == (None, None, 4)
    np.testing.assert_array_equal(model(x)[0, 0, :2], np.sort(x[0, 0, :2]))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: itf.layers.GroupSort(1), ValueError, "at least 2"),
        (lambda: itf.layers.GroupSort(2.0), ValueError, "positive integer. Received: 2.0"),
        (lambda: itf.layers.GroupSort(axis=0), ValueError, "the batch"),
        (lambda: itf.layers.GroupSort(axis=1.0), TypeError, "`axis` must be an int"),
        (lambda: itf.layers.GroupSort(3)(images()), ValueError, r"multiple of group_size=3.* 4\)"),
        (lambda: itf.layers.GroupSort(2, axis=4)(images()), ValueError, "along axis 4"),
        (lambda: itf.layers.GroupSort(2, axis=-4)(images()), ValueError, "along axis -4"),
        (lambda: itf.layers.GroupSort(2)(keras.Input((4, None))), ValueError, "known number"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def permutations_of_pairs(size):
    """All matrices that swap some of the pairs (1, 2), (3, 4), …"""
    for swaps in itertools.product([False, True], repeat=size // 2):
        order = np.arange(size)
        for pair, swap in enumerate(swaps):
            if swap:
                order[2 * pair : 2 * pair + 2] = 2 * pair + 1, 2 * pair
        yield np.eye(size)[order]


def test_no_bound_is_below_a_network_with_some_pairs_swapped():
    """W₂ P W₁ is the network's slope somewhere, for each P; a chain of slopes would be below."""
    random = np.random.default_rng(0)
    for _ in range(5):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(4, name="below"),
                itf.layers.GroupSort(2),
                keras.layers.Dense(3),
            ]
        )
        # W₂ = −W₁ᵀ on the pairs' differences, where a swap adds what a slope would take away.
        first = random.normal(size=(4, 4))
        model.set_weights([first, np.zeros(4), -first.T[:, :3], np.zeros(3)])
        largest = max(np.linalg.norm(first[:3] @ p @ first.T, 2) for p in permutations_of_pairs(4))
        report = itf.lipschitz.bound(model)
        assert report.total >= largest
        norms = np.linalg.norm(first, 2) * np.linalg.norm(first[:3], 2)
        assert report.total == pytest.approx(norms, rel=1e-6)
        assert [row.bound for row in report.rows if row.kind == "GroupSort"] == [1.0]
