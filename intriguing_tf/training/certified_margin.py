"""Certified training: the margin that a Lipschitz bound leaves within a radius, as a penalty."""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.checks import check_choice, check_interval, check_positive
from intriguing_tf.classifier import input_shape
from intriguing_tf.lipschitz.differentiable import (
    PowerIteration,
    chain_to_logits,
    followed_norm,
    in_one_dtype,
)
from intriguing_tf.training.batch import Batch

Schedule: Any = keras.optimizers.schedules.LearningRateSchedule
LOSSES = ("extra class", "worst")
REFRESH = 20  # power iterations before validation
_TINY = 1e-12
_FLAT = 1e-3  # at this slope, times the range of the bounds, a model is nearly constant


@keras.saving.register_keras_serializable(package="intriguing_tf")
class CertifiedMargin:
    """Trains a classifier for the l2 radius within which its Lipschitz bound certifies it.

    Within a radius r around an image no logit z_j of another class gains more on that of the
    predicted class i than r K ‖w_i − w_j‖, with K the product of the norms of the layers below the
    last and w its rows. So the worst that can happen are the logits z_j + r K ‖w_i − w_j‖. Two
    losses ask for more than that:

    - "extra class" (GloRo, Leino, Wang and Fredrikson, ICML 2021): KL(softmax z ‖ softmax of z and
      of an extra logit, the largest of the worst ones besides i), as in TRADES (Zhang et al., ICML
      2019). It needs no labels; the model's own loss keeps the accuracy.
    - "worst": the cross-entropy of the worst logits with i the true class, divided by K, or by
      0.001 over the range of the bounds where K is smaller: layers may start at zero.

    The model's layers form a chain that ends in a Dense layer of logits. K is a product of Schatten
    norms of order 66 for Dense layers (above the norm, for n equal singular values by n^(1/66)),
    and for convolutions of one power iteration per step, kept from step to step; `fit` runs it on
    before each validation. It certifies nothing: `itf.lipschitz.certified_radius` does, and
    `CertifiedAccuracy` follows it during training. The logits are those of the training pass
    (dropout included).

    Args:
        radius: l2 radius in units of the images, above 0; or a Keras schedule that gives it for
            each step. It should grow from 0.
        weight: of the penalty, above 0; or a Keras schedule.
        loss: "extra class" or "worst".
        bounds: of the images, which say how large a radius can be.

    Raises:
        TypeError, ValueError: settings that are not as above. When a model is built around it: a
            model that is not such a chain, with the layers that have no differentiable norm (it is
            there for Dense, Conv1D to 3D and DepthwiseConv1D and 2D).

    Warns:
        UserWarning: no image has such a radius: it is larger than half the diagonal of the bounds.

    Example:

        growing = keras.optimizers.schedules.PolynomialDecay(0.0, 5_000, 1.58)
        model = itf.training.AdversarialModel(
            itf.models.group_sort(), penalties=[itf.training.CertifiedMargin(growing, weight=2.0)]
        )
    """

    def __init__(
        self,
        radius: float | keras.optimizers.schedules.LearningRateSchedule,
        weight: float | keras.optimizers.schedules.LearningRateSchedule = 2.0,
        *,
        loss: str = "extra class",
        bounds: tuple[float, float] = (0.0, 1.0),
    ):
        check_choice("loss", loss, LOSSES)
        self.radius = radius if isinstance(radius, Schedule) else check_positive("radius", radius)
        self.weight = weight if isinstance(weight, Schedule) else check_positive("weight", weight)
        self.loss, self.bounds = loss, check_interval("bounds", bounds)

    def prepare(self, model: keras.Model, variable: Callable) -> PreparedMargin:
        """Returns what `AdversarialModel` adds to its loss; `variable` is its `add_weight`."""
        self._check_radius(model)
        return PreparedMargin(self, model, variable)

    def _check_radius(self, model: keras.Model) -> None:
        sizes = input_shape(model)
        if isinstance(self.radius, Schedule) or sizes is None or None in sizes:
            return
        largest = math.sqrt(math.prod(sizes)) * (self.bounds[1] - self.bounds[0]) / 2  # type: ignore
        if self.radius > largest:
            warnings.warn(
                f"A radius of {self.radius:g} is larger than {largest:.4g}, half the diagonal of "
                f"images of shape {sizes} in {list(self.bounds)}: no two images of different "
                "classes can both have it.",
                stacklevel=4,
            )

    def get_config(self) -> dict[str, Any]:
        def stored(value: Any) -> Any:
            is_schedule = isinstance(value, Schedule)
            return keras.saving.serialize_keras_object(value) if is_schedule else value

        return {
            "radius": stored(self.radius),
            "weight": stored(self.weight),
            "loss": self.loss,
            "bounds": list(self.bounds),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CertifiedMargin:
        read = keras.saving.deserialize_keras_object
        values = {
            key: read(value) if isinstance(value, dict) else value for key, value in config.items()
        }
        return cls(**values)


class PreparedMargin:
    """A `CertifiedMargin` of one model, with the norms of its layers.

    Args:
        margin: the settings.
        model: the classifier.
        variable: makes variables, as `keras.layers.Layer.add_weight`.
    """

    def __init__(self, margin: CertifiedMargin, model: keras.Model, variable: Callable):
        self.margin = margin
        chain = chain_to_logits(model)
        self._head, self._constant = chain.head, chain.constant
        self.norms = [followed_norm(*each, variable) for each in chain.below.items()]

    def __call__(self, batch: Batch, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Returns the penalty of a batch with these logits, a scalar."""
        self._iterate()
        slope = self.slope()
        radius, weight = (
            tf.cast(value(step) if isinstance(value, Schedule) else value, logits.dtype)
            for value in (self.margin.radius, self.margin.weight)
        )
        slope, distances = in_one_dtype([slope, self._distances()])
        gains = radius * tf.cast(slope * distances, logits.dtype)
        if self.margin.loss == "worst":
            low, high = self.margin.bounds
            unit = tf.cast(tf.maximum(slope, _FLAT / (high - low)), logits.dtype)
            losses = _worst_loss(logits, gains, batch.classes, unit)
        else:
            losses = _extra_class_loss(logits, gains)
        return weight * batch.weighted_mean(losses)

    def slope(self) -> tf.Tensor:
        """Returns K: the product of the norms below the last layer, as they are followed."""
        product = tf.constant(self._constant, self._head.variable_dtype)
        first, *others = in_one_dtype([product, *(each.norm() for each in self.norms)])
        return functools.reduce(operator.mul, others, first)

    def refresh(self) -> None:
        """Runs power iterations on."""
        if not hasattr(self, "_refresh"):
            self._refresh = tf.function(self._iterate, autograph=False)
        for _ in range(REFRESH):
            self._refresh()

    def _iterate(self) -> None:
        for each in self.norms:
            if isinstance(each, PowerIteration):
                each.iterate()

    def _distances(self) -> tf.Tensor:
        """Returns ‖w_i − w_j‖ for all pairs of classes, `[classes, classes]`."""
        rows = tf.transpose(tf.convert_to_tensor(self._head.kernel))
        if rows.shape[0] == 1:
            rows = tf.concat([tf.zeros_like(rows), rows], 0)
        products = tf.matmul(rows, rows, transpose_b=True)
        squares = tf.linalg.diag_part(products)
        squares = squares[:, None] + squares[None, :] - 2 * products
        same = tf.eye(rows.shape[0], dtype=rows.dtype)
        # The root has no slope at zero: there, one is put in before and taken away after it.
        return tf.sqrt(tf.maximum(squares, _TINY) + same) * (1 - same)


def _extra_class_loss(logits: tf.Tensor, gains: tf.Tensor) -> tf.Tensor:
    """KL(softmax z ‖ softmax of z and the worst of the others), `[n]`."""
    predicted = tf.argmax(logits, axis=1)
    own = tf.one_hot(predicted, logits.shape[1], on_value=True, off_value=False)
    worst = tf.where(own, logits.dtype.min, logits + tf.gather(gains, predicted))
    extra = tf.reduce_max(worst, axis=1, keepdims=True)
    # The extra class takes from each of the others the same part of its probability.
    return tf.nn.softplus(extra[:, 0] - tf.reduce_logsumexp(logits, axis=1))


def _worst_loss(
    logits: tf.Tensor, gains: tf.Tensor, classes: tf.Tensor, unit: tf.Tensor
) -> tf.Tensor:
    """Cross-entropy of the worst logits in units of the slope, `[n]`."""
    worst = (logits + tf.gather(gains, classes)) / unit
    return tf.nn.sparse_softmax_cross_entropy_with_logits(classes, worst)
