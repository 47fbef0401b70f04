"""Curvature pairs of L-BFGS for a batch of problems, and the inverse Hessian that they tell of.

The two-loop recursion (Nocedal 1980) is carried out on the small matrix of inner products, so that
a step costs a few batched matrix products whatever the history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.aliases import moved_names

__getattr__ = moved_names(
    __name__, "intriguing_tf.adversary.minimizer", "Minimizer", "MinimizeResult", "minimize"
)


class Pairs(NamedTuple):
    """The last m steps of each problem and the changes of its gradient.

    A ring for each problem, written in place: shifting all of it would cost more than a step.

    Attributes:
        steps: [n, m, size]; a row of zeros is an empty place.
        changes: [n, m, size].
        oldest: int32 [n] the place that the next pair takes.
    """

    steps: tf.Tensor
    changes: tf.Tensor
    oldest: tf.Tensor

    @classmethod
    def empty(cls, like: tf.Tensor, maxcor: int) -> Pairs:
        """Returns places for `maxcor` pairs of problems with the shape and dtype of `like`."""
        nothing = tf.repeat(tf.zeros_like(like)[:, None, :], maxcor, axis=1)
        return cls(nothing, tf.identity(nothing), tf.zeros_like(like[:, 0], tf.int32))

    def push(self, step: tf.Tensor, change: tf.Tensor, where: tf.Tensor) -> Pairs:
        """Returns the pairs with the newest added, and the oldest dropped, where told to."""
        places = tf.stack([tf.range(tf.shape(self.oldest)[0]), self.oldest], axis=1)

        def put(new: tf.Tensor, into: tf.Tensor) -> tf.Tensor:
            rows = choose(where, new, tf.gather_nd(into, places))
            return tf.tensor_scatter_nd_update(into, places, rows)

        following = (self.oldest + 1) % self.steps.shape[1]
        oldest = tf.where(where, following, self.oldest)
        return Pairs(put(step, self.steps), put(change, self.changes), oldest)

    def drop(self, where: tf.Tensor) -> Pairs:
        """Returns the pairs without those of the rows told."""
        nothing = tf.zeros([], self.steps.dtype)
        return self._replace(
            steps=choose(where, nothing, self.steps), changes=choose(where, nothing, self.changes)
        )


def choose(where: tf.Tensor, this: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns rows of `this` where the mask [n] says so, else rows of `other`."""
    return tf.where(tf.reshape(where, [-1] + [1] * (other.shape.rank - 1)), this, other)


def dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the inner products [n] of the rows of two matrices."""
    return tf.reduce_sum(a * b, axis=-1)


def free_variables(
    x: tf.Tensor, gradient: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor
) -> tf.Tensor:
    """Returns 1 where a variable may move and 0 where a bound holds it, in the dtype of `x`."""
    held = (lower >= upper) | ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
    return tf.cast(~held, x.dtype)


def inverse_hessian(
    pairs: Pairs, free: tf.Tensor, curvature: tf.Tensor | None = None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the L-BFGS approximation of the inverse Hessian on the free variables.

    Args:
        pairs: steps and gradient changes; pairs without positive curvature are passed over.
        free: [n, size] of ones and zeros.
        curvature: [n] of the Hessian before any pair; by default the newest valid pair's
            y.y / s.y, or 1.

    Returns:
        A function from k vectors [n, k, size] to k vectors [n, k, size]; zero on held variables.
    """
    steps, changes, oldest = pairs
    m = steps.shape[1]
    places = tf.range(m)
    in_order = (oldest[:, None] + places) % m  # oldest first
    in_place = (places - oldest[:, None]) % m  # and back
    moving = changes * free[:, None]  # in the memory of `changes` where nothing else needs them
    sy, yy = _inner_products(steps, moving), _inner_products(moving, moving)
    sy, yy = (_take(_take(gram, in_order, 1), in_order, 2) for gram in (sy, yy))
    s_y, y_y = tf.linalg.diag_part(sy), tf.linalg.diag_part(yy)
    tiny = np.finfo(sy.dtype.as_numpy_dtype).eps
    valid = (s_y > tiny * y_y) & (s_y > 0)
    if curvature is None:
        inverse_curvature = tf.ones_like(s_y[:, 0])
        for i in range(m):
            ratio = s_y[:, i] / tf.where(valid[:, i], y_y[:, i], 1.0)
            inverse_curvature = tf.where(valid[:, i], ratio, inverse_curvature)
    else:
        inverse_curvature = 1 / curvature

    def apply(vectors: tf.Tensor) -> tf.Tensor:
        vectors = vectors * free[:, None]
        along_steps = _take(_inner_products(steps, vectors), in_order, 1)
        along_changes = _take(_inner_products(moving, vectors), in_order, 1)
        alphas, betas = (
            _take(weights, in_place, 1)
            for weights in _two_loops(sy, yy, valid, along_steps, along_changes, inverse_curvature)
        )
        straight = vectors - _combinations(alphas, moving)
        bent = _combinations(betas, steps)
        return (inverse_curvature[:, None, None] * straight + bent) * free[:, None]

    return apply


# Vector by vector: XLA multiplies a thin matrix with a vector ten times as fast as with another.


def _inner_products(rows: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """Returns [n, m, k] of rows [n, m, size] and vectors [n, k, size]."""
    columns = tf.unstack(vectors[..., None], axis=1)
    return tf.concat([tf.matmul(rows, column) for column in columns], axis=2)


def _combinations(weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns k combinations [n, k, size] of rows [n, m, size] for weights [n, m, k]."""
    columns = tf.unstack(weights[..., None], axis=2)
    return tf.concat([tf.matmul(c, rows, transpose_a=True) for c in columns], axis=1)


def _take(values: tf.Tensor, order: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.gather(values, order, axis=axis, batch_dims=1)


def _two_loops(sy, yy, valid, along_steps, along_changes, inverse_curvature):
    """The two-loop recursion in coordinates: what to take of each change and of each step.

    Each loop is a solution of triangular equations (Byrd, Nocedal and Schnabel 1994), with R the
    upper triangle of `sy`: first R a = S v, then R^T b = D a - c, with what the changes see of the
    vector that the first loop leaves as c. `along_steps` and `along_changes` [n, m, k] are the
    inner products with k vectors; so are the results.
    """
    kept = tf.cast(valid, sy.dtype)[:, :, None]
    triangle = tf.linalg.band_part(sy, 0, -1) * kept * tf.linalg.matrix_transpose(kept)
    triangle += tf.linalg.diag(1 - kept[..., 0])
    alphas = tf.linalg.triangular_solve(triangle, kept * along_steps, lower=False)
    seen = inverse_curvature[:, None, None] * (along_changes - tf.matmul(yy, alphas))
    own = tf.linalg.diag_part(triangle)[..., None]
    right = kept * (own * alphas - seen)
    return alphas, tf.linalg.triangular_solve(triangle, right, lower=False, adjoint=True)
