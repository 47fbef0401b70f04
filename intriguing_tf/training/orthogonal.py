"""Kernels that stay near orthogonal matrices, so that the product of norms is no waste."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.checks import check_positive_integer
from intriguing_tf.lipschitz.differentiable import dense_bound

_SQUARINGS = 4  # n singular values of 1 are bounded by n^(1/34), so that they are never shortened


@keras.saving.register_keras_serializable(package="intriguing_tf")
class OrthogonalConstraint(keras.constraints.Constraint):
    """`kernel_constraint` that moves a kernel towards the nearest orthogonal matrix.

    After each step W becomes W (3 I − WᵀW) / 2 (Björck and Bowie, SIAM J. Numer. Anal. 1971), which
    squares the distance of the singular values from 1. All of them stay near 1, not the largest
    alone: a layer of sorted pairs then keeps the norm of gradients in as many directions as it can.
    Where a step was so large that this might diverge, the kernel is made shorter first.

    Args:
        iterations: after each step.

    Raises:
        ValueError: not a positive integer. When called: a kernel that is no matrix.

    Example:

        keras.layers.Dense(
            512,
            kernel_initializer="orthogonal",
            kernel_constraint=itf.training.OrthogonalConstraint(),
        )
    """

    def __init__(self, iterations: int = 1):
        check_positive_integer("iterations", iterations)
        self.iterations = iterations

    def __call__(self, kernel: Any) -> tf.Tensor:
        kernel = tf.convert_to_tensor(kernel)
        if kernel.shape.rank != 2:
            raise ValueError(
                "`OrthogonalConstraint` is for kernels that are matrices, as those of Dense. "
                f"Received: a kernel of shape {tuple(kernel.shape)}."
            )
        kernel /= tf.maximum(tf.reduce_max(tf.abs(kernel)) / 2, 1)  # its squares are finite
        tall = kernel.shape[0] >= kernel.shape[1]
        for _ in range(self.iterations):
            gram = tf.matmul(kernel, kernel, transpose_a=tall, transpose_b=not tall)
            identity = tf.eye(gram.shape[0], dtype=gram.dtype)
            largest = _largest(kernel, gram, identity)
            scale = tf.where(largest < 3, tf.ones_like(largest), 1 / largest)
            step = 1.5 * identity - 0.5 * scale * gram
            kernel = tf.sqrt(scale) * (tf.matmul(kernel, step) if tall else tf.matmul(step, kernel))
        return kernel

    def get_config(self) -> dict[str, Any]:
        return {"iterations": self.iterations}


def _largest(kernel: tf.Tensor, gram: tf.Tensor, identity: tf.Tensor) -> tf.Tensor:
    """Bounds the squares of the singular values, which the iteration needs below 3.

    What costs little is enough near orthogonal kernels. Frobenius norms grow with the size, and
    would shorten others again and again.
    """
    rough = tf.minimum(tf.norm(gram), 1 + tf.norm(gram - identity))
    return tf.cond(
        rough < 3, lambda: rough, lambda: tf.minimum(rough, dense_bound(kernel, _SQUARINGS) ** 2)
    )
