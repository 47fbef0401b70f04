"""The paper's problem for a batch: losses of a classifier, their gradients and their margins."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.classifier import Classifier

LOSSES = ("cross_entropy", "margin")
_CLEARANCE = 64  # roundings of the largest logit that an adversarial example's margin survives


class Evaluation(NamedTuple):
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


class Problem:
    """A classifier as a function of flat vectors, with the losses of the attack.

    Args:
        classifier: the map from inputs to logits.
        shape: shape of one input.
    """

    def __init__(self, classifier: Classifier, shape: tuple[int, ...]):
        self.classifier = classifier
        self.shape = shape
        self.dtype = classifier.dtype
        self.size = math.prod(shape)

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the logits [n, classes] of flat vectors [n, size]."""
        return self.classifier.logits(tf.reshape(x, [-1, *self.shape]), folded=True)

    def above(self, x: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns each logit minus the target's, minus infinity at the target itself."""
        return above_target(self.logits(x), targets)

    def cross_entropy(self, x: tf.Tensor, targets: tf.Tensor) -> Evaluation:
        """Evaluates the paper's loss, -log of the target's probability."""
        with tf.GradientTape() as tape:
            tape.watch(x)
            above = self.above(x, targets)
            loss = tf.math.softplus(tf.reduce_logsumexp(above, axis=1))
        return Evaluation(loss, _gradient(tape, loss, x), above)

    def margin(
        self, x: tf.Tensor, targets: tf.Tensor, sharpness: tf.Tensor, log_weights: tf.Tensor
    ) -> Evaluation:
        """Evaluates the soft maximum of the other logits minus the target's logit.

        With sharpness b [n] and weights w [n, classes] it is log(sum_j w_j exp(b (z_j - z_t))) / b.
        With b = 1 and equal weights, the cross-entropy is an increasing function of it (softplus).
        """
        with tf.GradientTape() as tape:
            tape.watch(x)
            above = self.above(x, targets)
            scores = sharpness[:, None] * above + log_weights
            loss = tf.reduce_logsumexp(scores, axis=1) / sharpness
        return Evaluation(loss, _gradient(tape, loss, x), above)

    def evaluate_margin(self, x: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates the margin of an array of points, with sharpness 1 and equal weights."""
        x = tf.convert_to_tensor(x, self.dtype)
        return self._evaluate_margin(x, tf.constant(targets))

    @functools.cached_property
    def _evaluate_margin(self):
        @tf.function(autograph=False, reduce_retracing=True)
        def evaluate(x, targets):
            return self.margin(x, targets, tf.ones_like(x[:, 0]), tf.zeros([1, 1], x.dtype))

        return evaluate

    def clearance(self, logits: np.ndarray) -> np.ndarray:
        """Returns the margin [n] that the rounding of another forward pass may take away.

        Only points with a margin below minus this count as adversarial. `logits` [n, classes] are
        those of the images.
        """
        computed = tf.as_dtype(self.classifier.model.compute_dtype)
        epsilon = max(np.finfo(dtype.as_numpy_dtype).eps for dtype in (computed, self.dtype))
        return _CLEARANCE * epsilon * np.abs(logits).max(axis=1)

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
        spec = tf.TensorSpec([None, self.size], self.dtype)
        graph = tf.function(self.logits, autograph=False).get_concrete_function(spec).graph
        operations = _all_operations(graph)
        depthwise = any("Depthwise" in op.type for op in operations)
        convolutions = [op for op in operations if op.type.startswith("Conv")]
        return not depthwise and any(_is_grouped(op) for op in convolutions)

    def bytes_per_row(self) -> int:
        """Estimates the memory that one gradient evaluation of one row takes, in bytes.

        The sum over the tensors of the traced forward pass, twice (values and their gradients).
        """
        spec = tf.TensorSpec([None, self.size], self.dtype)
        graph = tf.function(self.logits, autograph=False).get_concrete_function(spec).graph
        total = 0
        for operation in graph.get_operations():
            for tensor in operation.outputs:
                shape = tensor.shape
                if shape.rank and shape[0] is None and None not in shape[1:].as_list():
                    total += math.prod(shape[1:]) * tensor.dtype.size
        return 2 * total


def above_target(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns each logit minus the target's, minus infinity at the target itself."""
    difference = logits - tf.gather(logits, targets, batch_dims=1)[:, None]
    is_target = tf.one_hot(targets, logits.shape[1], on_value=True, off_value=False)
    return tf.where(is_target, tf.constant(-np.inf, logits.dtype), difference)


def _gradient(tape: tf.GradientTape, loss: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    gradient = tape.gradient(loss, x)
    if gradient is None:
        raise ValueError(
            "No gradient flows from the model's logits to its input: some operation between them "
            "is not differentiable (rounding, casting to integers, a lookup)."
        )
    return gradient


def _all_operations(graph: tf.Graph) -> list:
    operations = list(graph.get_operations())
    for name in graph._functions:
        inner = getattr(graph._get_function(name), "graph", None)
        operations += inner.get_operations() if inner is not None else []
    return operations


def _is_grouped(operation: tf.Operation) -> bool:
    image, kernel = operation.inputs[0].shape, operation.inputs[1].shape
    channels_last = operation.get_attr("data_format") in (b"NHWC", b"NDHWC")
    channels = image[-1] if channels_last else image[1]
    return channels is not None and channels != kernel[-2]
