"""The symbol of a convolution: its matrix at each frequency, and the largest of their norms.

On a torus a convolution acts on each frequency by itself: on signals v·exp(iξ·x) as the matrix
Ŵ(ξ) = Σ_t P_t exp(iξ·q_t), where P_t are the taps and q_t their places. With stride s the s₀s₁
phases of the input are channels of their own ("polyphase"), and the torus is s times smaller.
The theory is in docs/lipschitz-mathematics.md.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from intriguing_tf.lipschitz.rounding import BATCHED_SIZE, first_above, gamma, lanczos

Array = np.ndarray

# A certified maximum is at most this much (relative) above the largest norm that was met.
MARGIN = 5e-5
# Another twist is taken up only if its maximum may be lower by this much (relative).
WORTH_SWITCHING = 1.5e-4
# Bytes of matrices that are held at once.
CHUNK = 2**25


@dataclasses.dataclass(frozen=True)
class Polyphase:
    """A kernel as taps at places on the grid of outputs, with the input's phases as channels.

    Args:
        taps: [T, phases × inputs, outputs].
        places: integer [T, axes], sorted.
        phases: integer [phases, axes], each below the stride; phases that no tap reads are left
            out.
    """

    taps: Array
    places: Array
    phases: Array


def polyphase(kernel: Array, strides: Sequence[int], dilations: Sequence[int]) -> Polyphase:
    """Splits a kernel [*size, inputs, outputs] into the phases of the stride."""
    *size, inputs, outputs = kernel.shape
    by_place: dict[tuple[int, ...], dict[tuple[int, ...], Array]] = {}
    for tap in np.ndindex(*size):
        offsets = [d * t for d, t in zip(dilations, tap, strict=True)]
        place = tuple(u // s for u, s in zip(offsets, strides, strict=True))
        phase = tuple(u % s for u, s in zip(offsets, strides, strict=True))
        by_place.setdefault(place, {})[phase] = kernel[tap]
    places = sorted(by_place)
    phases = sorted({phase for taps in by_place.values() for phase in taps})
    taps = np.zeros((len(places), len(phases), inputs, outputs))
    for i, place in enumerate(places):
        for phase, matrix in by_place[place].items():
            taps[i, phases.index(phase)] = matrix
    return Polyphase(
        taps.reshape(len(places), len(phases) * inputs, outputs), np.array(places), np.array(phases)
    )


class GramSymbol:
    """G(ξ) = Ŵ(ξ)ᴴŴ(ξ) = Σ_δ R_δ exp(iξ·δ), from the lag matrices R_δ = Σ_t P_tᵀ P_{t+δ}.

    Args:
        taps: real [T, m, n], best with n ≤ m: G is n × n.
        places: integer [T, axes], sorted lexicographically.

    Attributes:
        size: n.
        error: a bound of the spectral norm of the rounding error in `matrices`.
    """

    def __init__(self, taps: Array, places: Array):
        count, rows, self.size = taps.shape
        zero, lags, self._places = _lag_matrices(taps, places)
        mirrored = lags.transpose(0, 2, 1)
        # R_{−δ} = R_δᵀ, so that half of the lags is enough: cosines take R + Rᵀ, sines R − Rᵀ.
        self._even = np.concatenate([zero[None], lags + mirrored]).reshape(-1, self.size**2)
        self._odd = (lags - mirrored).reshape(-1, self.size**2)
        total = float(np.sum(np.linalg.norm(taps.reshape(count, -1), axis=1)))
        # Products of `rows` terms, summed over `count` taps and then over twice the lags; a few
        # roundings in the phases, whose arguments are below 2π times the lag.
        longest = 1 + float(np.max(np.abs(places), initial=0))
        terms = rows + count + 2 * len(self._even) + 32 * longest
        self.error = 4 * gamma(terms) * total**2
        self._prepare_cheap_bound()

    def matrices(self, frequencies: Array) -> Array:
        """Returns G at frequencies [f, axes] in radians as complex128 [f, n, n]."""
        cosines, sines = self._waves(frequencies)
        result = np.empty((len(frequencies), self.size**2), np.complex128)
        result.real = cosines @ self._even
        result.imag = sines @ self._odd
        return result.reshape(-1, self.size, self.size)

    def rayleigh(self, vector: Array) -> tuple[Array, Array]:
        """Returns the coefficients of vᴴG(ξ)v for `evaluate`: a lower bound at every frequency."""
        outer = np.outer(vector.conj(), vector).ravel()
        return self._even @ outer.real, -(self._odd @ outer.imag)

    def evaluate(self, coefficients: tuple[Array, Array], frequencies: Array) -> Array:
        """Returns a real trigonometric polynomial at frequencies [f, axes]."""
        cosines, sines = self._waves(frequencies)
        return cosines @ coefficients[0] + sines @ coefficients[1]

    def cheap_bounds(self, frequencies: Array) -> Array:
        """Returns upper bounds of λ_max(G(ξ)) from its trace and Frobenius norm, as [f]."""
        cosines, sines = self._waves(frequencies)
        squares = np.einsum("fi,ij,fj->f", cosines, self._even_products, cosines, optimize=True)
        squares += np.einsum("fi,ij,fj->f", sines, self._odd_products, sines, optimize=True)
        squares += self._squares_error
        mean = cosines @ self._traces / self.size
        spread = np.maximum(squares / self.size - mean**2, 0) + 1e-12 * squares
        return mean + np.sqrt((self.size - 1) * spread) + self.error

    def proved_in_groups(self, frequencies: Array, bound: float) -> Array:
        """None: no frequency says anything of another."""
        return np.zeros(len(frequencies), bool)

    def _prepare_cheap_bound(self) -> None:
        self._even_products = self._even @ self._even.T
        self._odd_products = self._odd @ self._odd.T
        diagonals = np.arange(self.size) * (self.size + 1)
        self._traces = self._even[:, diagonals].sum(axis=1)
        total = np.sum(np.sqrt(np.diag(self._even_products)))
        total += np.sum(np.sqrt(np.diag(self._odd_products)))
        terms = self.size**2 + 4 * len(self._even)
        self._squares_error = 8 * gamma(terms) * total**2 + 2 * self.error * total

    def _waves(self, frequencies: Array) -> tuple[Array, Array]:
        angles = frequencies @ self._places.T
        return np.concatenate([np.ones((len(angles), 1)), np.cos(angles)], axis=1), np.sin(angles)


def _lag_matrices(taps: Array, places: Array) -> tuple[Array, Array, Array]:
    """Returns R_0 [n, n], the R_δ [lags, n, n] of the positive half and their δ [lags, axes]."""
    count, rows, size = taps.shape
    side_by_side = np.ascontiguousarray(taps.transpose(1, 0, 2).reshape(rows, count * size))
    lags: dict[tuple[int, ...], Array] = {}
    for t in range(count):
        later = side_by_side[:, t * size :]
        products = (side_by_side[:, t * size : (t + 1) * size].T @ later).reshape(size, -1, size)
        for u in range(t, count):
            lag = tuple(places[u] - places[t])
            if lag in lags:
                lags[lag] += products[:, u - t]
            else:
                lags[lag] = products[:, u - t].copy()
    zero = lags.pop((0,) * places.shape[1])
    shape = (len(lags), size, size)
    return (
        (zero + zero.T) / 2,
        np.array(list(lags.values())).reshape(shape),
        np.array(list(lags), float).reshape(len(lags), places.shape[1]),
    )


def frequency_grid(shape: Sequence[int], twist: Sequence[int]) -> Array:
    """Returns the frequencies (2πj + πθ)/M of a torus, one of each pair ξ, −ξ, as [f, axes].

    Args:
        shape: M per axis.
        twist: θ per axis, 0 for periodic and 1 for antiperiodic signals.
    """
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    indices = indices.reshape(-1, len(shape))
    partners = (-indices - np.array(twist)) % np.array(shape)
    numbers = [np.ravel_multi_index(tuple(each.T), tuple(shape)) for each in (indices, partners)]
    one_of_each = indices[numbers[0] <= numbers[1]]
    return (2 * np.pi * one_of_each + np.pi * np.array(twist)) / np.array(shape)


def twists(axes: int) -> list[tuple[int, ...]]:
    """All the ways to glue the torus that keep half of the spectrum enough for real kernels."""
    return list(itertools.product((0, 1), repeat=axes))


class Symbol(Protocol):
    """A Hermitian matrix at each frequency, as `GramSymbol` describes it."""

    size: int
    error: float

    def matrices(self, frequencies: Array) -> Array: ...

    def rayleigh(self, vector: Array) -> tuple[Array, Array]: ...

    def evaluate(self, coefficients: tuple[Array, Array], frequencies: Array) -> Array: ...

    def cheap_bounds(self, frequencies: Array) -> Array: ...

    def proved_in_groups(self, frequencies: Array, bound: float) -> Array: ...


class _Grid:
    """What is known about λ_max(G) on the frequencies of one torus."""

    def __init__(self, symbol: Symbol, shape: Sequence[int], twist: Sequence[int]):
        self.twist = tuple(twist)
        self.frequencies = frequency_grid(shape, twist)
        self.lower = np.zeros(len(self.frequencies))
        # An inconclusive test lifts this a little, so that the search always ends.
        self.floor = 0.0
        self.tested = False
        self._symbol = symbol
        self._upper: Array | None = None

    @property
    def upper(self) -> Array:
        if self._upper is None:
            self._upper = self._symbol.cheap_bounds(self.frequencies)
        return self._upper

    def learn(self, coefficients: tuple[Array, Array]) -> None:
        values = self._symbol.evaluate(coefficients, self.frequencies)
        np.maximum(self.lower, values, out=self.lower)

    def least_maximum(self) -> float:
        return max(float(np.max(self.lower)), self.floor)

    def first_failure(self, bound: float) -> int | None:
        """Tests G ≤ bound at every frequency where it is open, the most likely failures first."""
        todo = np.flatnonzero(self.upper > bound)
        todo = todo[np.argsort(-self.lower[todo], kind="stable")]
        self.tested = True
        start, length = 0, 4
        most = max(1, CHUNK // (16 * self._symbol.size**2))
        while start < len(todo):
            chunk = todo[start : start + min(length, most)]
            matrices = self._symbol.matrices(self.frequencies[chunk])
            failure = first_above(matrices, bound, self._symbol.error)
            passed = chunk if failure is None else chunk[:failure]
            if failure is None or self._symbol.size > BATCHED_SIZE:
                self.upper[passed] = bound
            if failure is not None:
                return int(chunk[failure])
            start, length = start + len(chunk), 2 * length
            if start == len(chunk):  # the most likely failures have passed
                todo = np.concatenate([todo[:start], self._open_after_groups(todo[start:], bound)])
        return None

    def _open_after_groups(self, todo: Array, bound: float) -> Array:
        """Those of some frequencies that no test of a group has proved."""
        proved = self._symbol.proved_in_groups(self.frequencies[todo], bound)
        self.upper[todo[proved]] = bound
        return todo[~proved]


@dataclasses.dataclass(frozen=True)
class TorusMaximum:
    """A certified upper bound of λ_max(G) on a torus.

    Args:
        value: the bound.
        twist: the twist of the torus that gave it.
        frequency: where the largest value was met, [axes].
        vector: its eigenvector there, complex [n].
    """

    value: float
    twist: tuple[int, ...]
    frequency: Array
    vector: Array


def torus_maximum(
    symbol: Symbol,
    shape: Sequence[int],
    tried: Sequence[Sequence[int]],
    floor: float = 0.0,
) -> TorusMaximum:
    """Returns a certified bound of max_ξ λ_max(G(ξ)), the least over the twists that are tried.

    Every twist samples the same function of ξ, and every eigenvector v that is met bounds all of
    them from below by the trigonometric polynomial vᴴG(ξ)v. So only the twist whose lower bound is
    least is worth certifying; each failed test finds a new vector, which lifts the lower bounds.

    Args:
        symbol: the Gram symbol.
        shape: the torus of the outputs, points per axis.
        tried: the twists.
        floor: a bound this low needs no more work; for maxima over several symbols.
    """
    grids = [_Grid(symbol, shape, twist) for twist in tried]
    plain = grids[0]
    frequency = plain.frequencies[np.argmax(plain.upper)]
    vector = _learn(symbol, grids, frequency, None)
    for _ in range(3):  # climb from the most likely frequency to a peak
        peak = plain.frequencies[np.argmax(plain.lower)]
        if np.array_equal(peak, frequency):
            break
        frequency = peak
        vector = _learn(symbol, grids, frequency, vector)
    while True:
        grid = min(grids, key=_promise)
        bound = max(grid.least_maximum() * (1 + MARGIN) ** 2, floor, 2 * symbol.error)
        failure = grid.first_failure(bound)
        if failure is None:
            return TorusMaximum(bound, grid.twist, frequency, vector)
        frequency = grid.frequencies[failure]
        vector = _learn(symbol, grids, frequency, vector)
        if grid.lower[failure] <= bound:
            grid.floor = bound


def _promise(grid: _Grid) -> float:
    # Work already done on a grid is worth more than a gain too small to matter.
    return grid.least_maximum() * (1 - WORTH_SWITCHING * grid.tested)


def _learn(symbol: Symbol, grids: list[_Grid], frequency: Array, near: Array | None) -> Array:
    """Finds the top eigenvector at a frequency and tells all grids of it."""
    matrix = symbol.matrices(frequency[None])[0]
    if symbol.size <= 64:
        vector = np.linalg.eigh(matrix)[1][:, -1]
    else:
        rng = np.random.default_rng(0)
        noise: Array = rng.normal(size=(symbol.size, 2)) @ np.array([1, 1j])
        noise = noise / np.linalg.norm(noise)
        start = noise if near is None else near + 0.1 * noise
        _, vector = lanczos(lambda x: matrix @ x, start, steps=60, tolerance=2e-3)
    coefficients = symbol.rayleigh(vector)
    for grid in grids:
        grid.learn(coefficients)
    return vector


def oriented(taps: Array) -> Array:
    """Taps [T, m, n] with n ≤ m, mapping the smaller side to the larger."""
    return taps.transpose(0, 2, 1) if taps.shape[1] < taps.shape[2] else taps


def scalar_maximum(
    split: Sequence[Polyphase], shape: Sequence[int], tried: Sequence[tuple[int, ...]]
) -> tuple[int, TorusMaximum]:
    """`torus_maximum` of many groups whose Gram symbols are numbers, and the worst group."""
    taps = np.stack([oriented(each.taps)[..., 0] for each in split], axis=1)  # [T, groups, m]
    places = split[0].places
    total = np.sum(np.linalg.norm(taps, axis=2), axis=0)
    rounding = 4 * gamma(len(taps) + 32 * (1 + int(np.max(np.abs(places))))) * total
    maxima, peaks = [], []
    for each in tried:
        frequencies = frequency_grid(shape, each)
        values = np.zeros(len(split))
        at = np.zeros(len(split), int)
        step = max(1, CHUNK // (16 * taps[0].size))
        for start in range(0, len(frequencies), step):
            waves = np.exp(1j * (frequencies[start : start + step] @ places.T))
            symbols = np.tensordot(waves, taps, axes=1)
            squares = np.sum(symbols.real**2 + symbols.imag**2, axis=2)
            top = np.argmax(squares, axis=0)
            peak = np.take_along_axis(squares, top[None], axis=0)[0]
            at = np.where(peak > values, start + top, at)
            values = np.maximum(values, peak)
        maxima.append((np.sqrt(values) + rounding) ** 2 * (1 + gamma(8)))
        peaks.append(frequencies[at])
    best = np.argmin(maxima, axis=0)
    bounds = np.min(maxima, axis=0)
    group = int(np.argmax(bounds))
    twist = int(best[group])
    return group, TorusMaximum(
        float(bounds[group]), tried[twist], peaks[twist][group], np.ones(1, complex)
    )
