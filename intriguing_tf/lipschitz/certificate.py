"""Proves the bound of a Λ-chain: a block-tridiagonal Cholesky factorization per frequency.

With x_i scaled by Λ_i^½ and x_0 eliminated, the bound holds where this matrix is positive
semidefinite, for the matrix K that is to bound W_L M_{L−1}⁻¹ W_Lᴴ:

    I − ¼ V_1 V_1ᴴ    −½ V_2ᴴ
    −½ V_2            I          −½ V_3ᴴ
                      …
                               V_L            K

with V_i = Λ_i^½ W_i Λ_{i−1}^−½ and V_L = W_L Λ_{L−1}^−½. Aliased frequencies stand side by side.
For the norm, K = L² I, its block is eliminated too: I − V_Lᴴ V_L / L² is the last one then. Blocks
are eliminated from the first one on, which costs Σ w³ and rounds like any Cholesky factorization.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import blas, lapack

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.operators import dense_kernel
from intriguing_tf.lipschitz.rounding import (
    BATCHED_SIZE,
    UNIT_ROUNDOFF,
    all_below,
    cholesky_error,
    gamma,
    is_below,
)
from intriguing_tf.lipschitz.steps import Matrix
from intriguing_tf.lipschitz.symbols import CHUNK, GramSymbol, frequency_grid, polyphase

Array = np.ndarray
# The Gram matrices of a layer at frequencies, and a bound of the spectral norm of their error.
Grams = tuple[Callable[[Array], Array], float]


class LinearChain(abc.ABC):
    """The linear layers of a chain, frequency by frequency.

    Attributes:
        count: number of frequencies.
        widths: outputs of each layer.
        aliases: per layer, how many frequencies of its input meet in one of its output.
        errors: per layer, a bound of the operator norm of the error in its weights.
    """

    count: int
    widths: list[int]
    aliases: list[int]
    errors: list[float]
    _complex: bool

    @abc.abstractmethod
    def stages(self, chosen: Array) -> list[Array]:
        """Returns W_1 … W_L at the frequencies `chosen`, as `Recursion` takes them."""

    @property
    def copies(self) -> list[int]:
        """How many frequencies of each layer's output belong to one of the last layer's."""
        return [math.prod(self.aliases[i + 1 :]) for i in range(len(self.aliases))]

    @property
    def size(self) -> int:
        """Rows of the certificate."""
        return sum(w * c for w, c in zip(self.widths, self.copies, strict=True))

    @property
    def certificate_cost(self) -> float:
        """Floating-point operations of the certificate on all frequencies, about."""
        cubes = sum(w**3 / 3 * c for w, c in zip(self.widths, self.copies, strict=True))
        for i in range(1, len(self.widths) - self._closes):
            below, own = self.widths[i - 1], self.widths[i]
            cubes += (own * below**2 + own**2 * below) * self.copies[i - 1]
        return self.count * cubes * (4 if self._complex else 1)

    @property
    def _closes(self) -> bool:
        """Whether L² I can be eliminated: it mixes no aliased frequencies."""
        return self.aliases[-1] == 1

    @property
    def step_cost(self) -> float:
        """Floating-point operations of one step of the search for Λ, per frequency."""
        cubes = sum(w**3 * c for w, c in zip(self.widths[:-1], self.copies[:-1], strict=True))
        return cubes * 12 * (4 if self._complex else 1)

    def violations(self, multipliers: Sequence[Array], tail: Array | float, tried: Array) -> Array:
        """Returns those of the frequencies `tried` (integers) where the certificate fails.

        Args:
            multipliers: Λ_1 … Λ_(L−1), as their squared roots in floating point.
            tail: K, [n, n]; or L², which stands for L² I.
        """
        proof = _Proof(self, multipliers, tail)
        step = max(1, 4 * CHUNK // (16 * self.size * max(self.widths)))
        failed: list[int] = []
        for start in range(0, len(tried), step):
            chosen = tried[start : start + step]
            failed += [int(each) for each in chosen[~proof.holds(chosen)]]
        return np.array(failed, int)

    @abc.abstractmethod
    def frequencies(self, chosen: Array) -> list[Array]:
        """The frequencies of each layer's output that belong to `chosen`, [f_i, axes]."""

    @abc.abstractmethod
    def couplings(self, layer: int, frequencies: Array) -> Array:
        """W_layer at the frequencies of its output, [f, outputs, aliases, inputs]."""

    @abc.abstractmethod
    def grams(self, layer: int, left: Array, right: Array, by_output: bool) -> Grams:
        """V Vᴴ (`by_output`) or Vᴴ V of V = diag(left) W diag(right)."""

    @abc.abstractmethod
    def _size_of(self, layer: int, left: Array, right: Array) -> tuple[float, float]:
        """Bounds of ‖diag(left) W diag(right)‖_F over frequencies, and its rounding's terms."""

    def size_of(self, layer: int, left: Array, right: Array) -> tuple[float, float]:
        """Bounds of the norm of diag(left) W diag(right), and of the error in it."""
        size, terms = self._size_of(layer, left, right)
        stretch = float(np.max(left)) * float(np.max(right))
        return size, gamma(terms) * size + stretch * self.errors[layer]


