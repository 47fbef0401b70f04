"""Trains QuocNets without labels: reconstruction ICA with pooled sparsity, stage by stage."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from intriguing_tf.checks import (
    check_between,
    check_kind,
    check_positive_integer,
    check_seed,
    one_number,
)
from intriguing_tf.layers import L2Pooling2D, LocallyConnected2D
from intriguing_tf.models import QuocNetConfig, quocnet
from intriguing_tf.progress import shows_progress
from intriguing_tf.transfer.distortions import finite_images


class ReconstructionICA(keras.Model):
    """The unsupervised objective of one stage; `fit(images)` minimizes it.

    mean over images of ‖Wᵀ W x − x‖² + λ Σ_j sqrt(ε + H_j (W x)²): what the untied filters W keep
    of an image must give it back, while few of the pooled units j are active (Le et al. 2011,
    "ICA with reconstruction cost", equation 4; Le et al. 2012, arXiv 1112.6209, section 4). The
    larger network of 2012 decodes with weights of its own; tied ones, as here and in 2011, cannot
    make the codes small without paying for it in the reconstruction.

    Args:
        filtering: the stage's filters, W.
        pooling: its pooling, H and ε.
        sparsity: λ, at least 0.

    Raises:
        TypeError, ValueError: other layers, or a sparsity that is negative or not finite.

    Example:

        stage = ReconstructionICA(LocallyConnected2D(8, 7, use_bias=False), L2Pooling2D(3))
        stage.compile(optimizer="adam")
        stage.fit(images)
    """

    def __init__(
        self,
        filtering: LocallyConnected2D,
        pooling: L2Pooling2D,
        sparsity: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_kind("filtering", filtering, LocallyConnected2D, "a LocallyConnected2D")
        check_kind("pooling", pooling, L2Pooling2D, "an L2Pooling2D")
        if not 0 <= one_number("sparsity", sparsity) < np.inf:
            raise ValueError(f"`sparsity` must be a number of at least 0. Received: {sparsity!r}.")
        self.filtering = filtering
        self.pooling = pooling
        self.sparsity = sparsity

    def call(self, inputs: Any) -> Any:
        codes = self.filtering(inputs)
        reconstructed = self.filtering.adjoint(codes, tuple(inputs.shape[1:]))
        error = ops.sum(ops.square(reconstructed - inputs), axis=(1, 2, 3))
        active = ops.sum(self.pooling(codes), axis=(1, 2, 3))
        self.add_loss(ops.mean(error) + self.sparsity * ops.mean(active))
        return reconstructed


def train_features(
    config: QuocNetConfig,
    images: np.ndarray,
    sparsity: float = 0.1,
    epochs: int = 3,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    verbose: bool | str = "auto",
) -> keras.Model:
    """Trains the filters of a QuocNet on images without labels, one stage after the other.

    Each stage minimizes `ReconstructionICA` on what the stages below make of the images, which
    must fit in memory. The random state of Python, NumPy and TensorFlow is set by `seed`. A small
    configuration is a matter of a minute; docs/imagenet.md says how the full size would be trained.

    Args:
        config: the sizes.
        images: float32 `[n, *config.image_shape]` in [0, 1].
        sparsity: λ of the objective.
        epochs: passes over the images, per stage.
        batch_size: images per step.
        learning_rate: of Adam.
        seed: of the filters at the start and of the order of the images.
        verbose: whether to show progress bars; "auto": if stderr is a terminal.

    Returns:
        The features, as `itf.models.quocnet` builds them.

    Raises:
        TypeError, ValueError: images of another shape than the configuration's, other arguments
            out of their range, or training diverged.

    Example:

        config = itf.models.QuocNetConfig((28, 28, 1), (7, 5, 5), pool_size=3)
        features = train_features(config, itf.datasets.mnist("train")[0][:5000])
    """
    check_kind("config", config, QuocNetConfig, "a QuocNetConfig")
    check_positive_integer("epochs", epochs)
    check_positive_integer("batch_size", batch_size)
    check_between("learning_rate", learning_rate, 0)
    check_seed(seed)
    images = finite_images("images", images)
    if images.shape[1:] != config.image_shape:
        raise ValueError(
            f"`images` must have the shape [n, {', '.join(map(str, config.image_shape))}]. "
            f"Received: {images.shape}."
        )
    check_positive_integer("the number of images", len(images))
    bars = int(shows_progress(verbose))
    keras.utils.set_random_seed(seed)
    features = quocnet(config)
    below = images
    for stage in range(1, len(config.receptive_fields) + 1):
        filtering = features.get_layer(f"filtering_{stage}")
        pooling = features.get_layer(f"pooling_{stage}")
        objective = ReconstructionICA(filtering, pooling, sparsity)
        objective.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
        history = objective.fit(below, batch_size=batch_size, epochs=epochs, verbose=bars)
        if not np.isfinite(history.history["loss"][-1]):
            raise ValueError(f"Stage {stage} diverged. Received: learning_rate={learning_rate}.")
        contrast = features.get_layer(f"contrast_{stage}")
        part = keras.Model(filtering.input, contrast.output)
        below = part.predict(below, batch_size=batch_size, verbose=0)
    return features
