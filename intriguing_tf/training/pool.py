"""Pools of adversarial examples for a layer, continuously renewed (section 4.2)."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.adversary.bounds import check_bounds, range_of
from intriguing_tf.adversary.settings import check_arguments, check_distortion
from intriguing_tf.checks import (
    check_between,
    check_choice,
    check_kind,
    check_positive_integer,
    check_seed,
)
from intriguing_tf.classifier import input_gradient
from intriguing_tf.keras_graph import above, up_to
from intriguing_tf.training.batch import Batch
from intriguing_tf.training.recent_images import fixed_input_shape, write_rows
from intriguing_tf.transfer import amplify, rms

_TARGETS = ("runner_up", "random", "least_likely")
_HARDLY = 0.01  # c, where only the direction of the change matters
_FREE = -1  # label of a place where there is no example yet


@keras.saving.register_keras_serializable(package="intriguing_tf")
class AdversarialPool:
    """A pool of adversarial examples for the outputs of one layer, mixed into every batch.

    Section 4.2 of the paper: a random part of the pool is replaced all the time by new examples,
    and examples for a layer's outputs train the layers above it. The new ones are made by the
    compiled solver from images that training has just seen, with their true labels and weights;
    images of weight 0 make none. Soft labels need examples made within the step (`interval` 0).

    Args:
        layer: name of the layer whose outputs are distorted; `None`: the images.
        size: examples kept.
        share: part of the rows of a batch that comes from the pool, in (0, 1). A batch of n
            images is joined by n · share / (1 − share) examples, so the number of steps in an
            epoch stays.
        refresh: new examples made at a time; they replace as many at random. Without
            `distortion`, a power of four suits networks that XLA compiles.
        interval: steps from one refresh to the next; `fit` refuses one below the model's
            `steps_per_execution`. 0: the examples are recomputed within every step, of the batch's
            own images, each beside its image, by one gradient; then `distortion` must be given, and
            there is nothing to keep: `size`, `refresh` and `attack` play no part.
        distortion: root mean square change per variable, in units of the bounds' range, before
            clipping. The examples then are the first steps of the solver's L-BFGS towards the
            target, as many as `attack`'s "maxfun", rescaled; no search for the border is needed,
            so that they cost a tenth. `None`: minimal examples, just beyond the border.
        targets: target classes: "runner_up", the second most likely class, "random" or
            "least_likely".
        bounds: of the layer's outputs; default: (0, 1) for images, at a layer the range of its
            activation function.
        attack: further arguments of `LBFGSAdversary`, such as {"maxfun": 30}. The loss is the
            paper's, "cross_entropy", unless they say otherwise.
        seed: of random targets, of what is replaced and of what is drawn.

    Raises:
        TypeError, ValueError: settings that are not as above. When a model is built around it:
            layers that do not exist, or that cannot be split from what is below.

    Example:

        pools = [itf.training.AdversarialPool(layer) for layer in (None, "fc1", "fc2")]
        model = itf.training.AdversarialModel(itf.models.fc100_100_10(), pools=pools)
    """

    def __init__(
        self,
        layer: keras.layers.Layer | str | None = None,
        *,
        size: int = 2048,
        share: float = 0.5,
        refresh: int = 64,
        interval: int = 50,
        distortion: float | None = None,
        targets: str = "runner_up",
        bounds: tuple[Any, Any] | None = None,
        attack: Mapping[str, Any] | None = None,
        seed: int = 0,
    ):
        check_kind(
            "layer", layer, (keras.layers.Layer, str, type(None)), "a layer, its name, or None"
        )
        for name, value in (("size", size), ("refresh", refresh)):
            check_positive_integer(name, value)
        if size >= 2**31:
            raise ValueError(f"`size` must be below 2**31. Received: {size}.")
        if interval != 0:
            check_positive_integer("interval", interval)
        if refresh > size:
            raise ValueError(
                f"`refresh` must not be larger than `size`, {size}. Received: {refresh}."
            )
        check_between("share", share, 0, 1)
        attack = {} if attack is None else attack
        check_arguments("attack", attack, "layer", "bounds")
        known = ((0, 1) if layer is None else (-np.inf, np.inf)) if bounds is None else bounds
        check_bounds(known)
        distortion = None if distortion is None else check_distortion(distortion, known)
        if interval == 0 and distortion is None:
            raise ValueError(
                "Examples made in every step (`interval` 0) need a `distortion`. Received: None."
            )
        check_choice("targets", targets, _TARGETS)
        self.layer = layer.name if isinstance(layer, keras.layers.Layer) else layer
        self.size, self.share, self.refresh, self.interval = size, float(share), refresh, interval
        self.distortion, self.targets, self.bounds = distortion, targets, bounds
        self.attack, self.seed = dict(attack), check_seed(seed)
        self._ratio = Fraction(self.share / (1 - self.share)).limit_denominator(1000)

    def rows(self, batch: Any) -> Any:
        """Returns how many examples join a batch of so many images; int or int tensor."""
        p, q = self._ratio.numerator, self._ratio.denominator
        return (2 * batch * p + q) // (2 * q)

    def get_config(self) -> dict[str, Any]:
        names = ("layer", "size", "share", "refresh", "interval", "distortion", "targets")
        values = {name: getattr(self, name) for name in names}
        bounds = None if self.bounds is None else [np.asarray(b).tolist() for b in self.bounds]
        return values | {"bounds": bounds, "attack": self.attack, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AdversarialPool:
        return cls(**config)


class PoolExamples(abc.ABC):
    """How a pool's examples join the batches of a model.

    Args:
        pool: the settings.
        model: the classifier that is trained.
        number: of the pool.

    Raises:
        ValueError: the model cannot be split at the pool's layer, or attacked there.
    """

    def __init__(self, pool: AdversarialPool, model: keras.Model, number: int):
        self.pool, self.number = pool, number
        self._below = None if pool.layer is None else up_to(model, pool.layer)
        self._above = model if pool.layer is None else above(model, pool.layer)
        attack = {"loss": "cross_entropy", **pool.attack}  # the paper's
        self._adversary = LBFGSAdversary(model, layer=pool.layer, bounds=pool.bounds, **attack)
        if pool.distortion is not None:
            check_distortion(pool.distortion, self._adversary.bounds)

    def _box(self, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the bounds and the range that changes are measured by."""
        bounds = self._adversary.bounds
        low, high, span = (tf.cast(each, dtype) for each in (*bounds, range_of(*bounds)))
        return low, high, span

    def outside(self, batch: Batch) -> tf.Tensor:
        """Whether an image lies outside the bounds, by more than its rounding; bool scalar."""
        x = batch.images
        low, high, span = self._box(x.dtype)
        outside = (x < low - 1e-5 * span) | (x > high + 1e-5 * span)
        rows = tf.reduce_any(outside, list(range(1, x.shape.rank)))
        return tf.reduce_any(rows & batch.counting)

    def lower_part(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the outputs of the pool's layer; for the input, the images."""
        return x if self._below is None else self._below(x, training=training)

    def upper_part(self, activations: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the model's outputs for outputs of the pool's layer."""
        return self._above(activations, training=training)

    def mix(self, batch: Batch, step: tf.Tensor) -> Batch:
        """Returns a batch, at the pool's layer, joined by examples."""
        count = tf.shape(batch.images)[0]
        rows = self.pool.rows(count)
        seed = tf.stack([self.pool.seed + 1_000_003 * self.number, tf.cast(step, tf.int32)])
        fixed = dataclasses.replace(batch, images=tf.stop_gradient(batch.images))
        beside = fixed.rows(tf.range(rows) % count)
        return batch.joined_by(self.examples_for(beside, seed))

    @abc.abstractmethod
    def examples_for(self, beside: Batch, seed: tf.Tensor) -> Batch:
        """Returns examples, in place of rows of the batch, with their labels and weights."""


class ExamplesOfBatch(PoolExamples):
    """Examples that are made within the training step, of the batch itself.

    They are the first step of the solver, `distortion` long; images that the model misclassifies
    stay. Labels and weights are those of the rows.
    """

    def examples_for(self, beside: Batch, seed: tf.Tensor) -> Batch:
        classifier = self._adversary.classifier
        activations = tf.cast(beside.images, classifier.dtype)
        with tf.GradientTape() as tape:
            tape.watch(activations)
            logits = classifier.logits(activations)
            targets = tf.stop_gradient(self._targets(logits, seed))
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        low, high, span = self._box(activations.dtype)
        gradient = input_gradient(tape, losses, activations, classifier.model)
        inside = tf.where(gradient > 0, activations > low, activations < high)
        step = tf.where(inside, -tf.stop_gradient(gradient), 0)
        axes = list(range(1, activations.shape.rank))
        rms_of_step = tf.sqrt(tf.reduce_mean((step / span) ** 2, axes, keepdims=True))
        step *= tf.math.divide_no_nan(tf.cast(self.pool.distortion, step.dtype), rms_of_step)
        examples = tf.clip_by_value(activations + step, low, high)
        misclassified = tf.argmax(logits, 1) != beside.classes
        misclassified = tf.reshape(misclassified, [-1] + [1] * len(axes))
        images = tf.where(misclassified, activations, examples)
        return dataclasses.replace(beside, images=tf.cast(images, beside.images.dtype))

    def _targets(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        predictions = tf.argmax(logits, axis=1)
        if self.pool.targets == "random":
            classes = tf.shape(logits, tf.int64)[1]
            shift = tf.random.stateless_uniform(
                tf.shape(predictions), seed, 1, classes, predictions.dtype
            )
            return (predictions + shift) % classes
        sign = 1 if self.pool.targets == "runner_up" else -1
        own = tf.one_hot(predictions, tf.shape(logits)[1], on_value=True, off_value=False)
        return tf.argmax(tf.where(own, logits.dtype.min, sign * logits), axis=1)


class PoolMemory(PoolExamples):
    """What a pool holds, as variables of the model that trains with it, and how it is renewed.

    Args:
        pool, model, number: as for `PoolExamples`.
        variable: `variable(name, shape, dtype, initial)` makes a variable that is not trained.
    """

    def __init__(
        self,
        pool: AdversarialPool,
        model: keras.Model,
        number: int,
        variable: Callable[[str, tuple[int, ...], str, int], keras.Variable],
    ):
        super().__init__(pool, model, number)
        self._graph: tf.Graph | None = None  # of the classifier when the lower part was traced
        self._lower: Callable[[tf.Tensor], tf.Tensor]  # that part as it was traced
        shape = fixed_input_shape(self._above)
        dtype = self._adversary.classifier.dtype.name
        name = f"pool_{number}"
        self.examples = variable(f"{name}_examples", (pool.size, *shape), dtype, 0)
        self.labels = variable(f"{name}_labels", (pool.size,), "int64", _FREE)
        self.refreshes = variable(f"{name}_refreshes", (), "int64", 0)
        self.renewed_at = variable(f"{name}_renewed_at", (), "int64", 0)

    def keep_weights(self, variable: Callable[..., keras.Variable]) -> None:
        """Makes the variable of the examples' weights, after all that earlier releases saved."""
        self.weights = variable(f"pool_{self.number}_weights", (self.pool.size,), "float32", 1)

    def examples_for(self, beside: Batch, seed: tf.Tensor) -> Batch:
        """Draws examples of the pool; where there is none yet, the row of the batch stays."""
        shape = tf.TensorShape(self.examples.shape[1:])
        if not shape.is_compatible_with(beside.images.shape[1:]):
            raise ValueError(
                f"Examples of a pool have the shape that the model's input or the pool's layer "
                f"has, {tuple(shape)}. Received: a batch of shape {tuple(beside.images.shape)}."
            )
        rows = tf.shape(beside.images)[0]
        drawn = tf.random.stateless_uniform([rows], seed, 0, self.pool.size, tf.int32)
        classes = tf.gather(self.labels.value, drawn)
        weights = beside.weights
        if weights is not None:
            weights = tf.cast(tf.gather(self.weights.value, drawn), weights.dtype)
        examples = dataclasses.replace(
            beside,
            images=tf.cast(tf.gather(self.examples.value, drawn), beside.images.dtype),
            labels=beside.labels_of(classes),
            weights=weights,
        )
        return examples.where(classes != _FREE, beside)

    def is_due(self, step: int) -> bool:
        """Whether so many steps have passed since it was renewed that it is time again."""
        return step - int(self.renewed_at.numpy()) >= self.pool.interval

    def renew(
        self, images: np.ndarray, labels: np.ndarray, step: int, weights: np.ndarray | None = None
    ) -> tuple[int, float]:
        """Replaces random examples by new ones, made from images for the model as it is now.

        Args:
            images: `[n, ...]`, n at most the size of the pool. labels: int64 `[n]`.
            step: of the training.
            weights: float `[n]`; images of weight 0 are left out. `None`: all weigh 1.

        Returns:
            How many examples are new, and their average distortion.
        """
        self.renewed_at.assign(step)
        weights = np.ones(len(images), np.float32) if weights is None else weights
        counting = weights != 0
        images, labels, weights = images[counting], labels[counting], weights[counting]
        if not len(images):
            return 0, 0.0
        activations = self._activations(images)
        seed = [self.pool.seed, self.number, int(self.refreshes.numpy())]
        random = np.random.default_rng(seed)
        targets, misclassified = self._targets(activations, labels, random)
        examples, made = self._examples(activations, targets)
        examples = np.where(_rows(misclassified, examples), activations, examples)
        where = np.flatnonzero(made | misclassified)
        self._put(examples[where], labels[where], weights[where], random)
        self.refreshes.assign_add(1)
        changed = made & ~misclassified
        if not changed.any():
            return len(where), 0.0
        moved = rms(examples[changed], activations[changed], self._adversary.bounds)
        return len(where), float(moved.mean())

    def _activations(self, images: np.ndarray) -> np.ndarray:
        """Returns the outputs of the pool's layer, of the model as it is now."""
        graph = self._adversary.classifier.graph(tuple(self.examples.shape[1:]))
        if graph is not self._graph:  # the model was changed
            lower = functools.partial(self.lower_part, training=False)
            self._graph, self._lower = graph, tf.function(lower, autograph=False)
        return self._lower(tf.convert_to_tensor(images)).numpy()

    def _examples(
        self, activations: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns activations changed towards the targets, and for which rows that was found."""
        if self.pool.distortion is None:
            result = self._adversary(activations, targets=targets, verbose=False)
            return result.images, result.status == "found"
        changed = _Changed(self._adversary.minimize(activations, targets, _HARDLY), activations)
        examples = amplify(changed, self.pool.distortion, self._adversary.bounds)
        return examples, np.ones(len(examples), bool)

    def _targets(
        self, activations: np.ndarray, labels: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns a target for each row, and which rows are misclassified as they are.

        Those are their own adversarial examples. They go through the search as well (the class
        they are classified as is not their target), so that its batches are always of one size.
        """
        logits = self._adversary.classifier.predict_logits(activations)
        n, classes = logits.shape
        predictions = logits.argmax(axis=1)
        if self.pool.targets == "random":
            return (predictions + random.integers(1, classes, n)) % classes, predictions != labels
        sign = 1 if self.pool.targets == "runner_up" else -1
        logits[np.arange(n), predictions] = -sign * np.inf
        return (sign * logits).argmax(axis=1), predictions != labels

    def _put(
        self,
        examples: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        random: np.random.Generator,
    ) -> None:
        """Overwrites random places, those that are still free first."""
        taken = self.labels.numpy() != _FREE
        order = np.lexsort((random.random(self.pool.size), taken))[: len(labels), None]
        write_rows(self.examples, order, examples.astype(self.examples.dtype))
        write_rows(self.labels, order, labels)
        write_rows(self.weights, order, weights)


class _Changed(NamedTuple):
    images: np.ndarray
    originals: np.ndarray


def _rows(mask: np.ndarray, like: np.ndarray) -> np.ndarray:
    return mask.reshape([-1] + [1] * (like.ndim - 1))