class _Proof:
    """The factorizations of one certificate, frequency by frequency."""

    def __init__(self, chain: LinearChain, multipliers: Sequence[Array], tail: Array | float):
        self._chain = chain
        roots = [np.sqrt(each) for each in multipliers]
        last = chain.widths[-1]
        self._tail = tail * np.eye(last) if np.ndim(tail) == 0 else np.asarray(tail)
        scale = float(np.linalg.norm(self._tail, 2))
        self._tail = self._tail / scale
        self._left = [*roots, np.full(last, 1 / math.sqrt(scale))]
        self._right = [np.ones(1), *(1 / root for root in roots)]
        self._closes = np.ndim(tail) == 0 and chain._closes
        self._blocks = len(chain.widths) - self._closes
        ends = [(0, True)] + [(self._blocks, False)] * self._closes
        grams = [chain.grams(i, self._left[i], self._right[i], out) for i, out in ends]
        self._grams = [each for each, _ in grams]
        self._error = self._all_errors(sum(error for _, error in grams))
        self._real = not chain._complex
        self._size = sum(
            w * c for w, c in zip(chain.widths[: self._blocks], chain.copies, strict=False)
        )

    def _all_errors(self, of_grams: float) -> float:
        """A bound of the spectral norm of all rounding in the blocks."""
        total = of_grams
        for i in range(len(self._chain.widths)):
            size, lost = self._chain.size_of(i, self._left[i], self._right[i])
            if i in (0, self._blocks):
                # What the weights are off; `grams` counts its own rounding.
                stretch = float(np.max(self._left[i])) * float(np.max(self._right[i]))
                lost = stretch * self._chain.errors[i] + 4 * UNIT_ROUNDOFF * size
                total += 2 * size * lost + lost**2
            else:
                total += 2 * lost
        return 2 * total + 8 * UNIT_ROUNDOFF

    def holds(self, chosen: Array) -> Array:
        """For which of the frequencies the factorization ends, bool [f]."""
        below, beside = self._matrices(chosen)
        if self._size <= BATCHED_SIZE:
            whole = self._assembled(len(chosen), below, beside)
            if all_below(whole, 1.0, self._error):
                return np.ones(len(chosen), bool)
            return np.array([is_below(each, 1.0, self._error) for each in whole])
        return np.array([self._factorizes(i, below, beside) for i in range(len(chosen))], bool)

    def _matrices(self, chosen: Array) -> tuple[list[Array], list[Array]]:
        """What is below I in each diagonal block, [f, copies, w, w] or [1, 1, 1, 1] for none.

        And the blocks beside them, V_2/2 …, as [f, copies, w, aliases, w below].
        """
        chain, count = self._chain, len(chosen)
        frequencies = chain.frequencies(chosen)
        below = [np.zeros((1, 1, 1, 1)) for _ in range(self._blocks)]
        first = self._grams[0](frequencies[0]) / 4
        below[0] = first.reshape(count, -1, *first.shape[1:])
        if self._closes:
            last = self._grams[1](frequencies[-1])
            shape = (count, -1, *last.shape[1:])
            below[-1] = below[-1] + last.reshape(shape)
        else:
            below[-1] = (np.eye(len(self._tail)) - self._tail)[None, None]
        beside = []
        for i in range(1, self._blocks):
            coupling = chain.couplings(i, frequencies[i])
            coupling = self._left[i][:, None, None] * coupling * self._right[i]
            coupling = coupling if i == len(chain.widths) - 1 else coupling / 2
            beside.append(coupling.reshape(count, -1, *coupling.shape[1:]))
        return below, beside

    def _assembled(self, count: int, below: list[Array], beside: list[Array]) -> Array:
        """I minus the certificate as a whole, [f, size, size]; small ones are quicker that way."""
        chain = self._chain
        dtype = np.float64 if self._real else np.complex128
        result = np.zeros((count, self._size, self._size), dtype)
        start = previous = 0
        for i in range(self._blocks):
            width = chain.widths[i]
            for copy in range(chain.copies[i]):
                rows = slice(start + copy * width, start + (copy + 1) * width)
                if below[i].shape[-1] == width:
                    result[:, rows, rows] = below[i][:, copy % below[i].shape[1]]
                if i:
                    block = beside[i - 1][:, copy].reshape(count, width, -1)
                    first = previous + copy * block.shape[-1]
                    columns = slice(first, first + block.shape[-1])
                    result[:, rows, columns] = block
                    result[:, columns, rows] = block.conj().swapaxes(1, 2)
            previous, start = start, start + width * chain.copies[i]
        return result

    def _factorizes(self, f: int, below: list[Array], beside: list[Array]) -> bool:
        """Eliminates block after block at one frequency."""
        factorize = lapack.dpotrf if self._real else lapack.zpotrf
        solve = blas.dtrsm if self._real else blas.ztrsm
        margin = cholesky_error(self._size, 1.0, self._error, self._real)
        factors: list[Array] = []
        for i in range(self._blocks):
            width, found = self._chain.widths[i], []
            for copy in range(self._chain.copies[i]):
                block = np.zeros((width, width), below[0].dtype, order="F")
                if below[i].shape[-1] == width:
                    of = below[i][f % len(below[i])]
                    block -= of[copy % len(of)]
                block[np.diag_indices(width)] += 1 - margin
                for alias in range(beside[i - 1].shape[3] if i else 0):
                    factor = factors[copy * beside[i - 1].shape[3] + alias]
                    right = np.asfortranarray(beside[i - 1][f, copy, :, alias])
                    # B = V R⁻¹ with RᴴR the block below.
                    image = solve(1.0, factor, right, side=1, lower=0, overwrite_b=1)
                    block -= image @ image.conj().T
                factor, failed = factorize(block, lower=0, overwrite_a=1, clean=0)
                if failed:
                    return False
                found.append(factor)
            factors = found
        return True


