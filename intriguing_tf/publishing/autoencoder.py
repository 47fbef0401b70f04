"""The sparse autoencoder below AE400-10: its objective, and a picture of its filters."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure


def sparse_reconstruction(images, outputs, *, sparsity: float, penalty: float):
    """Returns the objective of a sparse autoencoder over a batch, without weight decay.

    Args:
        images: `[n, 28, 28, 1]` in [0, 1].
        outputs: the reconstruction's logits `[n, 784]` and the code `[n, units]` in (0, 1).
        sparsity: wanted mean activation ρ of each unit.
        penalty: weight of Σ_j KL(ρ ‖ ρ_j), where ρ_j is the mean activation over the batch.

    Returns:
        A scalar: the mean over images of the pixels' summed cross-entropy, plus the penalty.
    """
    logits, code = outputs
    pixels = tf.reshape(images, tf.shape(logits))
    per_pixel = tf.nn.sigmoid_cross_entropy_with_logits(pixels, logits)
    mean = tf.clip_by_value(tf.reduce_mean(code, 0), 1e-6, 1 - 1e-6)
    divergence = sparsity * tf.math.log(sparsity / mean) + (1 - sparsity) * tf.math.log(
        (1 - sparsity) / (1 - mean)
    )
    return tf.reduce_mean(tf.reduce_sum(per_pixel, 1)) + penalty * tf.reduce_sum(divergence)


def filters_figure(kernel: np.ndarray, columns: int = 20) -> Figure:
    """Returns a picture of the filters of a layer on pixels, one tile per unit.

    Args:
        kernel: `[784, units]`, the weights of a dense layer on 28 × 28 images.
        columns: tiles per row.

    Returns:
        A figure; each filter has its own scale, symmetric about 0, which is gray.
    """
    filters = kernel.T / np.abs(kernel).max(0)[:, None]
    rows = -(-len(filters) // columns)
    tiles = np.ones((rows * columns, 30, 30))
    tiles[: len(filters), 1:29, 1:29] = filters.reshape(-1, 28, 28)
    page = tiles.reshape(rows, columns, 30, 30).swapaxes(1, 2).reshape(rows * 30, columns * 30)
    figure = Figure(figsize=(columns / 2, rows / 2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(page, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure
