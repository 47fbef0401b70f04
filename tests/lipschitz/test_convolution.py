"""The norm of one convolution: on the torus, and of patches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import axes


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel_shape, size, strides, groups",
    [((3, 3, 64, 64), 13, 1, 1), ((3, 3, 32, 64), 14, 2, 1), ((3, 3, 32, 64), 13, 1, 2)],
    ids=["plain", "stride 2", "2 groups"],
)
def test_large_maps_are_within_the_stated_gap(kernel_shape, size, strides, groups):
    inputs = kernel_shape[2] * groups
    weights = np.random.default_rng(0).normal(size=kernel_shape)
    # Past the size where the layer's own matrix is used.
    size = max(size, math.isqrt(4096 // min(inputs, kernel_shape[3])) * strides + 2)
    layer = Convolution(weights, axes((size, size), (3, 3), strides, "same", 1), groups)
    found = layer.norm()
    assert "torus" in found.how
    assert found.lower <= found.upper <= found.lower * 1.008


def test_patches_that_padding_always_cuts_do_not_attain_their_matrix():
    """Size 4, kernel 3, stride 3, "same": both windows hang over an edge."""
    kernel = np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    cut = Convolution(kernel, axes((4,), (3,), 3, "same", 1), dense_size=0).norm()
    whole = Convolution(kernel, axes((6,), (3,), 3, "same", 1), dense_size=0).norm()
    assert cut.upper >= np.linalg.norm(kernel) and cut.lower is None
    np.testing.assert_allclose([whole.lower, whole.upper], np.linalg.norm(kernel), rtol=1e-9)


@pytest.mark.parametrize("identities", [0, 1])
def test_parallel_convolutions_are_added_as_one(identities):
    rng = np.random.default_rng(0)
    sizes = [((3, 3), 1), ((1, 1), 1), ((3, 3), 1)]
    parts = [
        Convolution(rng.normal(size=(*size, 4, 4)), axes((6, 5), size, 1, "same", dilation))
        for size, dilation in sizes
    ]
    together = parts[1].plus([parts[0], parts[2]], identities)
    x = rng.normal(size=(30, 4))
    apart = sum(each.apply(x) for each in parts) + identities * x
    np.testing.assert_allclose(together.apply(x), apart, atol=1e-12)
    assert together.norm().upper < sum(each.norm().upper for each in parts)


def test_convolutions_of_other_strides_or_dilations_stay_apart():
    kernel = np.ones((3, 3, 2, 2))
    first = Convolution(kernel, axes((6, 6), (3, 3), 1, "same", 1))
    for strides, dilation in ((2, 1), (1, 2)):
        other = Convolution(kernel, axes((6, 6), (3, 3), strides, "same", dilation))
        assert first.plus([other], 0) is None
