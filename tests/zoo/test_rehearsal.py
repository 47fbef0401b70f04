"""Counting a network's weights without making them."""

import resource

import keras
import pytest

from intriguing_tf.zoo import rehearsal


def network(units):
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(units), keras.layers.BatchNormalization()]
    )


@pytest.mark.parametrize("units", [1, 30])
def test_the_size_is_that_of_the_network(units):
    assert rehearsal.count_weights(lambda: network(units)) == network(units).count_params()


def test_a_network_that_does_not_fit_takes_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert rehearsal.count_weights(lambda: network(10**10)) == 13 * 10**10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.slow
def test_it_leaves_nothing_behind():
    keras.utils.clear_session()
    rehearsal.count_weights(lambda: network(5))
    model = network(5)
    assert [layer.name for layer in model.layers] == ["dense", "batch_normalization"]
    assert model.get_weights()[0].shape == (8, 5)
    with keras.StatelessScope():  # which at its end makes what has no values yet
        pass


def test_its_errors_are_the_networks():
    with pytest.raises(ValueError, match=r"units|Negative"):
        rehearsal.count_weights(lambda: network(-1))
