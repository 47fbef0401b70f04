"""Certified radii: how far an image may move, in l2, before a prediction can change."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from intriguing_tf.classifier import Classifier
from intriguing_tf.lipschitz.chain import pairwise_bounds
from intriguing_tf.lipschitz.folding import fold
from intriguing_tf.lipschitz.graph import Path, Walk, check_model
from intriguing_tf.lipschitz.operators import Matrix
from intriguing_tf.lipschitz.registry import SIGMOID, Softmax
from intriguing_tf.lipschitz.rounding import product_up, round_down, round_up

Array = np.ndarray

# Shares of the largest logit by which margins are cut for the rounding of the forward pass:
# far more than float64's, and float32's for models that cannot be copied to float64.
ALLOWANCE = {"float64": 1e-7, "float32": 1e-3}


def certified_radius(model: keras.Model, images: Any, batch_size: int = 256) -> Array:
    """Returns the l2 distance within which no change of an image changes its prediction.

    The least over the other classes j of margin_ij / L_ij, where i is the predicted class,
    margin_ij = z_i − z_j and L_ij bounds the Lipschitz constant of that difference of logits: the
    length of w_i − w_j times the bound of everything below the last layer, or the bound of the
    whole chain that ends there (docs/lipschitz.md). It speaks of the function that the weights
    define in exact arithmetic, whatever the true labels are. Logits are computed in float64 and
    margins are cut by 1e-7 of the largest logit; for models with layers that cannot be copied to
    float64, in float32 with 1e-3 of it.

    Args:
        model: a built Keras classifier that `bound` takes, ending in logits, softmax or sigmoid;
            one output unit means two classes.
        images: float [n, *input shape].
        batch_size: images per forward pass.

    Returns:
        float64 [n], in the units of the images. 0 where two classes tie.

    Raises:
        ValueError: as `bound`; images that are integers, not finite or of another shape.

    Example:

        images, labels = itf.datasets.mnist_sample()
        itf.lipschitz.certified_radius(itf.zoo.load("mnist/fc100-100-10"), images)
    """
    return Certifier(model).radius(images, batch_size)


class Certifier:
    """`certified_radius` for many calls: the bounds are computed once.

    Args:
        model: as in `certified_radius`.

    Attributes:
        bounds: float64 [classes, classes], the L_ij; zeros on the diagonal.

    Raises:
        ValueError: as `certified_radius`.

    Example:

        certifier = Certifier(model)
        certifier.radius(images)
    """

    def __init__(self, model: keras.Model):
        check_model(model)
        self.model = model
        self.bounds = margin_bounds(model)
        double = in_float64(model)
        self._precision = "float32" if double is None else "float64"
        self._classifier = Classifier(model if double is None else double)

    def radius(self, images: Any, batch_size: int = 256) -> Array:
        """Returns the certified radius of each image, float64 [n]."""
        images = self._check(images)
        if not len(images):
            return np.zeros(0)
        logits = self._classifier.predict_logits(images, batch_size).astype(np.float64)
        if not np.all(np.isfinite(logits)):
            raise ValueError("The model's logits are not finite on these images.")
        rows = np.arange(len(logits))
        predicted = logits.argmax(axis=1)
        margins = logits[rows, predicted][:, None] - logits
        allowance = ALLOWANCE[self._precision] * np.abs(logits).max(axis=1, keepdims=True)
        margins = np.maximum(margins - allowance, 0)
        slopes = self.bounds[predicted]
        with np.errstate(divide="ignore", invalid="ignore"):
            radii = np.where(margins > 0, margins / slopes, 0.0)
        radii[rows, predicted] = np.inf
        return np.array([round_down(value) for value in radii.min(axis=1)])

    def _check(self, images: Any) -> Array:
        images = np.asarray(images)
        if images.dtype.kind != "f":
            raise ValueError(
                "`images` must be floats in the range that the model takes: "
                "images.astype('float32'), divided by 255 if that is [0, 1]. "
                f"Received: dtype {images.dtype}."
            )
        expected = self.model.inputs[0].shape[1:]
        fits = images.ndim == len(expected) + 1 and all(
            want in (None, got) for want, got in zip(expected, images.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"`images` must have shape [n, {', '.join(map(str, expected))}]. "
                f"Received: shape {images.shape}."
            )
        if not np.all(np.isfinite(images)):
            raise ValueError("`images` must be finite. Received: NaN or infinite pixels.")
        return images


def margin_bounds(model: keras.Model) -> Array:
    """Returns the L_ij, bounds of the Lipschitz constants of z_i − z_j: float64 [k, k].

    Raises:
        ValueError: as `certified_radius`.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "A classifier has one input and one output. Received: model "
            f"{model.name!r} with {len(model.inputs)} inputs and {len(model.outputs)} outputs."
        )
    classes = model.outputs[0].shape[-1]
    if len(model.outputs[0].shape) != 2 or classes is None:
        raise ValueError(
            "A classifier's output has shape [n, classes]. Received: "
            f"{tuple(model.outputs[0].shape)}."
        )
    walk = Walk(best=True, attained=False)
    path = walk.run(model, walk.inputs_of(model))[0]
    entries = fold(path.entries)
    if entries and (entries[-1].step is SIGMOID or isinstance(entries[-1].step, Softmax)):
        entries.pop()
    head = entries[-1].step if entries else None
    if not isinstance(head, Matrix):
        below = Path(path.root, path.product, path.total, tuple(entries))
        whole = product_up([2**0.5, walk.close(below)[1]])
        return _spread(np.full((max(classes, 2),) * 2, whole if classes > 1 else whole / 2**0.5))
    below = Path(path.root, path.product, path.total, tuple(entries[:-1]))
    rest = walk.close(below)[1]
    weights = head.weights
    if classes == 1:
        weights = np.concatenate([np.zeros_like(weights), weights])
    lengths = np.array([np.linalg.norm(weights - row, axis=1) for row in weights])
    lengths += 2**0.5 * head.error
    bounds = lengths * rest
    chained = pairwise_bounds([entry.step for entry in entries], weights)
    if chained is not None:
        start, values = chained
        before = walk.close(Path(path.root, path.product, path.total, tuple(entries[:start])))[1]
        bounds = np.minimum(bounds, values * before)
    return _spread(bounds)


def _spread(bounds: Array) -> Array:
    bounds = np.maximum(bounds, bounds.T) * round_up(1.0, 2 * 4096)
    np.fill_diagonal(bounds, 0.0)
    return bounds


def in_float64(model: keras.Model) -> keras.Model | None:
    """Returns a copy of a model that computes in float64; `None` if a layer cannot be copied."""

    def copy(layer: Any) -> Any:
        return type(layer).from_config(_float64_config(layer.get_config()))

    try:
        double = keras.models.clone_model(model, clone_function=copy, recursive=True)
    except (NotImplementedError, TypeError, ValueError):
        return None
    double.set_weights(model.get_weights())
    return double


def _float64_config(config: Any) -> Any:
    """A layer's configuration with every dtype in it, of wrapped layers too, set to float64."""
    if isinstance(config, dict):
        return {
            key: "float64" if key == "dtype" else _float64_config(value)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [_float64_config(value) for value in config]
    return config
