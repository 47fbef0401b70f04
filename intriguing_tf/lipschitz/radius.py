"""Certified radii: how far an image may move, in l2, before a prediction can change."""

from __future__ import annotations

import math
import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.checks import array_of_numbers, check_positive_integer
from intriguing_tf.classifier import Classifier, check_model, takes
from intriguing_tf.keras_graph import called_flat, float64_copy, graph_of
from intriguing_tf.lipschitz.contradictions import check_attained, gradients_may_exceed
from intriguing_tf.lipschitz.copies import check_copied, run_compared
from intriguing_tf.lipschitz.domain import boxes_of
from intriguing_tf.lipschitz.evaluation import BatchValues, Evaluator
from intriguing_tf.lipschitz.exactness import check_call
from intriguing_tf.lipschitz.graph import Tensor, calls_of
from intriguing_tf.lipschitz.head_rounding import HeadRounding
from intriguing_tf.lipschitz.margins import MarginBounds
from intriguing_tf.lipschitz.rounding import FLOAT32, UNIT_ROUNDOFF, lengths, round_down
from intriguing_tf.lipschitz.steps import SIGMOID
from intriguing_tf.model_structure import Structure
from intriguing_tf.progress import progress_bar

Array = np.ndarray

# A local radius is at most so many times the global one; errors are bounded as far out as that.
MOST_GAIN = 64.0
# So much outside of the domain, as a share of its largest number, images may lie by rounding.
EDGE = 2.0**-21
# Images of a batch at which the bounds are compared with gradients.
CHECKED = 4
# Sizes of the random inputs on which copy and model are compared, in standard deviations.
SCALES = (0.1, 1.0, 30.0)
# Numbers of a batch's tensors in float64 that are held at once; larger batches are divided.
LARGEST_BATCH = 2**26


def certified_radius(
    model: keras.Model,
    images: Any,
    batch_size: int = 256,
    verbose: bool | str = "auto",
    *,
    method: str = "global",
    domain: Any = None,
    outputs: str = "auto",
) -> Array:
    """Returns the l2 distance within which no change of an image changes its prediction.

    The least over the other classes j of margin_ij / L_ij, where i is the class that
    `model.predict` gives, margin_ij = z_i − z_j and L_ij bounds the Lipschitz constant of that
    difference of logits: the length of w_i − w_j times the bound of everything below the last
    layer, or the bound of the whole chain that ends there (docs/lipschitz-mathematics.md). It
    speaks of the function that the weights, and constants as the model rounds them, define in
    exact arithmetic, whatever the true labels are. Logits are computed in float64 with a bound of
    every number's rounding error, at the image and within the radius, by which margins are cut.

    Args:
        model: a built Keras classifier that `bound` takes, of images, series or tables, ending in
            logits, softmax or sigmoid; one output unit means two classes.
        images: float [n, *input shape].
        batch_size: images per forward pass.
        verbose: whether to show progress; "auto" if stderr is a terminal.
        method: "global" divides margins by bounds that hold for all inputs. "local" also bounds
            the dense layers that the classifier ends in within each image's own ball, where
            activations have fewer slopes; it is never below, and takes up to half a second an
            image. A classifier that does not end in a chain of dense layers gets its global radii.
        domain: a box of inputs (low, high) as in `bound`, for which alone the radii then hold:
            within the radius and the box no prediction changes, and of points outside nothing is
            claimed. `None` is all inputs. Images may lie a few units of float32 outside, as by the
            rounding of a shift.
        outputs: what one output unit is, as in `Classifier`: "logits", which 0 divides;
            "probabilities", which 1/2 divides; or "auto".

    Returns:
        float64 [n], in the units of the images. 0 where two classes tie, and where the model in
        its own precision predicts another class than its copy in float64. What the rounding of a
        last softmax or sigmoid may hide is taken from the margins, so that `predict` can tell the
        classes apart: within the radius no two of several sigmoids saturate. Neither may numbers
        within it overflow.

    Raises:
        TypeError: not a Keras model; images that are no array of numbers.
        ValueError: as `bound`; an unknown `method` or `outputs`, or `outputs` that do not fit one
            output unit; images that are integers, not finite, of another shape or outside of the
            domain; a model that cannot be copied to float64, or whose copy computes something
            else. `NoBoundError`, a ValueError, for layers without a bound of their rounding errors.
        ContradictionError: as `bound`.

    Example:

        images, labels = itf.datasets.mnist_sample()
        model = itf.zoo.load("mnist/fc100-100-10")
        itf.lipschitz.certified_radius(model, images[:100], method="local")
    """
    certifier = Certifier(model, verbose, method=method, domain=domain, outputs=outputs)
    return certifier.radius(images, batch_size, verbose)


