"""Local radii of dense chains: what a network can do within the very ball that is certified.

In a ball around an image every input of an activation moves by a bounded amount, so that the
secants from the image have slopes in a smaller interval [α, β] of each unit. With s = α + β,
δ = β − α and a positive diagonal τ, and B = W M⁻¹ Wᵀ of the layer below, the Λ-chain becomes

    M_i⁻¹ = δ²/(4τ) + ¼ s (B + B T P⁻¹ T B) s,   P = I − T B T positive definite,   T = √τ

(δ = s = 1 and τ = Λ/4 is the global one; docs/lipschitz-mathematics.md). Units whose slope is
known, δ = 0, cost nothing. Everything here runs on many images at once, [n, …].
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np

from intriguing_tf.lipschitz.rounding import (
    UNIT_ROUNDOFF,
    all_below,
    gamma,
    is_below,
)
from intriguing_tf.lipschitz.steps import Slopes
from intriguing_tf.lipschitz.threads import threads_for

Array = np.ndarray

# Steps of Adam in which τ and the radius are found together, and certificates tried afterwards.
SEARCH = 24
TRIES = 5
RATE = 0.15
# Least share of an activation's slopes that counts when τ is scaled by it.
LEAST_SPREAD = 1e-3
# How sharply the objective is the worst class.
SHARPNESS = 100.0
# Bytes of one matrix per image that are held at once.
CHUNK = 2**24


@dataclasses.dataclass(frozen=True)
class Units:
    """What enters the activations of one layer, [n, units].

    Args:
        values: at the images.
        errors: how far they may lie from the exact ones.
    """

    values: Array
    errors: Array

    def chosen(self, rows: Array | slice) -> Units:
        return Units(self.values[rows], self.errors[rows])


@dataclasses.dataclass
class _Layer:
    """One layer's quantities, kept for the gradient; names as in the module's formulas."""

    gram: Array
    root: Array
    spread: Array
    total: Array
    tau: Array
    inverse: Array
    image: Array
    result: Array
    top: Array
    vectors: Array


class LocalChain:
    """W_1, φ, …, φ, W_L at the end of a classifier, for radii around given images.

    Args:
        weights: W_1 … W_L, float64; the last has a row per class.
        errors: bounds of the spectral norm of the error in each.
        slopes: of each activation.
        multipliers: Λ_1 … Λ_(L−1) of the global chain, to start from.
    """

    def __init__(
        self,
        weights: Sequence[Array],
        errors: Sequence[float],
        slopes: Sequence[Slopes],
        multipliers: Sequence[Array],
    ):
        self._weights = list(weights)
        self._errors = list(errors)
        self._slopes = list(slopes)
        self._start = [np.log(each / np.exp(np.mean(np.log(each)))) for each in multipliers]
        self._first = self._weights[0] @ self._weights[0].T

    def radii(
        self, units: Sequence[Units], predicted: Array, margins: Array, start: Array
    ) -> Array:
        """Returns radii in which no other class can pass the predicted one, proved; 0 if none.

        Args:
            units: per activation.
            predicted: the class of each image, integer [n].
            margins: [n, classes], how far the others lie below it at least; inf for itself.
            start: a radius of the right size, float [n]; where it is 0, 0 is returned.
        """
        found = np.zeros(len(start))
        todo = np.flatnonzero((start > 0) & np.isfinite(start) & (margins.min(axis=1) > 0))
        largest = max(len(each) for each in self._weights[:-1])
        step = max(1, CHUNK // (8 * largest**2))
        with threads_for(largest):
            for at in range(0, len(todo), step):
                rows = todo[at : at + step]
                batch = _Batch(self, [each.chosen(rows) for each in units], predicted[rows])
                with contextlib.suppress(np.linalg.LinAlgError):  # then these stay 0
                    found[rows] = batch.radii(margins[rows], start[rows])
        return found


class _Batch:
    """Some images at which the chain is bounded at once."""

    def __init__(self, chain: LocalChain, units: Sequence[Units], predicted: Array):
        self._weights, self._errors = chain._weights, chain._errors
        self._slopes, self._first, self._units = chain._slopes, chain._first, units
        # The search proves nothing, and takes half the time in float32.
        self._rough = [each.astype(np.float32) for each in (*self._weights, self._first)]
        head = self._weights[-1]
        self._heads = head[predicted][:, None] - head  # [n, classes, units]
        count = len(predicted)
        self._scales = [np.tile(each, (count, 1)) for each in chain._start]
        self._shares = np.zeros((count, len(self._scales)))
        self._vectors = [np.ones((count, len(each)), np.float32) for each in chain._start]

    def radii(self, margins: Array, start: Array) -> Array:
        """See `LocalChain.radii`; every start is positive."""
        radii = self._search(margins, start)
        best = np.zeros(len(start))
        for trial in range(TRIES):
            reached = self._certified(margins, radii)
            best = np.where(reached >= radii, np.maximum(best, radii), best)
            balance = np.sqrt(radii * np.maximum(reached, 0.25 * radii))
            # The last try lies a little below the balance, so that it succeeds.
            radii = balance * (1 - 3e-3 * (trial >= TRIES - 3))
        return best

    def _search(self, margins: Array, radii: Array) -> Array:
        """Improves p and q by Adam while the radius goes to where it equals margin / L."""
        parts = [*self._scales, self._shares]
        cuts = np.cumsum([part.shape[1] for part in parts])[:-1]
        point = np.concatenate(parts, axis=1)
        first, second = np.zeros_like(point), np.zeros_like(point)
        kept, best = point, np.zeros(len(radii))
        for step in range(SEARCH + 1):
            *self._scales, self._shares = np.split(point, cuts, axis=1)
            layers = self._forward(radii)
            worst, gradient = self._gradient(layers, margins)
            reached = 1 / np.sqrt(worst)
            better = np.sqrt(radii * reached) > best
            best = np.where(better, np.sqrt(radii * reached), best)
            kept = np.where(better[:, None], point, kept)
            radii = np.sqrt(radii * reached)
            first = 0.8 * first + 0.2 * gradient
            second = 0.95 * second + 0.05 * gradient**2
            unbiased = first / (1 - 0.8 ** (step + 1))
            size = np.sqrt(second / (1 - 0.95 ** (step + 1)))
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / SEARCH))
            point = point - rate * unbiased / (size + 1e-12)
        *self._scales, self._shares = np.split(kept, cuts, axis=1)
        return best

    def _forward(self, radii: Array) -> list[_Layer]:
        layers: list[_Layer] = []
        for i, weights in enumerate(self._rough[:-2]):
            gram = weights @ layers[-1].result @ weights.T if layers else self._rough[-1][None]
            gram = np.broadcast_to(gram, (len(radii), *gram.shape[1:]))
            diagonal = np.maximum(np.einsum("fkk->fk", gram), 0)
            spread, total = self._slopes_at(i, radii[:, None] * np.sqrt(diagonal))
            root, tau, top, vectors = self._choose(i, gram, spread, total)
            spread, total = spread.astype(np.float32), total.astype(np.float32)
            side = np.sqrt(tau)
            pivot = -gram * side[:, :, None] * side[:, None, :]
            _diagonal(pivot)[...] += 1
            inverse = np.linalg.inv(pivot)
            image = gram * side[:, None, :]
            result = gram + image @ inverse @ image.swapaxes(1, 2)
            result = 0.25 * result * total[:, :, None] * total[:, None, :]
            _diagonal(result)[...] += spread**2 / (4 * tau)
            layers.append(
                _Layer(gram, root, spread, total, tau, inverse, image, result, top, vectors)
            )
        return layers

    def _slopes_at(self, i: int, reach: Array) -> tuple[Array, Array]:
        """δ and s of a layer whose inputs move by at most `reach`, rounded outwards."""
        units = self._units[i]
        low, high = self._slopes[i].secants(units.values, units.errors, reach)
        total = high + low
        return (high - low) * (1 + 1e-15) + 1e-15 * np.abs(total), total

    def _choose(
        self, i: int, gram: Array, spread: Array, total: Array
    ) -> tuple[Array, Array, Array, Array]:
        """τ = sigmoid(q) max(δ/s)/λ_max(E B E) · E², from p and q, with E² = exp(p) · δ."""
        share = np.maximum(spread / self._slopes[i].high, LEAST_SPREAD)
        squares = (np.exp(self._scales[i]) * share).astype(np.float32)
        root = np.sqrt(squares)
        vectors = self._vectors[i]
        for _ in range(3):
            vectors = root * np.einsum("fkj,fj->fk", gram, root * vectors)
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors[i] = vectors
        stretched = root * vectors
        top = np.einsum("fk,fkj,fj->f", stretched, gram, stretched, optimize=True)
        widest = np.max(spread / np.maximum(total, spread), axis=1)
        share = (_sigmoid(self._shares[:, i]) * widest).astype(np.float32)
        return root, (share / top)[:, None] * squares, top, vectors

    def _gradient(self, layers: Sequence[_Layer], margins: Array) -> tuple[Array, Array]:
        """1/r² of each image, r = margin / L, and the gradient of its logarithm in p and q."""
        heads = (self._heads / margins[:, :, None]).astype(np.float32)
        values = np.einsum("fkn,fnm,fkm->fk", heads, layers[-1].result, heads, optimize=True)
        worst = values.max(axis=1)
        weights = np.exp(SHARPNESS * (values / worst[:, None] - 1))
        weights = weights / (weights.sum(axis=1, keepdims=True) * worst[:, None])
        adjoint = heads.swapaxes(1, 2) @ (weights[:, :, None] * heads)
        by_scale: list[Array] = []
        by_share: list[Array] = []
        for i in reversed(range(len(layers))):
            layer = layers[i]
            along, whole, adjoint = _backward(layer, adjoint)
            by_scale.insert(0, along)
            by_share.insert(0, whole * (1 - _sigmoid(self._shares[:, i])))
            adjoint = self._rough[i].T @ adjoint @ self._rough[i] if i else adjoint
        return worst, np.concatenate([*by_scale, np.stack(by_share, axis=1)], axis=1)

    def _certified(self, margins: Array, radii: Array) -> Array:
        """Returns margin / L for the ball of each radius, proved; 0 where the proof failed."""
        sound = np.ones(len(radii), bool)
        inverse: _Above | None = None
        chosen = self._forward(radii)
        for i, weights in enumerate(self._weights[:-1]):
            gram = _gram_above(weights, self._errors[i], inverse, self._first)
            gram = np.broadcast_to(gram, (len(radii), *gram.shape[1:]))
            diagonal = np.sqrt(np.maximum(np.einsum("fkk->fk", gram), 0))
            spread, total = self._slopes_at(i, radii[:, None] * diagonal * (1 + 1e-15))
            side = np.sqrt(chosen[i].tau).astype(np.float64)
            inverse, proved = _step_above(gram, side, spread, total)
            sound &= proved
        assert inverse is not None
        lengths = inverse.lengths(self._heads, 2**0.5 * self._errors[-1])
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = np.min(margins / lengths, axis=1) * (1 - 1e-14)
        return np.where(sound & np.isfinite(reached), reached, 0.0)


def _backward(layer: _Layer, adjoint: Array) -> tuple[Array, Array, Array]:
    """Derivatives of a layer's result in p, in log c and in B, times the adjoint of the result."""
    scaled = 0.25 * adjoint * layer.total[:, :, None] * layer.total[:, None, :]
    side = np.sqrt(layer.tau)
    # dN = Q dB Qᵀ + N dτ N with N = B + B T P⁻¹ T B and Q = I + B T P⁻¹ T.
    passing = (layer.image @ layer.inverse) * side[:, None, :]
    whole = layer.gram + passing @ layer.gram
    _diagonal(passing)[...] += 1
    by_gram = passing.swapaxes(1, 2) @ scaled @ passing
    by_tau = np.einsum("fjk,fjk->fk", whole, scaled @ whole)
    by_tau -= (layer.spread / (2 * layer.tau)) ** 2 * np.einsum("fkk->fk", adjoint)
    along = by_tau * layer.tau
    total = along.sum(axis=1)
    stretched = layer.root * layer.vectors
    by_gram -= (total / layer.top)[:, None, None] * stretched[:, :, None] * stretched[:, None, :]
    return along - total[:, None] * layer.vectors**2, total, by_gram


