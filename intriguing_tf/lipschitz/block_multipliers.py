"""Chooses the multipliers Λ of a residual block: the least L² that they prove, by L-BFGS.

Any positive ones are valid, so nothing here is rigorous, nor has to be; the block and its matrices
C and N are those of `residual`.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from scipy.optimize import minimize

from intriguing_tf.lipschitz.operators import Block

Array = np.ndarray

# Floating-point operations for choosing Λ, evaluations at most, and rounds of sharper maxima.
SEARCH_COST = 6e10
EVALUATIONS = 150
# With many frequencies an evaluation costs more.
EVALUATIONS_OF_MANY = 50
SHARPNESS = (50.0, 1000.0)
# Above so many rows only the top eigenvectors are found.
DIRECT = 48
INFEASIBLE = 1e6


class BlockProblem:
    """The block at some frequencies, where Λ is chosen; nothing here is rigorous."""

    def __init__(self, block: Block, frequencies: Array):
        self.sizes = [layer.outputs for layer in block.layers[:-1]]
        count = len(frequencies)
        self._weights = [_repeated(each.symbols(frequencies), count) for each in block.layers]
        shortcut = block.shortcut
        self._shortcut = (
            None if shortcut is None else _repeated(shortcut.symbols(frequencies), count)
        )
        self._inputs = block.inputs
        self._ends = np.cumsum([0, *self.sizes])
        self._vectors: list[Array | None] = [None] * count
        self._is_real = block.is_real
        self.cost = count * (2 * self._ends[-1] ** 3 + 1000 * self._inputs * self._ends[-1])

    def optimized(self, start: list[Array], fewer: int) -> list[Array]:
        """Returns Λ with a small L², from a start for which N is positive definite."""
        point = np.log(np.concatenate(start))
        best = [self._value(point, SHARPNESS[-1])[0], point]

        def objective(moved: Array, sharpness: float) -> tuple[float, Array]:
            value, gradient = self._value(moved, sharpness)
            if value < best[0]:
                best[:] = [value, moved.copy()]
            return value, gradient

        most = EVALUATIONS if len(self._vectors) == 1 else EVALUATIONS_OF_MANY
        steps = int(min(most, SEARCH_COST / self.cost) / fewer)
        for sharpness in SHARPNESS if steps > 30 else SHARPNESS[:1]:
            options = {"maxfun": max(steps // len(SHARPNESS), 4), "maxcor": 30}
            minimize(objective, best[1], (sharpness,), "L-BFGS-B", jac=True, options=options)
            best[0] = self._value(best[1], SHARPNESS[-1])[0]
        return np.split(np.exp(best[1]), self._ends[1:-1])

    def largest(self, multipliers: list[Array]) -> float:
        """The L² that these Λ lead to; `inf` where N is not positive definite."""
        tops = [self._top(i, multipliers, 40) for i in range(len(self._weights[0]))]
        return max((float(each[0][-1]) if each else math.inf) for each in tops)

    def _value(self, point: Array, sharpness: float) -> tuple[float, Array]:
        """log L² with a softened maximum over eigenvalues and frequencies, and its gradient."""
        multipliers = np.split(np.exp(point), self._ends[1:-1])
        tops = [self._top(i, multipliers, 6) for i in range(len(self._weights[0]))]
        if any(each is None for each in tops):
            return INFEASIBLE, np.zeros_like(point)
        largest = max(float(each[0][-1]) for each in tops if each)
        weights = [np.exp(sharpness * (each[0] / largest - 1)) for each in tops if each]
        total = sum(float(np.sum(each)) for each in weights)
        gradient = np.zeros_like(point)
        for i, (found, weight) in enumerate(zip(tops, weights, strict=True)):
            kept = weight > 1e-9
            if found and kept.any():
                slope = self._slope(i, found[1][:, kept], found[2][:, kept])
                gradient += slope @ weight[kept]
        gradient *= np.exp(point) / (total * largest)
        return math.log(largest) + math.log(total) / sharpness, gradient

    def _slope(self, i: int, vectors: Array, units: Array) -> Array:
        """d(L²)/dΛ = 2 Re u̅_i (W_i u_{i−1} − u_i) for each eigenvector, [units, vectors]."""
        below = vectors
        found = []
        for layer, (start, stop) in enumerate(zip(self._ends[:-1], self._ends[1:], strict=True)):
            own = units[start:stop]
            found.append(2 * (own.conj() * (self._weights[layer][i] @ below - own)).real)
            below = own
        return np.concatenate(found)

    def _top(
        self, i: int, multipliers: list[Array], steps: int
    ) -> tuple[Array, Array, Array] | None:
        """Largest eigenvalues of VᵀV + C N⁻¹ Cᵀ, eigenvectors, and the u = −N⁻¹Cᵀx of each."""
        cross, middle = self._parts(i, multipliers)
        try:
            factor = scipy.linalg.cholesky(middle, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        shortcut = None if self._shortcut is None else self._shortcut[i]
        if self._inputs <= DIRECT:
            half = scipy.linalg.solve_triangular(factor, cross.conj().T, lower=True)
            square = half.conj().T @ half
            square += np.eye(len(square)) if shortcut is None else shortcut.conj().T @ shortcut
            values, vectors = np.linalg.eigh(square)
        else:
            values, vectors = self._iterated(i, cross, factor, shortcut, steps)
        units = -scipy.linalg.cho_solve((factor, True), cross.conj().T @ vectors)
        return values, vectors, units

    def _iterated(
        self, i: int, cross: Array, factor: Array, shortcut: Array | None, steps: int
    ) -> tuple[Array, Array]:
        """A few of the largest eigenvalues by subspace iteration, from where the last one ended."""
        vectors = self._vectors[i]
        if vectors is None:
            rng = np.random.default_rng(0)
            vectors = rng.normal(size=(self._inputs, 6)).astype(cross.dtype)
            steps = 40
        for step in range(steps + 1):
            vectors = np.linalg.qr(vectors)[0]
            image = cross @ scipy.linalg.cho_solve((factor, True), cross.conj().T @ vectors)
            image += vectors if shortcut is None else shortcut.conj().T @ (shortcut @ vectors)
            if step < steps:
                vectors = image
        values, mixed = np.linalg.eigh(vectors.conj().T @ image)
        self._vectors[i] = vectors = vectors @ mixed
        return values, vectors

    def _parts(self, i: int, multipliers: list[Array]) -> tuple[Array, Array]:
        """C [inputs, units] and N [units, units]."""
        ends = self._ends
        weights = [each[i] for each in self._weights]
        dtype = float if self._is_real else complex
        cross = np.zeros((self._inputs, ends[-1]), dtype)
        middle = np.zeros((ends[-1], ends[-1]), dtype)
        cross[:, : ends[1]] = -weights[0].conj().T * multipliers[0]
        last = weights[-1]
        shortcut = None if self._shortcut is None else self._shortcut[i]
        cross[:, ends[-2] :] -= last if shortcut is None else shortcut.conj().T @ last
        middle[np.diag_indices(ends[-1])] = 2 * np.concatenate(multipliers)
        middle[ends[-2] :, ends[-2] :] -= last.conj().T @ last
        for j in range(1, len(weights) - 1):
            rows, columns = slice(ends[j], ends[j + 1]), slice(ends[j - 1], ends[j])
            middle[rows, columns] = -multipliers[j][:, None] * weights[j]
            middle[columns, rows] = middle[rows, columns].conj().T
        return cross, middle

    def uniform(self, share: float) -> list[Array]:
        """One number per layer, from the last down: `share` times what 2Λ must be above."""
        found: list[Array] = []
        count = len(self._weights[0])
        grams = [self._weights[-1][i].conj().T @ self._weights[-1][i] for i in range(count)]
        for layer in reversed(range(len(self.sizes))):
            number = share * max(map(_largest, grams))
            found.insert(0, np.full(self.sizes[layer], number))
            below = []
            for i, gram in enumerate(grams if layer else []):
                rest = 2 * number * np.eye(len(gram)) - gram
                weights = self._weights[layer][i]
                below.append(number**2 * weights.conj().T @ np.linalg.solve(rest, weights))
            grams = below
        return found


def start_of(problem: BlockProblem) -> list[Array]:
    """Λ for which N is positive definite, a number per layer, from the last one down."""
    best: list[Array] = []
    least = math.inf
    for share in (0.55, 0.75, 1.0, 1.5):
        found = problem.uniform(share)
        value = problem.largest(found)
        if value < least or not best:
            least, best = value, found
    return best


def _largest(gram: Array) -> float:
    """About the largest eigenvalue of a positive semidefinite matrix, a little above."""
    if len(gram) <= DIRECT:
        return float(np.linalg.eigvalsh(gram)[-1])
    vector = np.random.default_rng(0).normal(size=len(gram)).astype(gram.dtype)
    for _ in range(30):
        vector = gram @ (vector / np.linalg.norm(vector))
    return 1.02 * float(np.linalg.norm(vector))


def _repeated(symbols: Array, count: int) -> Array:
    return np.broadcast_to(symbols, (count, *symbols.shape[1:]))
