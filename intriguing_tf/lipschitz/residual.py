"""Residual blocks, bounded as a whole: x ↦ V x + W_{k+1} φ(W_k φ(… φ(W_1 x))).

With u_i the changes behind the activations, whose slopes lie in [0, 1], 2 u_iᵀ Λ_i (W_i u_{i−1} −
u_i) ≥ 0 for positive diagonals Λ_i. So L bounds the block where this matrix is ⪰ 0:

    L² I − VᵀV    C         C = [−W_1ᵀΛ_1, 0, …, −VᵀW_{k+1}]  (their sum where k = 1)
    Cᵀ            N         N = 2Λ_i, −W_{i+1}ᵀΛ_{i+1} beside it, and −W_{k+1}ᵀW_{k+1} at the end

For convolutions the same holds frequency by frequency, with one Λ_i for all of them. The least L²
is max λ_max(VᵀV + C N⁻¹ Cᵀ), convex in Λ; L-BFGS finds it on a sample of frequencies, and Cholesky
factorizations prove it on all (docs/lipschitz-mathematics.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from intriguing_tf.lipschitz.block_multipliers import BlockProblem, start_of
from intriguing_tf.lipschitz.operators import Block
from intriguing_tf.lipschitz.rounding import (
    UNIT_ROUNDOFF,
    all_below,
    gamma,
    is_below,
    round_up,
)
from intriguing_tf.lipschitz.symbols import CHUNK
from intriguing_tf.lipschitz.threads import threads_for

Array = np.ndarray

# Frequencies on which Λ is chosen, and how often those where the proof failed are added.
SAMPLE = 6
ROUNDS = 4
# Relative growth of L² that is taken rather than to choose Λ again.
LATER_GROWTH = 4e-3


def block_bound(block: Block) -> float:
    """Returns a proved Lipschitz bound of a residual block; `inf` where none was found."""
    size = max(block.units, block.inputs, *(layer.outputs for layer in block.layers))
    try:
        with threads_for(size):
            return _block_bound(block)
    except np.linalg.LinAlgError:  # of the search, where numbers are far apart
        return math.inf


def _block_bound(block: Block) -> float:
    frequencies = block.frequencies
    sample = _spread(np.arange(len(frequencies)), SAMPLE)
    multipliers = start_of(BlockProblem(block, frequencies[sample]))
    for trial in range(ROUNDS):
        problem = BlockProblem(block, frequencies[sample])
        multipliers = problem.optimized(multipliers, 1 if trial == 0 else 4)
        allowed = LATER_GROWTH if trial < ROUNDS - 1 else math.inf
        result = _certified(block, frequencies, multipliers, problem.largest(multipliers), allowed)
        if isinstance(result, float):
            return result
        sample = np.union1d(sample, _spread(result, SAMPLE))
    return math.inf


def _certified(
    block: Block, frequencies: Array, multipliers: list[Array], target: float, allowed: float
) -> float | Array:
    """Returns a proved bound, or the frequencies that would raise it by more than `allowed`."""
    least, growth = target, 1e-6
    remaining = np.arange(len(frequencies))
    while growth < 1e-2 and math.isfinite(target):
        square = target * (1 + growth)
        certificate = Certificate(block, multipliers, square)
        remaining = remaining[certificate.violations(frequencies[remaining])]
        if not len(remaining):
            return round_up(math.sqrt(square))
        worst = BlockProblem(block, frequencies[_spread(remaining, SAMPLE)])
        needed = worst.largest(multipliers)
        if needed > least * (1 + allowed) or math.isinf(needed):
            return remaining
        if needed <= square:
            growth *= 10  # only rounding is missing
        target = max(target, needed)
    return math.inf


class Certificate:
    """The proof that a block is bounded by L for given Λ, at each frequency.

    N is scaled to √(2Λ)⁻¹ N √(2Λ)⁻¹; x is eliminated where L² I − VᵀV is the same everywhere.

    Args:
        block: the block.
        multipliers: Λ_1 … Λ_k.
        square: L².
    """

    def __init__(self, block: Block, multipliers: Sequence[Array], square: float):
        self._block, self._square = block, square
        self._down = [1 / np.sqrt(2 * each) for each in multipliers]
        # √(2Λ_i)/2 stands beside Λ_i/√(2Λ_i); one rounding each, counted in `_error`.
        self._up = [0.5 / each for each in self._down]
        self._root = math.sqrt(square)
        self._inverse, self._rest = self._eliminated()

    def violations(self, frequencies: Array) -> Array:
        """Returns which of the frequencies are not proved, bool [f]."""
        failed = np.ones(len(frequencies), bool)
        if self._inverse is None and self._block.reduces:
            return failed
        size = self._block.units + (0 if self._block.reduces else self._block.inputs)
        error = self._error()
        step = max(1, CHUNK // (16 * size**2))
        for start in range(0, len(frequencies), step):
            chosen = slice(start, start + step)
            matrices = self._complements(frequencies[chosen])
            if all_below(matrices, 1.0, error):
                failed[chosen] = False
            else:
                failed[chosen] = [not is_below(each, 1.0, error) for each in matrices]
        return failed

    def _eliminated(self) -> tuple[Array | None, float]:
        """X and a excess with L² (L² I − VᵀV)⁻¹ ⪯ X + excess · I; `None` if there is none."""
        shortcut = self._block.shortcut
        if shortcut is None:
            value = self._square / (self._square - 1) if self._square > 1 else math.inf
            rounding = 8 * UNIT_ROUNDOFF * (value + value**2)
            return (np.array(value), rounding) if value < 1e6 else (None, 0.0)
        if not self._block.reduces:
            return None, 0.0
        weights = shortcut.taps[0] / self._root
        size, off = shortcut.size()
        size, off = size / self._root, off / self._root
        gram = weights.T @ weights
        error = 2 * size * off + off**2 + 2 * gamma(len(weights) + 8) * size**2
        if not is_below(gram, 1.0, error):
            return None, 0.0
        pivot = np.eye(len(gram)) - gram
        inverse = np.linalg.inv(pivot)
        inverse = (inverse + inverse.T) / 2
        long = float(np.linalg.norm(inverse)) * (1 + 1e-9)
        rest = float(np.linalg.norm(np.eye(len(gram)) - pivot @ inverse)) * (1 + 1e-9)
        rest += 4 * gamma(len(gram) + 8) * (float(np.linalg.norm(pivot)) + 1) * long
        if rest > 0.1 or long / (1 - rest) * error > 0.1:
            return None, 0.0
        long = long / (1 - rest)
        return inverse, long * rest + long**2 * error / (1 - long * error)

    def _complements(self, frequencies: Array) -> Array:
        """I minus the scaled matrix, [f, rows, rows]."""
        block = self._block
        layers, count = block.layers, len(frequencies)
        ends = np.cumsum([0, *(layer.outputs for layer in layers[:-1])])
        first = 0 if block.reduces else block.inputs
        dtype = float if block.is_real else complex
        result = np.zeros((count, first + ends[-1], first + ends[-1]), dtype)
        units = result[:, first:, first:]
        last = layers[-1].symbols(frequencies, right=self._down[-1])
        units[:, ends[-2] :, ends[-2] :] = _adjoint(last) @ last
        for j in range(1, len(layers) - 1):
            rows, columns = slice(ends[j], ends[j + 1]), slice(ends[j - 1], ends[j])
            beside = layers[j].symbols(frequencies, self._up[j], self._down[j - 1])
            units[:, rows, columns] += beside
            units[:, columns, rows] += _adjoint(beside)
        cross = self._cross(frequencies, last, ends)
        if block.reduces:
            inverse = np.asarray(self._inverse)
            stretched = inverse * cross if np.ndim(inverse) == 0 else inverse @ cross
            units += _adjoint(cross) @ stretched + self._excess() * np.eye(ends[-1])
            return (result + _adjoint(result)) / 2
        assert block.shortcut is not None
        shortcut = block.shortcut.symbols(frequencies) / self._root
        result[:, :first, :first] = _adjoint(shortcut) @ shortcut
        result[:, :first, first:] = cross
        result[:, first:, :first] = _adjoint(cross)
        return result

    def _cross(self, frequencies: Array, last: Array, ends: Array) -> Array:
        """−C √(2Λ)⁻¹ / L, [f, inputs, units]."""
        block = self._block
        first = _adjoint(block.layers[0].symbols(frequencies, left=self._up[0])) / self._root
        shape = (max(len(first), len(last)), block.inputs, ends[-1])
        result = np.zeros(shape, np.result_type(first, last))
        result[:, :, : ends[1]] = first
        if block.shortcut is not None:
            last = _adjoint(block.shortcut.symbols(frequencies)) @ last
            if len(last) > len(result):
                result = np.broadcast_to(result, (len(last), *shape[1:])).astype(last.dtype)
        result[:, :, ends[-2] :] += last / self._root
        return result

    def _cross_size(self) -> tuple[float, float]:
        """Bounds of the norm of −C √(2Λ)⁻¹ / L and of its error."""
        block = self._block
        first, first_off = block.layers[0].size(left=self._up[0])
        last, last_off = block.layers[-1].size(right=self._down[-1])
        if block.shortcut is not None:
            size, off = block.shortcut.size()
            terms = gamma(4 * (block.shortcut.outputs + 8))
            last, last_off = size * last, size * last_off + off * (last + last_off)
            last_off += 2 * terms * last
        size = (first + last) / self._root
        return size, ((first_off + last_off) / self._root + 16 * UNIT_ROUNDOFF * size)

    def _excess(self) -> float:
        """What the excess of the eliminated inverse adds, and the rounding of its product."""
        assert self._inverse is not None
        size, off = self._cross_size()
        whole = size + off
        long = float(np.linalg.norm(np.atleast_2d(self._inverse), 2)) * (1 + 1e-9)
        lost = (2 * size * off + off**2) * long + self._rest * whole**2
        inputs = self._block.inputs if np.ndim(self._inverse) else 1
        long = float(np.linalg.norm(self._inverse)) * (1 + 1e-9)
        return lost + 4 * gamma(4 * (self._block.inputs + inputs + 16)) * size**2 * long

    def _error(self) -> float:
        """A bound of the spectral norm of all other rounding in `_complements`."""
        layers = self._block.layers
        last, off = layers[-1].size(right=self._down[-1])
        total = 2 * last * off + off**2 + 2 * gamma(4 * (layers[-1].outputs + 8)) * last**2
        for j in range(1, len(layers) - 1):
            size, off = layers[j].size(self._up[j], self._down[j - 1])
            total += 2 * off + 16 * UNIT_ROUNDOFF * size
        if not self._block.reduces:
            assert self._block.shortcut is not None
            size, off = self._block.shortcut.size()
            size, off = size / self._root, off / self._root + 8 * UNIT_ROUNDOFF * size / self._root
            total += 2 * size * off + off**2
            total += 2 * gamma(4 * (self._block.shortcut.outputs + 8)) * size**2
            total += 2 * self._cross_size()[1]
        # The scales are rounded: √(2Λ) stands for what is factorized, Λ is what it squares to.
        return (total + 64 * UNIT_ROUNDOFF * (1 + total)) * (1 + 1e-9)


def _spread(indices: Array, most: int) -> Array:
    """At most so many of the indices, evenly spread."""
    return indices[:: math.ceil(len(indices) / most)]


def _adjoint(matrices: Array) -> Array:
    return matrices.conj().swapaxes(-1, -2)
