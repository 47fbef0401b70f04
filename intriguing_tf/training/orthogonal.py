"""Kernels that stay near orthogonal matrices, so that the product of norms is no waste."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.checks import check_positive_integer


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
        tall = kernel.shape[0] >= kernel.shape[1]
        for _ in range(self.iterations):
            gram = tf.matmul(kernel, kernel, transpose_a=tall, transpose_b=not tall)
            identity = tf.eye(gram.shape[0], dtype=gram.dtype)
            # No singular value is above the root of this; the iteration needs them below √3.
            largest = tf.minimum(tf.norm(gram), 1 + tf.norm(gram - identity))
            scale = tf.where(largest < 3, tf.ones_like(largest), 1 / largest)
            step = 1.5 * identity - 0.5 * scale * gram
            kernel = tf.sqrt(scale) * (tf.matmul(kernel, step) if tall else tf.matmul(step, kernel))
        return kernel

    def get_config(self) -> dict[str, Any]:
        return {"iterations": self.iterations}
