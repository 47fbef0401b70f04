"""Directions of an activation space: single units, random ones, or the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from intriguing_tf.checks import check_positive_integer, check_seed, check_unmasked

NATURAL, RANDOM, GIVEN = "natural", "random", "given"
# A dense matrix of random directions above this many numbers (1 GiB) is refused.
_MOST_NUMBERS = 2**28


def random_directions(number: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns directions drawn uniformly from the unit sphere (the paper's random basis).

    Args:
        number: how many, at least 1.
        width: dimensions of the activation space, at least 1.
        seed: of NumPy's PCG64 generator. The first directions are the same for every `number`.

    Returns:
        float32 `[number, width]`, rows of length 1.

    Raises:
        TypeError, ValueError: no positive integers, or a matrix of more than 1 GiB.

    Example:

        directions = itf.units.random_directions(10, 256)
    """
    check_positive_integer("number", number)
    check_positive_integer("width", width)
    check_seed(seed)
    if number * width > _MOST_NUMBERS:
        raise ValueError(
            f"{number} random directions in {width} dimensions would take "
            f"{number * width / 2**28:.1f} GiB. Ask for fewer. Received: number={number}; at most "
            f"number={_MOST_NUMBERS // width} fits."
        )
    drawn = np.random.default_rng(seed).standard_normal((number, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


class Projection:
    """Activations [n, width] to their inner products [n, d] with d directions.

    Args:
        directions: "natural" (units), "random", or a float array `[d, width]`.
        width: dimensions of the activation space.
        number: how many natural or random directions; by default one per dimension. Of given
            ones there are as many as are given.
        seed: which random directions, and which units when `number` is below the width.

    Raises:
        TypeError: `seed` is no integer.
        ValueError: other directions than these, of another width, empty or not finite; a `number`
            of given ones, or one that does not fit.
    """

    def __init__(self, directions: Any, width: int, number: int | None, seed: int):
        check_seed(seed)
        self.units: np.ndarray | None = None
        self.vectors: np.ndarray | None = None
        if isinstance(directions, str) and directions == NATURAL:
            self.kind = NATURAL
            self.units = _some_units(width, number, seed)
        elif isinstance(directions, str) and directions == RANDOM:
            self.kind = RANDOM
            self.vectors = random_directions(width if number is None else number, width, seed)
        else:
            self.kind = GIVEN
            self.vectors = _checked_vectors(directions, width)
            if number is not None:
                raise ValueError(
                    "`number` is of natural or random directions: cut an array of your own. "
                    f"Received: number={number!r} and {len(self.vectors)} directions."
                )

    def __len__(self) -> int:
        return len(self.vectors if self.units is None else self.units)  # type: ignore[arg-type]

    def __call__(self, activations: np.ndarray) -> np.ndarray:
        if self.units is not None:
            return activations[:, self.units]
        with np.errstate(over="ignore", invalid="ignore"):
            products = activations @ self.vectors.T  # type: ignore[union-attr]
        if not np.isfinite(products).all():
            raise ValueError(
                "Inner products of activations and directions must be finite in float32; scale the "
                f"directions. Received: activations of up to {np.abs(activations).max():.3g}, and "
                "products that are not finite."
            )
        return products


def _some_units(width: int, number: int | None, seed: int) -> np.ndarray:
    if number is None:
        return np.arange(width)
    check_positive_integer("number", number)
    if not 1 <= number <= width:
        raise ValueError(
            f"`number` of units must be between 1 and the layer's {width}. Received: {number!r}."
        )
    return np.sort(np.random.default_rng(seed).permutation(width)[:number])


def _checked_vectors(directions: Any, width: int) -> np.ndarray:
    valid = f'`directions` must be "natural", "random" or a finite array of shape [d, {width}]'
    if isinstance(directions, str):
        raise ValueError(f"{valid}. Received: {directions!r}.")
    check_unmasked("directions", directions)
    try:
        vectors = np.asarray(directions)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{valid}. Received: {error}") from error
    if vectors.dtype.kind not in "fiub":
        raise ValueError(f"{valid}. Received: dtype {vectors.dtype}.")
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != width or not len(vectors):
        raise ValueError(f"{valid}. Received: shape {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{valid}. Received: NaN or infinite values.")
    return vectors
