"""Penalties on how fast a model changes with its input: double back-propagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.checks import check_choice, check_positive, check_positive_integer, check_seed
from intriguing_tf.classifier import Classifier, input_gradient
from intriguing_tf.training.batch import Batch

_KINDS = ("loss", "jacobian")


@keras.saving.register_keras_serializable(package="intriguing_tf")
class GradientPenalty:
    """Adds the squared norm of an input gradient to the loss.

    With `of="loss"` it is `weight` · mean over the batch of ‖∂ loss / ∂ x‖₂², the penalty of double
    back-propagation (Drucker and LeCun, IEEE Trans. Neural Networks 1992); the loss is the
    cross-entropy of the logits. With `of="jacobian"` it is `weight` · mean of ‖∂ logits / ∂ x‖_F²,
    estimated without bias from random directions v as ‖∂ vᵀ logits / ∂ x‖² (Hoffman, Roberts and
    Yaida, arXiv 1908.02729); the components of v are −1 and 1. The model runs with
    `training=False`, as it does under attack.

    Args:
        weight: above 0. For inputs in [0, 1].
        of: "loss" or "jacobian".
        projections: random directions per image; with "loss" there are none.
        seed: of the directions.

    Raises:
        TypeError, ValueError: settings that are not as above. When a model is built around it: one
            without logits.

    Example:

        model = itf.training.AdversarialModel(
            itf.models.conv(), penalties=[itf.training.GradientPenalty(0.1)]
        )
    """

    def __init__(self, weight: float = 1.0, of: str = "loss", projections: int = 1, seed: int = 0):
        check_choice("of", of, _KINDS)
        check_positive_integer("projections", projections)
        self.weight = check_positive("weight", weight)
        self.of, self.projections, self.seed = of, projections, check_seed(seed)

    def prepare(self, model: keras.Model) -> Callable[..., tf.Tensor]:
        """Returns the function that `AdversarialModel` adds to its loss.

        It takes a batch and the number of the step.
        """
        classifier = Classifier(model)

        def of_loss(batch: Batch, step: tf.Tensor) -> tf.Tensor:
            x = batch.images
            with tf.GradientTape() as tape:
                tape.watch(x)
                logits = classifier.logits(x)
                if batch.labels.dtype.is_floating:  # perhaps soft
                    losses = tf.nn.softmax_cross_entropy_with_logits(
                        batch.probabilities(logits.dtype), logits
                    )
                else:
                    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.classes, logits)
            gradient = input_gradient(tape, losses, x, classifier.model)
            return self.weight * _mean_square(gradient, batch)

        def of_jacobian(batch: Batch, step: tf.Tensor) -> tf.Tensor:
            x = batch.images
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                logits = classifier.logits(x)
                shape = [self.projections, *tf.unstack(tf.shape(logits))]
                # Whole numbers are drawn alike with XLA and without; normal ones are not.
                heads = tf.random.stateless_uniform(shape, [self.seed, step], 0, 2, tf.int32)
                v = tf.cast(2 * heads - 1, logits.dtype)
                projected = [tf.reduce_sum(v[i] * logits, axis=1) for i in range(self.projections)]
            gradients = [input_gradient(tape, each, x, classifier.model) for each in projected]
            squares = [_mean_square(each, batch) for each in gradients]
            return self.weight * tf.add_n(squares) / self.projections

        return of_loss if self.of == "loss" else of_jacobian

    def get_config(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "of": self.of,
            "projections": self.projections,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GradientPenalty:
        return cls(**config)


def _mean_square(gradient: tf.Tensor, batch: Batch) -> tf.Tensor:
    """Weighted mean over the batch of the squared norm of each row."""
    rows = tf.reshape(gradient, [tf.shape(gradient)[0], -1])
    return batch.weighted_mean(tf.reduce_sum(rows**2, axis=1))
