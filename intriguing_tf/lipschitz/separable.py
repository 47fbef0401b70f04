"""Separable convolutions of one multiplier: the Gram symbol in its real form.

With P the pointwise matrix and D(ξ) the diagonal of the channels' own symbols, Ŵ(ξ) = P D(ξ) and
G = Dᴴ K D with K = PᵀP. A unitary diagonal takes that to |D| K |D|, which is real: a quarter of the
arithmetic, and no sum over lags. The kernel that is given may have been multiplied out, and scaled
by channel since; it is separable if each channel's taps are multiples of one row.
"""

from __future__ import annotations

import numpy as np

from intriguing_tf.lipschitz.rounding import gamma, is_below, round_up

Array = np.ndarray

# What a fit leaves over may be so large a share of the kernel.
FITS = 1e-10
# Frequencies of a group at most, and at least so many groups at first.
LARGEST_GROUP = 64
GROUPS = 12
# Steps of the power iteration that tells which groups are worth a test, and what it must find.
POWER_STEPS = 15
HOPEFUL = 0.93


class SeparableSymbol:
    """|D(ξ)| K |D(ξ)|, with the interface of `symbols.GramSymbol`.

    Args:
        own: real [T, n], the channels' taps.
        pointwise: real [n, outputs], rows of length 1.
        places: integer [T, axes].

    Attributes:
        size: n.
        error: a bound of the spectral norm of the rounding error in `matrices`.
    """

    def __init__(self, own: Array, pointwise: Array, places: Array):
        self.size = own.shape[1]
        self._own, self._pointwise, self._places = own, pointwise, places
        self._gram = pointwise @ pointwise.T
        self._squares = self._gram**2
        total = float(np.sum(np.sum(np.abs(own), axis=0) ** 2))
        longest = 1 + float(np.max(np.abs(places), initial=0))
        terms = len(own) + self.size + pointwise.shape[1] + 32 * longest + 64
        self.error = round_up(8 * gamma(terms) * total, 8)

    def matrices(self, frequencies: Array) -> Array:
        """Returns |D| K |D| at frequencies [f, axes] in radians as float64 [f, n, n]."""
        sizes = np.abs(self.channels(frequencies))
        return sizes[:, :, None] * self._gram * sizes[:, None, :]

    def channels(self, frequencies: Array) -> Array:
        """Returns the diagonals D, complex [f, n]."""
        result: Array = np.exp(1j * (frequencies @ self._places.T)) @ self._own
        return result

    def complex_vector(self, vector: Array, frequency: Array) -> Array:
        """The vector of G that one of |D| K |D| stands for; of ŴŴᴴ if there are as many outputs.

        Only lower bounds start from it.
        """
        diagonal = self.channels(frequency[None])[0]
        if self.size < self._pointwise.shape[1]:
            return vector * np.exp(-1j * np.angle(diagonal))
        return (np.abs(diagonal) * vector) @ self._pointwise

    def rayleigh(self, vector: Array) -> tuple[Array, Array]:
        """Returns what `evaluate` needs of a vector."""
        return vector.real.copy(), vector.imag.copy()

    def evaluate(self, coefficients: tuple[Array, Array], frequencies: Array) -> Array:
        """Returns vᴴ|D| K |D|v at frequencies [f, axes]: lower bounds of the eigenvalues."""
        sizes = np.abs(self.channels(frequencies))
        images = [(sizes * part) @ self._pointwise for part in coefficients if part.any()]
        return np.sum([np.sum(each**2, axis=1) for each in images], axis=0)

    def proved_in_groups(self, frequencies: Array, bound: float) -> Array:
        """Returns for which frequencies [f, axes] the eigenvalues are proved to be ≤ bound, bool.

        P |D|² Pᵀ, which has the eigenvalues of |D| K |D|, grows with each |D|²: a test of the
        largest |D| of a group of neighbours, channel by channel, is one of all its frequencies.
        """
        sizes = np.abs(self.channels(frequencies))
        order = _neighbors_first(frequencies)
        proved = np.zeros(len(frequencies), bool)
        size = LARGEST_GROUP
        while size > 1:
            starts = range(0, len(order) if len(order) >= GROUPS * size else 0, size)
            groups = [order[i : i + size] for i in starts if not proved[order[i]]]
            largest = [np.max(sizes[group], axis=0) for group in groups]
            for group, each, likely in zip(groups, largest, self._likely(largest), strict=True):
                # Twice: for the members' |D|, and for the product.
                if likely <= HOPEFUL * bound and is_below(
                    each[:, None] * self._gram * each, bound, 2 * self.error
                ):
                    proved[group] = True
            size //= 2
        return proved

    def _likely(self, diagonals: list[Array]) -> Array:
        """About the largest eigenvalue for each diagonal, from below."""
        if not diagonals:
            return np.zeros(0)
        sizes = vectors = np.array(diagonals)
        for _ in range(POWER_STEPS):
            vectors = sizes * ((sizes * vectors) @ self._gram)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, 1e-300)
        found: Array = np.sum(((sizes * vectors) @ self._pointwise) ** 2, axis=1)
        return found

    def cheap_bounds(self, frequencies: Array) -> Array:
        """Returns upper bounds of the largest eigenvalue from trace and Frobenius norm, as [f]."""
        squares = np.abs(self.channels(frequencies)) ** 2
        mean = np.sum(squares, axis=1) / self.size
        whole = np.sum((squares @ self._squares) * squares, axis=1)
        spread = np.maximum(whole / self.size - mean**2, 0) + 1e-10 * whole
        return (mean + np.sqrt((self.size - 1) * spread)) * (1 + 1e-10) + self.error


def _neighbors_first(frequencies: Array) -> Array:
    """An order in which frequencies [f, axes] that follow one another are neighbours (Morton)."""
    ranks = [np.unique(each, return_inverse=True)[1] for each in frequencies.T]
    code = np.zeros(len(frequencies), np.int64)
    for bit in range(60 // len(ranks)):
        for axis, rank in enumerate(ranks):
            code |= ((rank >> bit) & 1) << (bit * len(ranks) + axis)
    return np.argsort(code, kind="stable")


def separable_symbol(taps: Array, places: Array) -> tuple[SeparableSymbol, float] | None:
    """Returns the symbol of a separable kernel, and a bound of the norm of what it leaves out.

    Args:
        taps: real [T, inputs, outputs].
        places: integer [T, axes].

    Returns:
        `None` if the kernel is not separable.
    """
    longest = np.argmax(np.sum(taps**2, axis=2), axis=0)  # the tap that tells a channel's row
    rows = taps[longest, np.arange(taps.shape[1])]
    lengths = np.linalg.norm(rows, axis=1)
    rows = np.where(lengths[:, None] > 0, rows / np.where(lengths > 0, lengths, 1.0)[:, None], 0.0)
    own = np.einsum("tcd,cd->tc", taps, rows)
    rest = taps - own[:, :, None] * rows
    total = float(np.sum(np.linalg.norm(taps.reshape(len(taps), -1), axis=1)))
    left = float(np.sum(np.linalg.norm(rest.reshape(len(taps), -1), axis=1)))
    if left > FITS * total:
        return None
    return SeparableSymbol(own, rows, places), round_up(left + gamma(8) * total, taps.size)
