"""Layers on one grid: their symbols against the layers themselves on waves."""

from __future__ import annotations

import numpy as np
import pytest

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Geometry
from intriguing_tf.lipschitz.operators import dense_kernel, operators_of
from intriguing_tf.lipschitz.steps import Matrix


def convolution(size: int, kernel: int, stride: int = 1, padding: str = "same", seed: int = 0):
    taps = np.random.default_rng(seed).normal(size=(kernel, 2, 3))
    return Convolution.of(taps, Geometry((size,), stride, padding))


@pytest.mark.parametrize("kernel, stride", [(1, 1), (3, 1), (4, 1), (3, 2), (1, 2), (5, 3)])
def test_a_wave_inside_the_image_is_multiplied_by_the_symbol_phase_included(kernel, stride):
    """y(o) = Ŵ(η) v exp(iηo) for x(s·o + p) = v_p exp(iηo), away from the borders."""
    layer = convolution(24, kernel, stride)
    ([operator],), _ = operators_of([[layer]])
    frequency = 0.7
    phases = operator.inputs // 2
    phase_of = (
        [0] if phases == 1 else sorted({(t - layer.axes[0].left) % stride for t in range(kernel)})
    )
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(phases, 2)) + 1j * rng.normal(size=(phases, 2))
    image = np.zeros((24, 2), complex)
    for phase, vector in zip(phase_of, vectors, strict=True):
        coarse = np.arange(0, 24 - phase, stride) // stride
        image[phase::stride] = vector * np.exp(1j * frequency * coarse)[:, None]
    found = layer.apply(image.real) + 1j * layer.apply(image.imag)
    symbol = operator.symbols(np.array([[frequency]]))[0]
    middle = layer.output_pixels // 2
    expected = symbol @ vectors.ravel() * np.exp(1j * frequency * middle)
    np.testing.assert_allclose(found[middle], expected, atol=1e-12)


def test_scales_sizes_and_errors_bound_the_symbols():
    ([operator],), _ = operators_of([[convolution(9, 3)]])
    left, right = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.1])
    frequencies = np.linspace(-3, 3, 41)[:, None]
    symbols = operator.symbols(frequencies, left, right)
    plain = operator.symbols(frequencies)
    np.testing.assert_allclose(symbols, left[:, None] * plain * right, rtol=1e-12, atol=1e-15)
    size, error = operator.size(left, right)
    assert np.linalg.norm(symbols, 2, axis=(1, 2)).max() <= size
    assert 0 < error < 1e-10 * size


def test_kinds_and_strides_that_do_not_fit_are_refused():
    matrix = Matrix(np.eye(2))
    assert operators_of([[], [matrix, matrix]]) is not None
    assert operators_of([[matrix], [convolution(8, 3)]]) is None
    assert operators_of([[], [convolution(8, 3, 2)]]) is None
    assert operators_of([[convolution(8, 1, 2)], [convolution(8, 3, 1)]]) is None
    assert operators_of([[], []]) is None


def test_groups_become_a_block_diagonal_kernel():
    taps = np.random.default_rng(0).normal(size=(3, 1, 4))
    layer = Convolution.of(taps, Geometry((6,), 1, "same", groups=2))
    kernel = dense_kernel(layer)
    assert kernel.shape == (3, 2, 4)
    assert np.array_equal(kernel[:, 0, :2], taps[:, 0, :2])
    assert not kernel[:, 0, 2:].any() and not kernel[:, 1, :2].any()
