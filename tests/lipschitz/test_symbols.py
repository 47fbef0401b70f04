"""Symbols of convolutions against circulant matrices."""

from __future__ import annotations

import math

import numpy as np

from intriguing_tf.lipschitz.symbols import GramSymbol, frequency_grid, polyphase, torus_maximum


def test_every_twist_and_the_polyphase_symbol_agree_with_a_circulant_matrix():
    """On the torus itself, periodic or antiperiodic, the symbol's norms are the matrix's."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 2, 2, 3))
    size, stride = (6, 8), (2, 2)
    for twist in ((0, 0), (1, 0), (1, 1)):
        matrix = np.zeros((3, 4, 3, *size, 2))
        for row, column, i, j in np.ndindex(3, 4, 3, 2):
            y, x = 2 * row + i, 2 * column + j
            sign = (-1) ** (twist[0] * (y // 6) + twist[1] * (x // 8))
            matrix[row, column, :, y % 6, x % 8] += sign * kernel[i, j].T
        exact = np.linalg.norm(matrix.reshape(36, -1), 2)
        split = polyphase(kernel, stride, (1, 1))
        taps = split.taps.transpose(0, 2, 1)
        taps = taps if taps.shape[1] >= taps.shape[2] else taps.transpose(0, 2, 1)
        found = torus_maximum(GramSymbol(taps, split.places), (3, 4), [twist])
        assert exact <= math.sqrt(found.value) <= exact * (1 + 1e-4)


def test_half_of_the_frequencies_stands_for_all():
    for shape in ((5, 4), (3, 7), (6,)):
        for twist in np.ndindex(*(2,) * len(shape)):
            half = frequency_grid(shape, twist)
            both = np.concatenate([half, -half]) % (2 * np.pi)
            assert len(np.unique(np.round(both, 9) % round(2 * np.pi, 9), axis=0)) == np.prod(shape)