class MatrixChain(LinearChain):
    """A chain of matrices: one frequency, real."""

    _complex = False

    def __init__(self, matrices: Sequence[Matrix]):
        self.count = 1
        self._weights = [matrix.weights for matrix in matrices]
        self.widths = [len(weights) for weights in self._weights]
        self.aliases = [1] * len(matrices)
        self.errors = [matrix.error for matrix in matrices]

    def stages(self, chosen: Array) -> list[Array]:
        return [weights[None, :, None, :] for weights in self._weights]

    def _size_of(self, layer: int, left: Array, right: Array) -> tuple[float, float]:
        size = float(np.linalg.norm(left[:, None] * self._weights[layer] * right))
        return size * (1 + 1e-9), 16.0

    def frequencies(self, chosen: Array) -> list[Array]:
        return [np.zeros((1, 0))] * len(self.widths)

    def couplings(self, layer: int, frequencies: Array) -> Array:
        return self._weights[layer][None, :, None, :]

    def grams(self, layer: int, left: Array, right: Array, by_output: bool) -> Grams:
        scaled = left[:, None] * self._weights[layer] * right
        gram = scaled @ scaled.T if by_output else scaled.T @ scaled
        terms = sum(scaled.shape) + 16
        error = 4 * gamma(terms) * float(np.sum(scaled * scaled))
        return (lambda _: gram[None]), error


