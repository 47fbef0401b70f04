"""Proves the bound of a Λ-chain: one Cholesky factorization per frequency.

With x_i scaled by Λ_i^½ and x_0 eliminated, the bound holds where this matrix is positive
semidefinite, for the matrix K that is to bound W_L M_{L−1}⁻¹ W_Lᴴ (K = L² I for the norm):

    I − ¼ V_1 V_1ᴴ    −½ V_2ᴴ
    −½ V_2            I          −½ V_3ᴴ
                      …
                               V_L            K

with V_i = Λ_i^½ W_i Λ_{i−1}^−½ and V_L = W_L Λ_{L−1}^−½. Aliased frequencies stand side by side.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Sequence

import numpy as np

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.operators import dense_kernel
from intriguing_tf.lipschitz.rounding import BATCHED_SIZE, UNIT_ROUNDOFF, all_below, gamma, is_below
from intriguing_tf.lipschitz.steps import Matrix
from intriguing_tf.lipschitz.symbols import CHUNK, frequency_grid

Array = np.ndarray


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

    @abc.abstractmethod
    def _size_of(self, layer: int, left: Array, right: Array) -> tuple[float, float]:
        """Bounds of ‖diag(left) W diag(right)‖_F over frequencies, and its rounding's terms."""

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
        """Floating-point operations of the certificate on all frequencies."""
        return self.count * self.size**3 / 3 * (4 if self._complex else 1)

    @property
    def step_cost(self) -> float:
        """Floating-point operations of one step of the search for Λ, per frequency."""
        cubes = sum(w**3 * c for w, c in zip(self.widths[:-1], self.copies[:-1], strict=True))
        return cubes * 12 * (4 if self._complex else 1)

    def violations(self, multipliers: Sequence[Array], tail: Array, tried: Array) -> Array:
        """Returns those of the frequencies `tried` (integers) where the certificate fails.

        Args:
            multipliers: Λ_1 … Λ_(L−1), as their squared roots in floating point.
            tail: K, [n, n].
        """
        roots = [np.sqrt(each) for each in multipliers]
        scale = float(np.linalg.norm(tail, 2))
        left = [*roots, np.full(len(tail), 1 / math.sqrt(scale))]
        right = [np.ones(1), *(1 / root for root in roots)]
        error = self._error(left, right) + 8 * UNIT_ROUNDOFF
        step = max(1, CHUNK // (16 * self.size**2))
        failed: list[int] = []
        for start in range(0, len(tried), step):
            chosen = tried[start : start + step]
            matrices = self._complements(chosen, left, right, tail / scale)
            if self.size > BATCHED_SIZE or not all_below(matrices, 1.0, error):
                failed += [
                    int(index)
                    for index, matrix in zip(chosen, matrices, strict=True)
                    if not is_below(matrix, 1.0, error)
                ]
        return np.array(failed, int)

    def _complements(
        self, chosen: Array, left: Sequence[Array], right: Sequence[Array], tail: Array
    ) -> Array:
        """I minus the certificate, [f, size, size]: proving it ≤ 1 proves the bound."""
        dtype = np.complex128 if self._complex else np.float64
        result = np.zeros((len(chosen), self.size, self.size), dtype)
        stages = self.stages(chosen)
        ends = np.cumsum([0, *(w * c for w, c in zip(self.widths, self.copies, strict=True))])
        for i, (weights, width, copies) in enumerate(
            zip(stages, self.widths, self.copies, strict=True)
        ):
            scaled = left[i][:, None, None] * weights * right[i]
            blocks = scaled.reshape(len(chosen), copies, width, -1)
            last = i == len(stages) - 1
            for copy in range(copies):
                rows = slice(ends[i] + copy * width, ends[i] + (copy + 1) * width)
                block = blocks[:, copy]
                if i == 0:
                    result[:, rows, rows] = block @ block.conj().swapaxes(1, 2) / 4
                    continue
                span = block.shape[-1]
                below = slice(ends[i - 1] + copy * span, ends[i - 1] + (copy + 1) * span)
                result[:, rows, below] = block if last else block / 2
                result[:, below, rows] = result[:, rows, below].conj().swapaxes(1, 2)
        corner = slice(ends[-2], ends[-1])
        result[:, corner, corner] = np.eye(self.widths[-1]) - tail
        return result

    def _error(self, left: Sequence[Array], right: Sequence[Array]) -> float:
        """A bound of the spectral norm of all rounding in `_complements`."""
        total = 0.0
        for i, error in enumerate(self.errors):
            size, terms = self._size_of(i, left[i], right[i])
            stretch = float(np.max(left[i])) * float(np.max(right[i]))
            lost = gamma(terms) * size + stretch * error
            if i == 0:
                inputs = terms + 4 * self._inputs()
                lost = 2 * size * lost + lost**2 + gamma(inputs) * size**2
            total += lost
        return 2 * total

    @abc.abstractmethod
    def _inputs(self) -> int:
        """Terms in a product of two rows of the first layer."""


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

    def _inputs(self) -> int:
        return self._weights[0].shape[1]


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
        found: list[Array] = []
        frequencies = self._frequencies[chosen]
        for kernel, layer in reversed(self._layers):
            strides = np.array([axis.stride for axis in layer.axes])
            shifts = np.array(list(itertools.product(*map(range, strides))))
            finer = (frequencies[:, None] + 2 * np.pi * shifts) / strides
            frequencies = finer.reshape(-1, len(strides))
            symbols = self._symbols(kernel, layer, frequencies)
            count, outputs, inputs = len(shifts), *symbols.shape[1:]
            by_alias = symbols.reshape(-1, count, outputs, inputs).swapaxes(1, 2)
            found.append(by_alias / math.sqrt(count))
        return found[::-1]

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

    def _inputs(self) -> int:
        return 4 * self._layers[0][1].inputs * self.aliases[0]


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
