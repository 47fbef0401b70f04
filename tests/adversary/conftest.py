"""Fixtures of the adversary's tests."""

import pytest

import intriguing_tf as itf
from tests.adversary.networks import small_network


@pytest.fixture(scope="session")
def sample():
    return itf.datasets.mnist_sample()


@pytest.fixture(scope="session")
def network():
    return small_network()


@pytest.fixture(scope="session")
def adversary(network):
    """An adversary of the small network, so that it is traced once."""
    return itf.LBFGSAdversary(network, loss="margin", jit_compile=False)
