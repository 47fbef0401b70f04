"""What floating point proves: largest eigenvalues, certified by Cholesky factorizations.

A Cholesky factorization that runs to its end in floating point proves that the matrix is positive
definite up to a backward error: A + ΔA = RᴴR with |ΔA| ≤ γ |Rᴴ||R|, so that ‖ΔA‖₂ ≤ γ‖R‖_F² ≤
γ/(1 − γ) tr A (Demmel 1989, LAPACK working note 14; Rump 2006, BIT 46, 433-452). Subtracting that
much from the diagonal first makes success a proof. Everything here is float64 or complex128.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

UNIT_ROUNDOFF = 2.0**-53
# The same of float32.
FLOAT32 = 2.0**-24
# Layers round constants that are not weights (a factor, an ε) to float32, up or down.
ROUNDED = 2.0**-22
CONSTANT = 1 + ROUNDED
# Numbers of float32 below this are 0 where processors flush them.
NORMAL32 = 2.0**-126
# What underflows counts as this; it is above the range where numbers lose digits.
LEAST = 1e-290
# Up to this size one batched LAPACK call beats a Python loop over single factorizations.
BATCHED_SIZE = 96
# Up to this size all eigenvalues cost less than an iteration for the largest.
DIRECT_SIZE = 512

Array = np.ndarray


def gamma(terms: float) -> float:
    """Returns γ = ku/(1 − ku): the relative error of an inner product of so many real terms.

    Complex arithmetic costs at most four times as many terms (Higham, Accuracy and Stability of
    Numerical Algorithms, sections 3.1 and 3.6); callers count them so.
    """
    return terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


def round_up(value: float, operations: int = 4) -> float:
    """Returns a number that is above the exact one, after so many roundings of positive numbers."""
    return float(value * (1 + 2 * (operations + 1) * UNIT_ROUNDOFF))


def round_down(value: float, operations: int = 4) -> float:
    """Returns a number that is below the exact one, after so many roundings of positive numbers."""
    return float(value * (1 - 2 * (operations + 1) * UNIT_ROUNDOFF))


def constant_error(values: np.ndarray | float) -> Array:
    """How far constants lie from what a layer in float32 computes with; one in float64 does not."""
    size = np.abs(values)
    with np.errstate(over="ignore"):
        error = np.abs(np.asarray(values, np.float32).astype(np.float64) - values)
    return np.where(size < NORMAL32, size, error)


def product_up(factors: list[float]) -> float:
    """Returns an upper bound of the product of non-negative numbers; anything times 0 is 0."""
    if 0.0 in factors:
        return 0.0
    rounded = [factor for factor in factors if factor != 1.0]
    if len(rounded) < 2:
        return math.prod(rounded)
    product = 1.0
    for factor in rounded:
        product = max(product * factor, LEAST)  # one that underflows may be made large again
    return round_up(product, len(rounded))


def normalize(weights: Array) -> tuple[Array, float]:
    """Returns weights as float64, scaled by a power of two to at most 1, and that power.

    The scaling is exact, and keeps squares away from overflow and underflow. Zeros keep scale 1.
    """
    weights = np.asarray(weights, np.float64)
    largest = float(np.max(np.abs(weights), initial=0.0))
    if largest == 0.0:
        return weights, 1.0
    scale = 2.0 ** min(math.frexp(largest)[1], 1023)
    return weights / scale, scale


def frobenius(values: Array) -> float:
    """Returns the root of the sum of squares, of numbers however large or small."""
    scaled, scale = normalize(values)
    return float(np.linalg.norm(scaled.ravel())) * scale


def lengths(rows: Array) -> Array:
    """Returns the lengths of the rows of a matrix, of numbers however large or small."""
    largest = np.max(np.abs(rows), axis=-1, initial=0.0, keepdims=True)
    scale = np.ldexp(1.0, np.frexp(np.where(largest > 0, largest, 1.0))[1] - 1)
    return np.linalg.norm(rows / scale, axis=-1) * scale[..., 0]


def cholesky_error(size: int, bound: float, error: float, real: bool) -> float:
    """What to subtract from the diagonal of bound·I − G before Cholesky proves G ≤ bound.

    Args:
        size: rows of G.
        bound: the bound to be proved; G is positive semidefinite, so tr(bound·I − G) ≤ size·bound.
        error: a bound of the spectral norm of the error in G itself.
        real: whether G is real.
    """
    relative = gamma((1 if real else 4) * (size + 4))
    underflow = 1e-290
    return (
        relative / (1 - relative) * size * bound * 1.01
        + 4 * UNIT_ROUNDOFF * bound
        + error
        + (underflow)
    )


def is_below(gram: Array, bound: float, error: float) -> bool:
    """Whether the Hermitian positive semidefinite `gram` [n, n] is proved to be ≤ bound.

    `gram` holds the exact matrix up to an error of spectral norm `error`. `False` proves nothing.
    """
    size = len(gram)
    real = not np.iscomplexobj(gram)
    # The transpose of a C-ordered matrix is what LAPACK can overwrite without a copy; it has the
    # same eigenvalues.
    shifted = -gram.T
    shifted[np.diag_indices(size)] += bound - cholesky_error(size, bound, error, real)
    factorize = lapack.dpotrf if real else lapack.zpotrf
    _, failed = factorize(shifted, lower=0, overwrite_a=1, clean=0)
    return failed == 0


def all_below(grams: Array, bound: float, error: float) -> bool:
    """Whether all of `grams` [f, n, n] are proved to be ≤ bound, as by `is_below`."""
    size = grams.shape[-1]
    if size > BATCHED_SIZE:
        return all(is_below(gram, bound, error) for gram in grams)
    shifted = -grams
    diagonal = np.arange(size)
    real = not np.iscomplexobj(grams)
    shifted[:, diagonal, diagonal] += bound - cholesky_error(size, bound, error, real)
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    return True


def first_above(grams: Array, bound: float, error: float) -> int | None:
    """Index of a matrix of `grams` [f, n, n] that is not proved to be ≤ bound; `None` if all are.

    Of several small matrices it is the one with the largest eigenvalue.
    """
    if grams.shape[-1] <= BATCHED_SIZE:
        if all_below(grams, bound, error):
            return None
        return int(np.argmax(np.linalg.eigvalsh(grams)[:, -1]))
    for index, gram in enumerate(grams):
        if not is_below(gram, bound, error):
            return index
    return None


def largest_eigenvalue(grams: Array, error: float) -> tuple[float, float]:
    """Bounds the largest eigenvalue of several positive semidefinite matrices at once.

    Args:
        grams: real [g, n, n], symmetric.
        error: a bound of the spectral norm of the error in each.

    Returns:
        A certified upper bound, and a lower bound; they differ by about 1e-8 of their size plus
        what the certificate costs.
    """
    size = grams.shape[-1]
    if size <= DIRECT_SIZE:
        found = float(np.max(np.linalg.eigvalsh(grams)))
    else:
        found = max(_eigsh(gram) for gram in grams)
    # eigvalsh and eigsh are backward stable; this is far more than their error.
    lower = max(found * (1 - 1e-12 * size) - error, 0.0)
    margin = 1e-9
    if found <= 0.0:
        found = max(error, 1e-290)
    while True:
        bound = found * (1 + margin) + 2 * cholesky_error(size, found, error, real=True)
        if all_below(grams, bound, error):
            return bound, lower
        margin *= 4


def _eigsh(gram: Array) -> float:
    start = np.random.default_rng(0).normal(size=len(gram))
    try:
        return float(eigsh(gram, k=1, v0=start, tol=1e-9, return_eigenvectors=False)[0])
    except ArpackNoConvergence:
        return float(np.linalg.eigvalsh(gram)[-1])


def lanczos(
    apply: Callable[[Array], Array],
    start: Array,
    steps: int,
    tolerance: float,
    target: float = math.inf,
) -> tuple[float, Array]:
    """Returns a large Rayleigh quotient of a Hermitian operator and its unit vector.

    Args:
        apply: the operator, on vectors like `start`.
        start: real or complex [n], not zero.
        steps: at most so many applications.
        tolerance: stop once the residual is this fraction of the value.
        target: stop once the value is this large.
    """
    basis = start[None] / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = apply(basis[-1])
        diagonal.append(float(np.vdot(basis[-1], image).real))
        for _ in range(2):  # twice is enough to stay orthogonal
            image = image - basis.T @ (basis.conj() @ image)
        values, vectors = np.linalg.eigh(
            np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        )
        rest = float(np.linalg.norm(image))
        small = rest * abs(vectors[-1, -1]) <= tolerance * abs(values[-1])
        small = small or values[-1] >= target
        if small or len(basis) >= min(steps, start.size) or rest <= 1e-13 * abs(values[-1]):
            vector = basis.T @ vectors[:, -1]
            return float(values[-1]), vector / np.linalg.norm(vector)
        beside.append(rest)
        basis = np.concatenate([basis, image[None] / rest])
