"""The paper's problem for a batch: a classifier's losses, their gradients and their margins."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.losses import soft_maximum
from intriguing_tf.adversary.margins import above_target, hard_margins, told_apart
from intriguing_tf.classifier import Classifier, input_gradient
from intriguing_tf.keras_graph import operations_in

# What another forward pass may change of the largest logit, as a share of it: 64 roundings; of
# the half types, which sum up in float32, 8.
_ROUNDING = {"float64": 2**-46, "float32": 2**-17, "float16": 2**-7, "bfloat16": 2**-4}
# Of probabilities, on the scale of their logits: 8 roundings, for a softmax is a single layer.
_SQUASHED = 1 / 8
_OF_LIMITS = 1 / 8  # of the logits that outputs tell apart

_HARD = 1e6  # sharpness of a soft maximum that is a hard one, per margin at the image


class Evaluated(NamedTuple):
    """What one gradient evaluation of a batch tells.

    Attributes:
        loss: [n] value of the loss.
        gradient: [n, size] its gradient.
        above: [n, classes] logits minus the target's logit; minus infinity at the target.
    """

    loss: tf.Tensor
    gradient: tf.Tensor
    above: tf.Tensor

    @property
    def margin(self) -> tf.Tensor:
        """[n] how far the target is from winning; negative where it wins."""
        return tf.reduce_max(self.above, axis=1)

    @property
    def finite(self) -> tf.Tensor:
        """[n] whether everything about the row is finite."""
        return tf.math.is_finite(self.loss) & tf.math.is_finite(tf.norm(self.gradient, axis=1))

    def multiplier(self, square: tf.Tensor) -> tf.Tensor:
        """[n] lambda = 1 / c with which |r|^2, of this `square`, and the loss pull alike."""
        slope = tf.reduce_sum(self.gradient**2, axis=1)
        return 2 * tf.sqrt(square / tf.maximum(slope, 1e-30))


class Problem:
    """A classifier as a function of flat vectors, with losses of its logits.

    Args:
        classifier: the map from inputs to logits.
        shape: shape of one input.
        confidence: the margin of logits that is asked for beyond success, which outputs that are
            rounded need not show.

    Attributes:
        graph: the traced forward pass of a batch; the classifier has another one once its model
            was changed, for which this problem is none.
    """

    def __init__(self, classifier: Classifier, shape: tuple[int, ...], confidence: float = 0.0):
        self.classifier = classifier
        self.shape = shape
        self.graph = classifier.graph(shape)
        self.confidence = confidence
        self.dtype = classifier.dtype
        self.size = math.prod(shape)

    def logits(self, x: tf.Tensor, unclipped: bool = False) -> tf.Tensor:
        """Returns the logits [n, classes] of flat vectors [n, size]."""
        images = tf.reshape(x, [-1, *self.shape])
        return self.classifier.logits(images, folded=True, unclipped=unclipped)

    def evaluate(
        self,
        x: tf.Tensor,
        targets: tf.Tensor,
        loss: Callable[[tf.Tensor], tf.Tensor],
        unclipped: bool = False,
    ) -> Evaluated:
        """Evaluates a loss, a function of `above` such as `Loss.value`, and its gradient."""
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = self.logits(x, unclipped)
            above = self._above_target(logits, targets)
            if unclipped:  # another class falls no lower than it is clipped to
                above += tf.nn.relu(self.logits(x) - logits)
            value = loss(above)
        gradient = input_gradient(tape, value, x, self.classifier.model)
        return Evaluated(value, gradient, above)

    def _above_target(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        above, limits = above_target(logits, targets), self.classifier.limits
        if limits is None:
            return above
        apart = above_target(told_apart(logits, targets, limits), targets)
        return tf.maximum(above, apart - self.confidence)

    def evaluate_soft(
        self, x: tf.Tensor, targets: tf.Tensor, sharpness: tf.Tensor, log_weights: tf.Tensor
    ) -> Evaluated:
        """Evaluates the soft maximum of the margin and its gradient.

        One trace serves all that evaluate it, for any number of rows. Where the number is known,
        as for XLA, which compiles for it, the evaluation is part of the caller's graph.

        Args:
            x: [n, size]. targets: int64 [n].
            sharpness: [n] and log_weights: [n, classes] of `soft_maximum`.
        """
        if tf.executing_eagerly() or x.shape[0] is None:
            return self._evaluate_soft(x, targets, sharpness, log_weights)
        return self._soft(x, targets, sharpness, log_weights)

    def _soft(self, x, targets, sharpness, log_weights) -> Evaluated:
        return self.evaluate(x, targets, lambda above: soft_maximum(above, sharpness, log_weights))

    @functools.cached_property
    def _evaluate_soft(self):
        rows = tf.TensorSpec([None], self.dtype)
        specs = (
            tf.TensorSpec([None, self.size], self.dtype), tf.TensorSpec([None], tf.int64), rows,
            tf.TensorSpec([None, None], self.dtype),
        )  # fmt: skip
        return tf.function(self._soft, autograph=False, input_signature=specs)

    def evaluate_hard(self, x: tf.Tensor, targets: tf.Tensor, gap: tf.Tensor) -> Evaluated:
        """Evaluates the margin and its gradient; `gap` [n], at the image, is its scale."""
        return self.evaluate_soft(x, targets, _HARD / gap, tf.zeros_like(gap)[:, None])

    def evaluate_margin(self, x: np.ndarray, targets: np.ndarray) -> Evaluated:
        """Evaluates the soft margin of an array of points, with sharpness 1 and equal weights."""
        return self.evaluate_soft(
            tf.convert_to_tensor(x, self.dtype), tf.constant(targets, tf.int64),
            tf.ones([len(x)], self.dtype), tf.zeros([len(x), 1], self.dtype),
        )  # fmt: skip

    def evaluate_unclipped(self, x: np.ndarray, targets: np.ndarray) -> Evaluated:
        """As `evaluate_margin`, of what enters a ReLU on the logits, if there is one.

        Its gradient leads on where that of clipped logits vanishes. Other logits than the target's
        count as raised where the ReLU raises them.
        """
        if not self.classifier.clips:
            return self.evaluate_margin(x, targets)
        points, classes = tf.convert_to_tensor(x, self.dtype), tf.constant(targets, tf.int64)
        return self._evaluate_unclipped(points, classes)

    @functools.cached_property
    def _evaluate_unclipped(self):
        def evaluate(x, targets):
            margin = functools.partial(tf.reduce_logsumexp, axis=1)
            return self.evaluate(x, targets, margin, unclipped=True)

        specs = (tf.TensorSpec([None, self.size], self.dtype), tf.TensorSpec([None], tf.int64))
        return tf.function(evaluate, autograph=False, input_signature=specs)

    def hard_margins(self, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Returns margins, float64 [n], by a forward pass of the model as its user would run it."""
        images = x.reshape(-1, *self.shape)
        logits = self.classifier.predict_logits(images, batch_size=max(len(x), 1))
        return self.margins_of(logits, targets).astype(np.float64)

    def margins_of(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Returns the margins [n] that logits [n, classes] have towards targets [n]."""
        if self.classifier.limits is None:
            return hard_margins(logits, targets)
        return self._above_target(tf.constant(logits), tf.constant(targets)).numpy().max(axis=1)

    def least_confidence(self, logits: np.ndarray) -> np.ndarray:
        """Returns the margin [n] that the rounding of another forward pass may take away.

        Only points with a margin below minus this count as adversarial. `logits` [n, classes] are
        those of the images. Probabilities are rounded on the scale of 1, however small the logits:
        by less than these, which many layers round.
        """
        largest = np.abs(logits).max(axis=1)
        largest = np.where(largest > 0, largest, 1.0)  # all clipped: of no scale
        least = self._rounding * np.maximum(largest, _SQUASHED if self.classifier.squashes else 0.0)
        low, high = self.classifier.limits or (-np.inf, np.inf)
        return np.minimum(least, _OF_LIMITS * (high - low))  # where outputs tell logits apart

    @functools.cached_property
    def _rounding(self) -> float:
        """What rounding may change, as a share of the largest logit: by the coarsest dtype."""
        tensors = (each for op in operations_in(self.graph) for each in op.outputs)
        used = {self.dtype.name, *(each.dtype.name for each in tensors)}
        return max(_ROUNDING[name] for name in used if name in _ROUNDING)

    def jit_compile(self, setting: bool | str) -> bool:
        """Resolves `jit_compile`: "auto" is a fixed rule, so that results repeat.

        XLA on a GPU. On a CPU for grouped convolutions, whose gradients need it, unless there are
        depthwise ones; for other networks compiling takes longer than it saves below some twenty
        thousand images.
        """
        if setting != "auto":
            return bool(setting)
        if tf.config.list_logical_devices("GPU"):
            return True
        operations = operations_in(self.graph)
        depthwise = any("Depthwise" in op.type for op in operations)
        convolutions = [op for op in operations if op.type.startswith("Conv")]
        return not depthwise and any(_is_grouped(op) for op in convolutions)


def _is_grouped(operation: tf.Operation) -> bool:
    image, kernel = operation.inputs[0].shape, operation.inputs[1].shape
    channels_last = operation.get_attr("data_format") in (b"NHWC", b"NDHWC")
    channels = image[-1] if channels_last else image[1]
    return channels is not None and channels != kernel[-2]
