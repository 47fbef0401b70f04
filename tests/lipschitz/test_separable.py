"""Separable kernels in their real form, against the composite symbol."""

from __future__ import annotations

import numpy as np
import pytest

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import axes
from intriguing_tf.lipschitz.separable import separable_symbol
from intriguing_tf.lipschitz.symbols import GramSymbol, frequency_grid, oriented, polyphase

SHAPE = (7, 5)


def separable(rng, inputs: int, outputs: int) -> np.ndarray:
    own, pointwise = rng.normal(size=(3, 3, inputs)), rng.normal(size=(inputs, outputs))
    return own[..., None] * pointwise


@pytest.mark.parametrize("outputs", [6, 9])
def test_the_real_form_has_the_same_eigenvalues(outputs):
    split = polyphase(separable(np.random.default_rng(0), 6, outputs), (1, 1), (1, 1))
    symbol, left_out = separable_symbol(split.taps, split.places)
    other = GramSymbol(oriented(split.taps), split.places)
    frequencies = frequency_grid(SHAPE, (0, 1))
    ours = np.linalg.eigvalsh(symbol.matrices(frequencies))[:, -1]
    theirs = np.linalg.eigvalsh(other.matrices(frequencies))[:, -1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    assert left_out < 1e-10 and symbol.error < 1e-8
    assert np.all(symbol.cheap_bounds(frequencies) >= ours)
    vector = np.linalg.eigh(symbol.matrices(frequencies[:1]))[1][0, :, -1] + 0j
    values = symbol.evaluate(symbol.rayleigh(vector), frequencies)
    assert values[0] == pytest.approx(ours[0]) and np.all(values <= ours * (1 + 1e-9))


def test_groups_prove_what_each_of_their_frequencies_does(monkeypatch):
    kernel = separable(np.random.default_rng(0), 8, 9)
    split = polyphase(kernel, (1, 1), (1, 1))
    symbol, _ = separable_symbol(split.taps, split.places)
    frequencies = frequency_grid((40, 30), (1, 0))
    largest = np.linalg.eigvalsh(symbol.matrices(frequencies))[:, -1]
    for bound in np.quantile(largest, (0.5, 0.9, 1.0)):
        proved = symbol.proved_in_groups(frequencies, bound)
        assert np.all(largest[proved] <= bound)
        assert np.mean(proved) > 0.7 * np.mean(largest < 0.8 * bound)
    monkeypatch.setattr("intriguing_tf.lipschitz.separable.HOPEFUL", np.inf)
    assert np.mean(symbol.proved_in_groups(frequencies, np.median(largest))) < 0.5


def test_other_kernels_have_none():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 6, 6))
    split = polyphase(kernel, (1, 1), (1, 1))
    assert separable_symbol(split.taps, split.places) is None


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [100, 120])
def test_a_large_layer_has_the_bound_of_its_composite_kernel(outputs, monkeypatch):
    kernel = separable(np.random.default_rng(0), 100, outputs)
    layer = Convolution(kernel, axes((8, 8), (3, 3), 1, "same", 1))
    found = layer.norm()
    monkeypatch.setattr(Convolution, "_real_form", lambda self, split: None)
    composite = layer.norm()
    assert found.upper == pytest.approx(composite.upper, rel=1e-3)
    assert found.lower == pytest.approx(composite.lower, rel=1e-3)
    assert found.lower <= found.upper
