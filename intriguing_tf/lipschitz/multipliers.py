"""Chooses the multipliers Λ of a chain: any positive ones are valid, good ones make it tight.

Λ_i = c_i · diag(exp(p_i)) with c_i = 4·sigmoid(q_i)/λ_max(E B_i E), E = diag(exp(p_i / 2)), keeps
every M_i positive definite, so that p and q are free; p = q = 0 is ECLipsE-Fast (Xu and
Sivaranjani 2024, arXiv 2410.02907). Nothing here is rigorous, nor has to be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

Array = np.ndarray

POWER_STEPS = 6


@dataclasses.dataclass
class Forward:
    """One layer's quantities of the recursion, kept for the gradient.

    Args:
        gram: B = W M⁻¹ Wᴴ of the layer below, [f, n, n].
        inverse: M⁻¹, [f, n, n].
        multipliers: Λ, [n].
        top: λ_max(E B E) per frequency, [f].
        vectors: its eigenvectors, [f, n].
    """

    gram: Array
    inverse: Array
    multipliers: Array
    top: Array
    vectors: Array


class Recursion:
    """x ↦ W_L φ(… φ(W_1 x)) frequency by frequency, activations with slopes in [0, 1].

    Args:
        stages: W_1 … W_L as [f_i, n_i, a_i, n_(i−1)]: a_i frequencies of the layer below are
            aliased into each of its f_i; f_(i−1) = f_i · a_i. Matrices have f = a = 1.
        sharpness: how sharply the objective is the maximum over frequencies.
    """

    def __init__(self, stages: Sequence[Array], sharpness: float = 200.0):
        self.stages = list(stages)
        self._sharpness = sharpness
        self._first_gram = through(self.stages[0], None)
        self._vectors: dict[int, Array] = {}

    def forward(self, scales: Sequence[Array], shares: Sequence[float]) -> list[Forward]:
        """Returns the recursion for p (`scales`) and q (`shares`) of each hidden layer."""
        layers: list[Forward] = []
        inverse: Array | None = None
        for i, (weights, p, q) in enumerate(zip(self.stages[:-1], scales, shares, strict=True)):
            gram = self._gram(weights, inverse)
            root = np.exp(p / 2)
            top, vectors = self._top(i, gram * np.outer(root, root))
            multipliers = 4 * sigmoid(q) / np.max(top) * np.exp(p)
            matrix = -0.25 * gram * np.outer(multipliers, multipliers)
            matrix[:, np.arange(len(p)), np.arange(len(p))] += multipliers
            inverse = np.linalg.inv(matrix)
            layers.append(Forward(gram, inverse, multipliers, top, vectors))
        return layers

    def _gram(self, weights: Array, inverse: Array | None) -> Array:
        """`through`, computed once for the first layer, which nothing chosen changes."""
        return self._first_gram if inverse is None else through(weights, inverse)

    def joint(self, multipliers: Sequence[Array]) -> Array | None:
        """Returns W_L M⁻¹ W_Lᴴ, [f, n, n], for given Λ_i; `None` unless every M_i is positive."""
        inverse: Array | None = None
        for weights, each in zip(self.stages[:-1], multipliers, strict=True):
            gram = self._gram(weights, inverse)
            matrix = -0.25 * gram * np.outer(each, each)
            matrix[:, np.arange(len(each)), np.arange(len(each))] += each
            try:
                np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                return None
            inverse = np.linalg.inv(matrix)
        return through(self.stages[-1], inverse)

    def largest(self, multipliers: Sequence[Array]) -> float:
        """Returns the L² that given Λ_i lead to; `inf` unless every M_i is positive definite."""
        joint = self.joint(multipliers)
        return np.inf if joint is None else float(np.max(np.linalg.eigvalsh(joint)))

    def output(self, layers: Sequence[Forward]) -> tuple[Array, Array, Array]:
        """Returns W_L M⁻¹ W_Lᴴ, its largest eigenvalue per frequency, and the eigenvectors."""
        gram = through(self.stages[-1], layers[-1].inverse)
        return gram, *self._top(len(layers), gram)

    def gradient(
        self, layers: Sequence[Forward], scales: Sequence[Array], shares: Sequence[float]
    ) -> tuple[float, list[Array], list[float]]:
        """Returns log L² and its gradient in p and q; the maximum over frequencies is softened."""
        _, top, vectors = self.output(layers)
        best = float(np.max(top))
        weights = self._soft(top)
        adjoint = (weights / best)[:, None, None] * _outer(vectors)
        by_scale: list[Array] = [np.zeros(0)] * len(layers)
        by_share = [0.0] * len(layers)
        for i in reversed(range(len(layers))):
            layer = layers[i]
            back = pulled_back(self.stages[i + 1], adjoint)
            by_matrix = -layer.inverse @ back @ layer.inverse
            l = layer.multipliers
            along = np.einsum("fkk->k", by_matrix).real
            through_gram = np.einsum("fkj,j,fjk->k", by_matrix, l, layer.gram, optimize=True).real
            by_multiplier = along - 0.5 * through_gram
            adjoint = -0.25 * by_matrix * np.outer(l, l)
            total = float(by_multiplier @ l)  # derivative in log c
            by_share[i] = total * (1 - sigmoid(shares[i]))
            soft = self._soft(layer.top)
            root = np.exp(scales[i] / 2)
            stretched = layer.vectors * root
            adjoint = adjoint - (total * soft / np.max(layer.top))[:, None, None] * _outer(
                stretched
            )
            by_scale[i] = by_multiplier * l - total * (soft @ np.abs(layer.vectors) ** 2)
        return float(np.log(best)), by_scale, by_share

    def _soft(self, top: Array) -> Array:
        """Weights that sum to 1, almost all of it at the largest."""
        weights = np.exp(self._sharpness * (top / np.max(top) - 1))
        return weights / np.sum(weights)

    def _top(self, key: int, matrices: Array) -> tuple[Array, Array]:
        """The largest eigenvalues, by power iteration from where the last one ended."""
        if len(matrices) == 1 and matrices.shape[-1] <= 64:
            values, vectors = np.linalg.eigh(matrices)
            return values[:, -1], vectors[:, :, -1]
        start = self._vectors.get(key)
        steps = POWER_STEPS
        if start is None or start.shape != matrices.shape[:2]:
            start = np.random.default_rng(0).normal(size=matrices.shape[:2]).astype(matrices.dtype)
            steps = 60
        vectors = start[..., None]
        for _ in range(steps):
            vectors = matrices @ vectors
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        images = matrices @ vectors
        values = np.sum(vectors.conj() * images, axis=(1, 2)).real
        self._vectors[key] = vectors[..., 0]
        return values, vectors[..., 0]


def optimize(
    recursion: Recursion, iterations: int, start: list[Array] | None = None
) -> list[Array] | None:
    """Returns multipliers Λ_1 … Λ_(L−1), found by Adam on log L².

    `None` where floating point cannot hold the recursion.

    Args:
        recursion: of the chain.
        iterations: steps of Adam; 0 keeps the start.
        start: multipliers to start from; `None` is ECLipsE-Fast.
    """
    sizes = [stage.shape[1] for stage in recursion.stages[:-1]]
    scales = [np.zeros(size) for size in sizes]
    shares = [0.0] * len(sizes)
    if start is not None:
        scales = [np.log(each / np.exp(np.mean(np.log(each)))) for each in start]
    if iterations == 0:
        return [layer.multipliers for layer in recursion.forward(scales, shares)]
    point = np.concatenate([*scales, shares])
    cuts = np.cumsum(sizes)
    first, second = np.zeros_like(point), np.zeros_like(point)
    best, kept = np.inf, None
    for step in range(iterations + 1):
        *scales, tail = np.split(point, cuts)
        try:
            layers = recursion.forward(scales, list(tail))
            value, by_scale, by_share = recursion.gradient(layers, scales, list(tail))
        except np.linalg.LinAlgError:
            break
        if value < best:
            best, kept = value, [layer.multipliers for layer in layers]
        gradient = np.concatenate([*by_scale, by_share])
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rate = 0.1 * 0.5 * (1 + np.cos(np.pi * step / iterations))
        unbiased = first / (1 - 0.9 ** (step + 1))
        spread = np.sqrt(second / (1 - 0.99 ** (step + 1)))
        point = point - rate * unbiased / (spread + 1e-12)
    return kept


def through(weights: Array, inverse: Array | None) -> Array:
    """W M⁻¹ Wᴴ, summed over aliased frequencies; M = I where `inverse` is `None`."""
    rows = weights.reshape(len(weights), weights.shape[1], -1)
    if inverse is None:
        return rows @ rows.conj().swapaxes(1, 2)
    blocks = inverse.reshape(len(weights), weights.shape[2], *inverse.shape[1:])
    images = np.einsum("fian,fanm->fiam", weights, blocks, optimize=True).reshape(rows.shape)
    return images @ rows.conj().swapaxes(1, 2)


def pulled_back(weights: Array, adjoint: Array) -> Array:
    """Wᴴ A W per aliased frequency: [f · a, n, n]."""
    by_alias = weights.swapaxes(1, 2)
    images = by_alias.conj().swapaxes(2, 3) @ adjoint[:, None] @ by_alias
    return images.reshape(-1, *images.shape[2:])


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def _outer(vectors: Array) -> Array:
    return vectors[:, :, None] * vectors[:, None, :].conj()
