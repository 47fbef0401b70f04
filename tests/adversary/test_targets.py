"""Untargeted attacks: the nearest of all classes."""

import numpy as np
import pytest

from tests.adversary.networks import points, zoo_adversary

TOLERANCE = 0.01  # of the mean; of one image 0.05: the search is not exact either


def brute_force(attack, x, labels, classes):
    """The least distance over all classes, one full search each."""
    distances = []
    for shift in range(1, classes):
        distances.append(attack(x, labels, (labels + shift) % classes).l2)
    return np.min(distances, axis=0)


@pytest.mark.slow
def test_nearest_of_a_small_network_is_the_least_over_all_classes(network, adversary):
    x = points(40)
    own = network.predict(x, verbose=0).argmax(1)
    result = adversary(x, own, targets="nearest")
    least = brute_force(adversary, x, own, 4)
    assert result.success.all()
    np.testing.assert_array_less(result.l2, least * 1.05)
    assert result.l2.mean() <= least.mean() * (1 + TOLERANCE)


@pytest.mark.slow
def test_nearest_digits_are_the_least_over_all_classes(sample):
    attack = zoo_adversary("mnist/fc100-100-10")
    x, y = sample[0][:16], sample[1][:16]
    right = attack.classifier.predict(x) == y
    result = attack(x[right], y[right], targets="nearest")
    least = brute_force(attack, x[right], y[right], 10)
    np.testing.assert_array_less(result.l2, least * 1.05)
    assert result.l2.mean() <= least.mean() * (1 + TOLERANCE)
    # and it is cheaper than trying all nine
    assert result.nfev.mean() < 5 * attack(x[right], y[right]).nfev.mean()