@dataclasses.dataclass(frozen=True)
class _Above:
    """Matrices Y with M⁻¹ ⪯ Y + excess · I, [n, h, h] and [n]."""

    matrices: Array
    excess: Array

    @property
    def size(self) -> Array:
        """A bound of the norm of Y."""
        return np.linalg.norm(self.matrices, axis=(1, 2)) * (1 + 1e-12)

    def lengths(self, heads: Array, error: float) -> Array:
        """Bounds of √(d M⁻¹ dᵀ) for rows d [n, k, h] that are off by at most `error`."""
        squares = np.einsum("fkn,fnm,fkm->fk", heads, self.matrices, heads, optimize=True)
        long = np.sum(heads**2, axis=2) * (1 + 1e-12)
        rounding = 4 * gamma(heads.shape[2] + 8) * self.size + self.excess
        off = error + 4 * UNIT_ROUNDOFF * np.sqrt(long)
        longest = np.sqrt(self.size + self.excess)[:, None]
        return np.sqrt(np.maximum(squares, 0) + rounding[:, None] * long) + off * longest


def _gram_above(weights: Array, error: float, inverse: _Above | None, first: Array) -> Array:
    """Symmetric matrices that are at least W M⁻¹ Wᵀ, exactly; M = I where `inverse` is `None`."""
    norm = float(np.linalg.norm(weights)) * (1 + 1e-12)
    terms = 4 * gamma(2 * max(weights.shape) + 16)
    if inverse is None:
        gram, excess = first[None].copy(), np.array([2 * error * norm + error**2 + terms * norm**2])
    else:
        gram = weights @ inverse.matrices @ weights.T
        gram = (gram + gram.swapaxes(1, 2)) / 2
        size = inverse.size
        excess = inverse.excess * (norm + error) ** 2
        excess = excess + (2 * error * norm + error**2 + terms * norm**2) * size
    largest = np.einsum("fkk->fk", gram).max(axis=1)
    _diagonal(gram)[...] += (excess + 4 * UNIT_ROUNDOFF * largest)[:, None] * (1 + 1e-12)
    return gram