class ConvolutionChain(LinearChain):
    """A chain of convolutions on one torus, large enough for each of them; antiperiodic."""

    _complex = True

    def __init__(self, convolutions: Sequence[Convolution]):
        self._layers = [(dense_kernel(each), each) for each in convolutions]
        self.widths = [each.outputs for each in convolutions]
        self.aliases = [math.prod(axis.stride for axis in each.axes) for each in convolutions]
        self.errors = [each.error for each in convolutions]
        shape = _common_torus(convolutions)
        self._frequencies = frequency_grid(shape, [1] * len(shape))
        self.count = len(self._frequencies)

    def stages(self, chosen: Array) -> list[Array]:
        return [self.couplings(i, at) for i, at in enumerate(self.frequencies(chosen))]

    def frequencies(self, chosen: Array) -> list[Array]:
        found = [self._frequencies[chosen]]
        for _, layer in self._layers[:0:-1]:
            found.insert(0, _finer(found[0], layer))
        return found

    def couplings(self, layer: int, frequencies: Array) -> Array:
        kernel, convolution = self._layers[layer]
        symbols = self._symbols(kernel, convolution, _finer(frequencies, convolution))
        aliases = self.aliases[layer]
        by_alias = symbols.reshape(-1, aliases, *symbols.shape[1:]).swapaxes(1, 2)
        return by_alias / math.sqrt(aliases)

    def grams(self, layer: int, left: Array, right: Array, by_output: bool) -> Grams:
        kernel, convolution = self._layers[layer]
        kernel = np.broadcast_to(right, kernel.shape[-2])[:, None] * kernel * left
        strides = [axis.stride for axis in convolution.axes]
        split = polyphase(kernel, strides, [axis.dilation for axis in convolution.axes])
        symbol = GramSymbol(split.taps if by_output else split.taps.swapaxes(1, 2), split.places)
        if by_output:
            return (lambda frequencies: symbol.matrices(frequencies).conj()), symbol.error
        return symbol.matrices, symbol.error

    @staticmethod
    def _symbols(kernel: Array, layer: Convolution, frequencies: Array) -> Array:
        """Ŵ(ξ) = Σ_t W_t exp(iξ·dt), [f, outputs, inputs]."""
        size = kernel.shape[:-2]
        places = np.array(list(np.ndindex(*size))) * [axis.dilation for axis in layer.axes]
        waves = np.exp(1j * (frequencies @ places.T))
        taps = kernel.swapaxes(-1, -2).reshape(len(places), -1)
        result = np.empty((len(frequencies), taps.shape[1]), complex)
        result.real = waves.real @ taps
        result.imag = waves.imag @ taps
        return result.reshape(-1, kernel.shape[-1], kernel.shape[-2])

    def _size_of(self, layer: int, left: Array, right: Array) -> tuple[float, float]:
        kernel, convolution = self._layers[layer]
        scaled = np.broadcast_to(right, kernel.shape[-2])[:, None] * kernel * left
        taps = scaled.reshape(-1, kernel.shape[-2] * kernel.shape[-1])
        size = float(np.sum(np.linalg.norm(taps, axis=1))) * (1 + 1e-9)
        longest = 1 + sum(axis.dilation * axis.kernel for axis in convolution.axes)
        return size, 4.0 * (len(taps) + 32 * longest + 16)


def _finer(frequencies: Array, layer: Convolution) -> Array:
    """The frequencies of a layer's input that meet in those of its output, [f · aliases, axes]."""
    strides = np.array([axis.stride for axis in layer.axes])
    shifts = np.array(list(itertools.product(*map(range, strides))))
    finer = (frequencies[:, None] + 2 * np.pi * shifts) / strides
    return finer.reshape(-1, len(strides))


def _common_torus(convolutions: Sequence[Convolution]) -> tuple[int, ...]:
    """The torus of the last output, so large that nothing wraps around in any layer."""
    shape = []
    for axes in zip(*(layer.axes for layer in convolutions), strict=True):
        least = 1
        for i, axis in enumerate(axes):
            stride = math.prod(each.stride for each in axes[i:])
            least = max(least, -(-axis.torus // stride))
        shape.append(least)
    return tuple(shape)