class Certifier:
    """`certified_radius` for many calls: the bounds are computed once, for the weights of then.

    Threads may share one.

    Args:
        model, verbose, method, domain, outputs: as in `certified_radius`.
        quick: by the bounds of `bound(model, "quick")`: radii are smaller, and take less time.

    Attributes:
        bounds: float64 [classes, classes], the L_ij; zeros on the diagonal.

    Raises:
        TypeError, ValueError, ContradictionError: as `certified_radius`.

    Example:

        certifier = itf.lipschitz.Certifier(model)
        certifier.radius(images)
    """

    def __init__(
        self,
        model: keras.Model,
        verbose: bool | str = "auto",
        *,
        method: str = "global",
        domain: Any = None,
        outputs: str = "auto",
        quick: bool = False,
    ):
        check_model(model)
        if method not in ("global", "local"):
            raise ValueError(f'`method` must be "global" or "local". Received: {method!r}.')
        self.model, self._lock = model, threading.Lock()
        classifier = self._check_classifier(outputs)
        calls = calls_of(model).calls
        for call in calls:
            check_call(call.operation, call.node)  # of the model itself: the copy is in float64
        self._box = None if domain is None else _widened(domain, model)
        margins = MarginBounds(model, verbose, quick, self._box)  # names layers without a bound
        self._copy = float64_copy(model)
        single = any(x.dtype != "float64" for call in calls for x in call.node.outputs)
        self._evaluate = Evaluator(self._copy, single, margins.on_domain)
        self._middle = self._middle_of(classifier)
        self._compare_at_random()
        self.bounds = margins.values
        self._structure = Structure(model)
        self._variables = self._structure.values()
        head, classes = self._evaluate.head, math.prod(model.outputs[0].shape[1:])
        slope = margins.logits() if head is SIGMOID and classes > 1 else 0.0
        self._head = HeadRounding(head, classes, classifier.output_dtypes, slope)
        self._local = margins.local() if method == "local" else None

    def radius(self, images: Any, batch_size: int = 256, verbose: bool | str = "auto") -> Array:
        """Returns the certified radius of each image, float64 [n].

        Raises:
            TypeError, ValueError: as `certified_radius`; the model's weights, or its layers'
                settings, are no longer those of the bounds.
        """
        check_positive_integer("batch_size", batch_size)
        images = self._check(images)
        with self._lock:
            self._check_weights()
        batch_size = min(batch_size, max(1, LARGEST_BATCH // max(self._evaluate.numbers, 1)))
        parts = [np.zeros(0)]
        with progress_bar(len(images), "certified radii", verbose) as bar:
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size]
                with self._lock:  # layers are run without their activations
                    parts.append(self._radius(batch))
                bar.update(len(batch))
        return np.concatenate(parts)

    def _radius(self, images: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            near = self._evaluate(images)
            if not np.all(np.isfinite(near.logits)):
                raise ValueError("The model's logits are not finite on these images.")
            outputs = _rows(self.model.predict(images, batch_size=len(images), verbose=0))
            self._compare(images, near, outputs)
            self._check_slopes(images[:CHECKED])
            logits, errors = self._two_classes(near, near.errors())
            predicted = logits.argmax(axis=1)
            slopes = self.bounds[predicted]
            radii = _least(_cut(logits, errors), slopes)
            # Within that radius the same computation errs by at most so much more.
            finite = np.where(np.isfinite(radii), radii, 0.0)
            more = self._two_classes(near, near.errors(finite))[1]
            room = self._head.room(near.logits, predicted)
            most = np.minimum(room, radii * (1 if self._local is None else MOST_GAIN))
            lost = self._head.hidden(near.logits, predicted, most)
            cut = np.maximum(_cut(logits, errors + more) - lost[:, None], 0.0)
            far = np.isinf(radii) & np.all(cut > 0, axis=1)  # whose margins nothing changes
            radii = np.where(far, radii, _least(cut, slopes))
            radii = np.minimum(self._larger(near, radii, predicted, lost), room)
        agrees = self._predicted(outputs) == predicted
        return np.array([round_down(each, 16) for each in np.where(agrees, radii, 0.0)])

    def _larger(self, near: BatchValues, radii: Array, predicted: Array, lost: Array) -> Array:
        """The local radii, where they are larger."""
        if self._local is None:
            return radii
        most = MOST_GAIN * np.where(np.isfinite(radii), radii, 0.0)
        logits, errors = self._two_classes(near, near.errors() + near.errors(most))
        cut = np.maximum(_cut(logits, errors) - lost[:, None], 0.0)
        found = self._local.radii(near, predicted, cut, radii)
        return np.maximum(radii, np.minimum(found, most))

    def _predicted(self, outputs: Array) -> Array:
        """The class that outputs of `predict` give; −1 where two tie or one is not finite."""
        if outputs.shape[1] == 1:
            middle = 0.5 if self._evaluate.squashes else self._middle
            outputs = np.concatenate([np.full_like(outputs, middle), outputs], axis=1)
        best = outputs.max(axis=1, keepdims=True)
        clear = np.isfinite(outputs).all(axis=1) & (np.sum(outputs == best, axis=1) == 1)
        return np.where(clear, outputs.argmax(axis=1), -1)

    def _compare(self, images: Array, near: BatchValues, own: Array) -> None:
        """Raises where the model's own outputs differ from the copy's by more than rounding."""
        copied = _rows(called_flat(self._copy, [tf.constant(images, tf.float64)])[0])
        errors = near.errors(unit=FLOAT32, rounded=True)
        check_copied(f"model {self.model.name!r}", own, copied, errors)

    def _compare_at_random(self) -> None:
        """Compares copy and model call by call, so that no error of one hides those of others."""
        shape = self.model.inputs[0].shape[1:]
        if None in shape:
            return
        random = np.random.default_rng(0)
        scales = np.reshape(SCALES, [-1] + [1] * len(shape))
        images = scales * random.normal(size=(len(SCALES), *shape))
        if self._box is not None:
            share = random.random(images.shape)
            images = (1 - share) * self._box[0] + share * self._box[1]
        graph, (entering,) = calls_of(self.model), self.model.inputs
        values: dict[Tensor, Any] = {graph.inputs[0]: tf.cast(images, entering.dtype)}
        with np.errstate(invalid="ignore", over="ignore"):
            for own, copied in zip(graph.calls, self._evaluate.calls, strict=True):
                outputs = run_compared(own, copied, [values[tensor] for tensor in own.inputs])
                values.update(zip(own.outputs, outputs, strict=True))

    def _check_weights(self) -> None:
        own, copied = self.model.get_weights(), self._copy.get_weights()
        same = all(np.array_equal(x, y) for x, y in zip(own, copied, strict=True))
        structure = Structure(self.model)
        changed = structure.changes(self._structure) or structure.values() != self._variables
        if not same or changed:
            raise ValueError(
                f"The weights of model {self.model.name!r}, its layers' settings or variables in "
                "its graph were changed after this Certifier was made, and its bounds are of the "
                "model of then. Make a new one: Certifier(model)."
            )

    def _check_slopes(self, images: Array) -> None:
        """Compares the bounds with the gradients of differences of logits at some images."""
        points = tf.constant(images, tf.float64)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(points)
            logits = tf.reshape(self._evaluate(points).output, [len(images), -1])
            if logits.shape[1] == 1:
                logits = tf.concat([tf.zeros_like(logits) + self._middle, logits], axis=1)
            first, second = tf.unstack(tf.math.top_k(logits, 2).indices, axis=1)
            margins = tf.gather(logits, first, batch_dims=1) - tf.gather(
                logits, second, batch_dims=1
            )
        gradients = tape.gradient(margins, points, unconnected_gradients="zero").numpy()
        found, most = lengths(gradients.reshape(len(images), -1)), gradients_may_exceed(self.model)
        for length, i, j in zip(found, first.numpy(), second.numpy(), strict=True):
            allowed = 1e-9 * float(np.max(self.bounds))
            check_attained(float(length) / most, float(self.bounds[i, j]), allowed, self.model.name)

    def _check_classifier(self, outputs: str) -> Classifier:
        """Returns the model as a traced map to logits."""
        graph_of(self.model)
        classifier = Classifier(self.model, outputs=outputs)
        shape = tuple(self.model.outputs[0].shape)
        if len(shape) > 2 or shape[1:] == (None,):
            raise ValueError(
                f"A classifier's output has shape [n, classes] or [n]. Received: {shape}."
            )
        classifier.graph(tuple(self.model.inputs[0].shape[1:]))
        return classifier

    def _middle_of(self, classifier: Classifier) -> float:
        """What divides the classes of one output unit, or of what enters its sigmoid."""
        if math.prod(self.model.outputs[0].shape[1:]) > 1:
            return 0.0  # the largest is predicted, whatever the outputs are
        if self._evaluate.squashes and not classifier.squashes:
            raise ValueError(
                "A unit that ends in a sigmoid is never below 0, so that all is of one class with "
                f'outputs="logits". Received: model {self.model.name!r}; give outputs="auto".'
            )
        return 0.5 if classifier.squashes and not self._evaluate.squashes else 0.0

    def _two_classes(self, values: BatchValues, errors: Array) -> tuple[Array, Array]:
        """Logits and errors; of one unit two classes: what divides them, and the unit."""
        logits = values.logits
        if logits.shape[1] > 1:
            return logits, errors
        middle, zeros = np.full_like(logits, self._middle), np.zeros_like(logits)
        return np.concatenate([middle, logits], axis=1), np.concatenate([zeros, errors], axis=1)

    def _check(self, images: Any) -> Array:
        images = array_of_numbers("images", images)
        if images.dtype.kind != "f":
            raise ValueError(
                "`images` must be floats in the range that the model takes: "
                "images.astype('float32'), divided by 255 if that is [0, 1]. "
                f"Received: dtype {images.dtype}."
            )
        expected = self.model.inputs[0].shape[1:]
        if not images.ndim or not takes(expected, images.shape[1:]):
            raise ValueError(
                f"`images` must have shape [n, {', '.join(map(str, expected))}]. "
                f"Received: shape {images.shape}."
            )
        if not np.all(np.isfinite(images)):
            raise ValueError("`images` must be finite. Received: NaN or infinite pixels.")
        if self._box is not None and np.any((images < self._box[0]) | (images > self._box[1])):
            raise ValueError(
                "`images` must lie in the `domain`, for which alone the radii hold. Received: "
                f"values from {images.min():g} to {images.max():g}."
            )
        return images.astype(np.float64) if images.dtype.itemsize > 8 else images


def _widened(domain: Any, model: keras.Model) -> tuple[Array, Array]:
    """The box of a domain, and a few units of float32 more, but for values of another sign."""
    low, high = boxes_of(domain, [model.inputs[0].shape])[0]
    more = EDGE * np.maximum(np.abs(low), np.abs(high))
    wide = low - more, high + more
    return (
        np.where(low >= 0, np.maximum(wide[0], 0), wide[0]),
        np.where(high <= 0, np.minimum(wide[1], 0), wide[1]),
    )


def _rows(outputs: Any) -> Array:
    """A model's only output as float64 [n, numbers of one example]."""
    outputs = np.asarray(keras.tree.flatten(outputs)[0], np.float64)
    return outputs.reshape(len(outputs), -1)


def _cut(logits: Array, errors: Array) -> Array:
    """How far each class lies below the first, less the errors of both: [n, classes]."""
    rows, first = np.arange(len(logits)), logits.argmax(axis=1)
    margins = logits[rows, first][:, None] - logits
    margins -= errors + errors[rows, first][:, None] + 4 * UNIT_ROUNDOFF * np.abs(margins)
    margins = np.where(margins > 0, margins, 0.0)  # not a number is 0, too
    margins[rows, first] = np.inf
    return margins


def _least(margins: Array, slopes: Array) -> Array:
    """The least margin over its slope."""
    return np.where(margins > 0, margins / slopes, 0.0).min(axis=1)