def _step_above(gram: Array, side: Array, spread: Array, total: Array) -> tuple[_Above, Array]:
    """The next M⁻¹ for T = `side`, τ = T² exactly, and for which images it is proved."""
    size = gram.shape[-1]
    stretched = gram * side[:, :, None] * side[:, None, :]
    off = 8 * UNIT_ROUNDOFF * (np.linalg.norm(stretched, axis=(1, 2)) + size**0.5)
    proved = _all_below_one(stretched, off)
    pivot = -stretched
    _diagonal(pivot)[...] += 1
    try:
        inverse = np.linalg.inv(pivot)
    except np.linalg.LinAlgError:
        return _Above(np.zeros_like(gram), np.zeros(len(gram))), np.zeros(len(gram), bool)
    inverse = (inverse + inverse.swapaxes(1, 2)) / 2
    longest = np.linalg.norm(inverse, axis=(1, 2)) * (1 + 1e-12)
    residual = -pivot @ inverse
    _diagonal(residual)[...] += 1
    rest = np.linalg.norm(residual, axis=(1, 2)) * (1 + 1e-12)
    rest += 2 * gamma(size + 4) * np.linalg.norm(pivot, axis=(1, 2)) * longest
    proved &= rest < 0.1
    longest = longest / (1 - np.minimum(rest, 0.1))
    proved &= longest * off < 0.1
    excess = longest**2 * off / (1 - np.minimum(longest * off, 0.1)) + longest * rest
    image = gram * side[:, None, :]
    result = gram + image @ inverse @ image.swapaxes(1, 2)
    reach = np.sum(image * image, axis=(1, 2)) * (1 + 1e-12)
    excess = excess * reach + 4 * gamma(2 * size + 16) * reach * longest
    excess = excess + 4 * UNIT_ROUNDOFF * np.linalg.norm(gram, axis=(1, 2))
    result = 0.25 * (result + result.swapaxes(1, 2)) / 2
    result = result * total[:, :, None] * total[:, None, :]
    excess = 0.25 * excess * np.max(total**2, axis=1) * (1 + 1e-12)
    tau = side * side
    _diagonal(result)[...] += spread**2 / (4 * tau)
    excess = excess + 16 * UNIT_ROUNDOFF * np.linalg.norm(result, axis=(1, 2))
    return _Above(result, excess * (1 + 1e-12)), proved


def _all_below_one(matrices: Array, errors: Array) -> Array:
    """For which of the matrices it is proved that they are below I; [n]."""
    worst = float(np.max(errors))
    if all_below(matrices, 1.0, worst):
        return np.ones(len(matrices), bool)
    return np.array(
        [is_below(each, 1.0, float(error)) for each, error in zip(matrices, errors, strict=True)]
    )


def _diagonal(matrices: Array) -> Array:
    """The diagonals [n, h] as a view that can be changed."""
    count, size, _ = matrices.shape
    flat = matrices.reshape(count, size * size)
    return flat[:, :: size + 1]


def _sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))
