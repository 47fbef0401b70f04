"""Operator norms of kernels against closed forms, dense matrices and each other."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.lipschitz import (
    conv_norm,
    conv_transpose_norm,
    dense_norm,
    depthwise_norm,
)
from intriguing_tf.lipschitz.rounding import LEAST

pytestmark = pytest.mark.processor


def random_kernel(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) / math.sqrt(math.prod(shape[:-1]))


def test_dense_norm_is_the_largest_singular_value():
    kernel = random_kernel(40, 70)
    exact = np.linalg.norm(kernel, 2)
    assert exact <= dense_norm(kernel) <= exact * (1 + 1e-8)
    half = kernel.astype(np.float16)
    assert dense_norm(half) >= np.linalg.norm(half.astype(float), 2)


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e150])
def test_extreme_weights_neither_vanish_nor_overflow(scale):
    kernel = random_kernel(30, 20)
    exact = np.linalg.norm(kernel, 2) * scale
    # Products below `LEAST` count as this much: it, and not the tenth digit of 1e-300, is promised.
    underflow = 2 * LEAST if exact < LEAST else 0.0
    assert exact <= dense_norm(kernel * scale) <= exact * (1 + 1e-8) + underflow


def test_zero_weights_have_norm_zero():
    assert dense_norm(np.zeros((3, 4))) == 0.0
    assert conv_norm(np.zeros((3, 3, 2, 2)), (8, 8)) == 0.0


def test_one_tap_has_norm_one_at_every_stride():
    """The paper's factor Δ⁻² would give 1/2 at stride 2."""
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    for stride in (1, 2, 3):
        for size in (9, 90):  # the dense matrix, and the torus
            found = conv_norm(kernel, (size, size), strides=stride, padding="same")
            assert 1 <= found <= 1 + 1e-4


def test_box_filter_reaches_the_closed_form_of_the_tridiagonal_matrix():
    """(1, 1) on n pixels, "valid": AAᵀ is tridiagonal (1, 2, 1), its norm 2 + 2 cos(π/n)."""
    for size in (4, 50, 6000):
        found = conv_norm(np.ones((2, 1, 1)), size)
        exact = math.sqrt(2 + 2 * math.cos(math.pi / size))
        assert exact <= found <= exact * (1 + 1e-4)


@pytest.mark.slow
def test_the_image_sized_fft_is_not_a_bound_for_zero_padding_but_ours_is():
    violations = 0
    for seed in range(60):
        kernel = random_kernel(3, 3, 1, 1, seed=seed)
        layer = keras.layers.Conv2D(1, 3, padding="same", use_bias=False, dtype="float64")
        layer.build((None, 4, 4, 1))
        layer.kernel.assign(kernel)
        columns = np.asarray(layer(np.eye(16).reshape(16, 4, 4, 1))).reshape(16, 16)
        exact = np.linalg.norm(columns, 2)
        circular = np.max(np.abs(np.fft.fft2(kernel[:, :, 0, 0], (4, 4))))
        violations += circular < exact * (1 - 1e-9)
        assert conv_norm(kernel, (4, 4), padding="same") >= exact
    assert violations > 0


@pytest.mark.slow
def test_depthwise_is_the_worst_channel():
    kernel = random_kernel(3, 3, 5, 2)
    each = [conv_norm(kernel[:, :, i : i + 1], (40, 41), 2, "same") for i in range(5)]
    found = depthwise_norm(kernel, (40, 41), 2, "same")
    assert found == pytest.approx(max(each), rel=2e-3)


@pytest.mark.slow
def test_transposed_convolution_is_the_adjoint():
    kernel = random_kernel(4, 4, 3, 6)
    forward = conv_norm(kernel, (30, 30), strides=2, padding="same")
    backward = conv_transpose_norm(kernel, (15, 15), (30, 30), strides=2, padding="same")
    assert forward == pytest.approx(backward, rel=1e-9)


def test_groups_are_the_worst_group():
    kernel = random_kernel(3, 3, 8, 24)
    parts = [conv_norm(kernel[..., i : i + 8], (30, 30), padding="same") for i in (0, 8, 16)]
    assert conv_norm(kernel, (30, 30), padding="same", groups=3) == pytest.approx(
        max(parts), rel=1e-3
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kernel": np.zeros((3, 3))}, "kernel_size, inputs, outputs"),
        ({"kernel": np.full((3, 3, 1, 1), np.nan)}, "finite"),
        ({"kernel": np.ones((3, 3, 1, 1)), "padding": "full"}, "valid"),
        ({"kernel": np.ones((3, 3, 1, 1)), "padding": "causal"}, "one spatial axis"),
        ({"kernel": np.ones((9, 9, 1, 1))}, "No window"),
        ({"kernel": np.ones((3, 3, 1, 1)), "strides": 0}, "strides"),
        ({"kernel": np.ones((3, 3, 1, 1)), "dilation_rate": (1, 2, 3)}, "dilation_rate"),
        ({"kernel": np.ones((3, 3, 1, 3)), "groups": 2}, "groups"),
        ({"kernel": np.ones((3, 3, 1, 1)), "spatial_shape": (8, 8, 8)}, "spatial_shape"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        conv_norm(**{"spatial_shape": (8, 8), **arguments})


def test_what_is_not_a_number_is_refused():
    with pytest.raises(TypeError, match="real"):
        dense_norm(np.ones((2, 2), complex))
    with pytest.raises(ValueError, match="inputs, outputs"):
        dense_norm(np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        itf.lipschitz.dense_norm([[1.0, math.inf]])
