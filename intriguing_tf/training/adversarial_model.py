"""A Keras model around the user's own that trains it with pools and penalties."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.checks import check_unmasked
from intriguing_tf.classifier import Classifier
from intriguing_tf.lipschitz.differentiable import in_one_dtype
from intriguing_tf.training.batch import Batch, only_tensor, row_weights
from intriguing_tf.training.certified_margin import CertifiedMargin
from intriguing_tf.training.faults import LABELS, NONE, NOT_FINITE, OUTSIDE, Fault, raise_first
from intriguing_tf.training.gradient_penalty import GradientPenalty
from intriguing_tf.training.labels import (
    SOFT_LABELS,
    check_given_labels,
    check_label_shape,
    unreadable_labels,
)
from intriguing_tf.training.lipschitz_penalty import LipschitzPenalty
from intriguing_tf.training.parts import (
    check_classifier,
    check_devices,
    check_parts,
    check_shares,
    check_turns,
    width,
)
from intriguing_tf.training.pool import (
    AdversarialPool,
    ExamplesOfBatch,
    PoolExamples,
    PoolMemory,
)
from intriguing_tf.training.recent_images import RecentImages
from intriguing_tf.training.upkeep import with_upkeep

Penalty = LipschitzPenalty | GradientPenalty | CertifiedMargin


@keras.saving.register_keras_serializable(package="intriguing_tf")
class AdversarialModel(keras.Model):
    """Trains a classifier with adversarial examples for its layers, and with penalties.

    For `compile` and `fit` as any Keras model; outputs, metrics and validation are those of the
    inner model on the images themselves. The pools take turns: each step mixes one of them into
    the batch (section 4.2). Penalties are added to the loss. The inner model, `model`, shares its
    weights and can be used by itself at any time. `save` keeps both, with pools and optimizer, so
    that training can be resumed; `keras.models.load_model(path).model` is the plain model again.

    `fit` adds to its logs, where pools keep examples: `pool_seconds`, the time that making examples
    took in the epoch; `pool_new`, how many; `pool_distortion`, their average distortion.

    Args:
        model: a built Sequential or Functional classifier (logits, softmax, or one sigmoid or
            logit unit); with pools on the images only, any classifier. Labels are integers `[n]`
            or `[n, classes]`, one-hot or soft; where no part reads labels, what the loss takes.
            What `sample_weight` and `class_weight` say of an image holds for its examples and for
            penalties, too.
        pools: `AdversarialPool`s.
        penalties: `CertifiedMargin`s, `LipschitzPenalty`s and `GradientPenalty`s.
        **kwargs: of `keras.Model`, such as `name`.

    Raises:
        TypeError, ValueError: a model without logits, in mixed precision, or with a `train_step`,
            `test_step`, `compute_loss` or `compute_metrics` of its own; pools or penalties that do
            not fit it; in a step, pools in a strategy of several devices. In `fit`: batches too
            small for a pool's share, pools that would be renewed within a call of compiled steps;
            labels that a part cannot read, images out of bounds, or a loss that is not finite, with
            the step where it happened.

    Example:

        model = itf.training.AdversarialModel(
            itf.models.fc100_100_10(),
            pools=[itf.training.AdversarialPool(layer) for layer in (None, "fc1", "fc2")],
            penalties=[itf.training.GradientPenalty(0.01)],
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(images, labels, batch_size=100, epochs=1)
        model.model.save("plain.keras")
    """

    def __init__(
        self,
        model: keras.Model,
        pools: Sequence[AdversarialPool] = (),
        penalties: Sequence[Penalty] = (),
        **kwargs: Any,
    ):
        pools = check_parts("pools", pools, (AdversarialPool,))
        penalties = check_parts("penalties", penalties, typing.get_args(Penalty))
        outputs = check_classifier(model)
        own = {"name": f"adversarial_{model.name}", "dtype": model.dtype_policy}
        super().__init__(**own | kwargs)
        self.model = model
        self.pools, self.penalties = pools, penalties
        self._width = outputs
        self._examples = tuple(
            PoolMemory(pool, model, i, self._state)
            if pool.interval
            else ExamplesOfBatch(pool, model, i)
            for i, pool in enumerate(pools)
        )
        self._memories = [each for each in self._examples if isinstance(each, PoolMemory)]
        self._recent = None
        if self._memories:
            dtype = Classifier(model).dtype.name
            largest = max(memory.pool.refresh for memory in self._memories)
            self._recent = RecentImages(model, largest, dtype, self._state)
        self.steps = self._state("steps", (), "int64", 0)
        self._not_finite = self._fault("bad_step", NOT_FINITE)
        self._outside = self._fault("outside_step", OUTSIDE)
        self._most_rows = self._state("most_rows", (), "int64", 0)
        # What release 0.1 did not save comes last, so that its files can still be loaded.
        state: dict[str, Any] = {}
        self.save_own_variables(state)
        self._saved_since_0_1 = len(state)
        self._soft = self._fault("soft_step", LABELS + SOFT_LABELS)
        for memory in self._memories:
            memory.keep_weights(self._state)
        if self._recent is not None:
            self._recent.keep_weights(self._state)
        margins = [each for each in penalties if isinstance(each, CertifiedMargin)]
        others = [each for each in penalties if not isinstance(each, CertifiedMargin)]
        self._classifier = Classifier(model)
        self._margins = tuple(each.prepare(model, self.add_weight) for each in margins)
        self._terms = tuple(each.prepare(model) for each in others)
        self._unreadable = self._fault("unreadable_step", LABELS + unreadable_labels(outputs))
        self._faults = (self._unreadable, self._soft, self._outside, self._not_finite)
        self._reads_classes = bool(self._memories) or any(m.loss == "worst" for m in margins)
        self._reads_labels = (
            self._reads_classes
            or bool(pools)
            or any(isinstance(each, GradientPenalty) and each.of == "loss" for each in others)
        )
        self._kept_up = False
        self.built = True

    def _state(self, name: str, shape: tuple[int, ...], dtype: str, initial: int) -> keras.Variable:
        constant = keras.initializers.Constant(initial)
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer=constant, trainable=False
        )

    def _fault(self, name: str, message: str) -> Fault:
        return Fault(self._state(name, (), "int64", NONE), message)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs, training=training)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, Any]:
        if self._kept_up or not self._memories:
            return self._step(data)
        # A loop of the user's: nobody else renews the pools.
        if tf.executing_eagerly():
            logs = self._step(data)
            self._look_after()
            return logs
        with tf.control_dependencies([tf.py_function(self._look_after, [], tf.bool)]):
            return self._step(data)

    def _look_after(self) -> bool:
        """Checks what the steps so far noted, and renews the pools; whether any is new."""
        self.check_progress()
        return bool(self.renew_pools())

    def _step(self, data: Any) -> dict[str, Any]:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if y is None:
            raise ValueError("Training needs labels. Received: data without them.")
        if not self.trainable_weights:
            raise ValueError(f"Some weights must be trainable. Received: {self.model.name!r}.")
        check_devices(self.pools, self._replicas)
        # Eagerly, Keras hands over what it was given.
        x = tf.cast(only_tensor(x), self._classifier.dtype)
        y = tf.convert_to_tensor(only_tensor(y, "output"))
        y = tf.cast(y, x.dtype) if y.dtype == tf.bool else y
        weights = None if weights is None else tf.convert_to_tensor(weights)
        batch = Batch(x, y, row_weights(weights, x.dtype), self._width_for(x))
        if self._reads_labels:
            check_label_shape(batch)
        loss, y_pred, gradients = self._taking_turns(batch)
        if self._terms:
            penalty, _, more = self._with_gradients(lambda: (self._penalty(batch), ()))
            loss += tf.cast(penalty, loss.dtype)
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        rows = tf.shape(x)[0]
        self._loss_tracker.update_state(loss * self._replicas, sample_weight=rows)
        self._note(batch, loss, rows)
        if self._recent is not None:
            self._recent.add(batch)
        self.steps.assign_add(1)
        return self.compute_metrics(x, y, y_pred, sample_weight=weights)

    def _width_for(self, x: tf.Tensor) -> int:
        """Returns how many outputs the model has, which subclassed ones tell for their inputs."""
        if self._width is None:
            spec = self.model.compute_output_spec(keras.KerasTensor(x.shape, x.dtype.name))
            self._width = width(spec.shape)
        return self._width

    def _taking_turns(self, batch: Batch) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        """Returns loss, outputs for the batch and gradients, with the pool whose turn it is."""
        if not self._examples:
            return self._with_gradients(lambda: self._loss_of(batch))
        branches = [
            lambda part=part: self._with_gradients(lambda: self._mixed_loss(part, batch))
            for part in self._examples
        ]
        if len(branches) == 1:
            return branches[0]()
        return tf.switch_case(tf.cast(self.steps.value % len(branches), tf.int32), branches)

    def _with_gradients(
        self, loss_and_outputs: Callable[[], tuple[tf.Tensor, Any]]
    ) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        """Returns what the function gives, and the gradients of its loss.

        Within the branch of a switch, so that XLA knows the shapes: differentiating the switch as a
        whole made it compile again in every step.
        """
        with tf.GradientTape() as tape:
            loss, outputs = loss_and_outputs()
            scaled = self.optimizer.scale_loss(loss)
        variables = [weight.value for weight in self.trainable_weights]
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(scaled, variables, unconnected_gradients=zero)
        return loss, outputs, [tf.convert_to_tensor(each) for each in gradients]

    def _loss_of(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        y_pred = self(batch.images, training=True)
        loss = self.compute_loss(batch.images, batch.labels, y_pred, batch.weights)
        return self._with_margins(loss, batch, y_pred), y_pred

    def _mixed_loss(self, part: PoolExamples, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of a batch and of a pool's examples, and the outputs for the batch."""
        activations = part.lower_part(batch.images, training=True)
        below = dataclasses.replace(batch, images=activations)
        mixed = part.mix(below, self.steps.value)
        y_pred = part.upper_part(mixed.images, training=True)
        loss = self.compute_loss(batch.images, mixed.labels, y_pred, mixed.weights)
        loss = self._with_margins(loss, batch, y_pred)
        return loss, y_pred[: tf.shape(batch.images)[0]]

    def _with_margins(self, loss: tf.Tensor, batch: Batch, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the loss and the penalties on the margins of a batch.

        Its outputs are the first of those that are given, which are the model's as it returned
        them: what enters their softmax is found below them.
        """
        if not self._margins:
            return loss
        logits = self._classifier.logits_of(batch.images, outputs)[: tf.shape(batch.images)[0]]
        step = tf.cast(self.steps.value, tf.int32)
        total = tf.add_n([margin(batch, logits, step) for margin in self._margins])
        return loss + tf.cast(total, loss.dtype) / self._replicas

    def _penalty(self, batch: Batch) -> tf.Tensor:
        # Like the loss: replicas' gradients are summed, and each adds its part of the mean.
        step = tf.cast(self.steps.value, tf.int32)
        terms = in_one_dtype([term(batch, step) for term in self._terms])
        return tf.add_n(terms) / self._replicas

    @property
    def _replicas(self) -> int:
        return tf.distribute.get_strategy().num_replicas_in_sync

    def _note(self, batch: Batch, loss: tf.Tensor, rows: tf.Tensor) -> None:
        """Notes what `check_progress` looks at: nothing can be raised within a compiled step."""
        step = self.steps.value + 1
        self._not_finite.note(~tf.math.is_finite(loss), step)
        for part in self._examples:
            if part.pool.layer is None and not part.pool.interval:
                self._outside.note(part.outside(batch), step)
        if self._reads_labels:
            self._unreadable.note(tf.reduce_any(batch.unreadable & batch.counting), step)
        if self._reads_classes:
            self._soft.note(tf.reduce_any(batch.soft & batch.counting), step)
        self._most_rows.assign(tf.maximum(self._most_rows.value, tf.cast(rows, tf.int64)))

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does, with its arguments, and renews the pools on the way.

        Raises:
            TypeError: labels that are no numbers; masked arrays.
            ValueError: a loss that is not finite; a batch too small for a pool's share; pools
                with a distribution strategy of several replicas, or renewed more often than
                `steps_per_execution` lets them; labels that are not the model's classes, or that
                pools or penalties cannot read.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        del given["self"]
        for name in ("x", "y", "sample_weight", "validation_data"):
            check_unmasked(name, given.get(name))
        y = only_tensor(given.get("y"), "output")
        if isinstance(y, (np.ndarray, tf.Tensor)):
            weights = row_weights(given.get("sample_weight"))
            ignored = getattr(self.loss, "ignore_class", None)
            parts = {"read": self._reads_labels, "as_classes": self._reads_classes}
            check_given_labels(y, weights, self._width, ignored, **parts)
        check_turns(self.pools, self.steps_per_execution)
        for fault in self._faults:
            fault.forget()
        self._most_rows.assign(0)
        given["callbacks"] = with_upkeep(given.get("callbacks"), self)
        with self._kept_up_here():
            return super().fit(**given)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains as `keras.Model.train_on_batch` does, and renews the pools when it is time.

        Raises:
            ValueError: as `fit`.
        """
        with self._kept_up_here():
            logs = super().train_on_batch(*args, **kwargs)
        self._look_after()
        return logs

    @contextlib.contextmanager
    def _kept_up_here(self) -> Iterator[None]:
        """Within it, steps are followed by what their caller does: they renew nothing."""
        before, self._kept_up = self._kept_up, True
        try:
            yield
        finally:
            self._kept_up = before

    def check_progress(self) -> None:
        """Raises if a step had something wrong, or batches are too small.

        Raises:
            ValueError: labels that pools or penalties cannot read, images out of bounds, a loss
                that is not finite, batches that no example would join.
        """
        raise_first(self._faults, self.model.name)
        check_shares(self.pools, int(self._most_rows.numpy()))

    @property
    def renews_pools(self) -> bool:
        """Whether a pool keeps examples, so that they are renewed between steps."""
        return bool(self._memories)

    def renew_pools(self) -> list[tuple[int, float]]:
        """Renews the pools whose interval is over, from the images that training saw last.

        Returns:
            For each renewed pool, how many examples are new and their average distortion.
        """
        step, made = int(self.steps.numpy()), []
        for memory in self._memories:
            recent = self._recent.latest(memory.pool.refresh) if self._recent else None
            if recent is not None and memory.is_due(step):
                images, labels, weights = recent
                made.append(memory.renew(images, labels, step, weights))
        return made

    def refresh_norms(self) -> None:
        """Runs the power iterations of certified margins on: `fit` does so before validation."""
        for margin in self._margins:
            margin.refresh()

    def load_own_variables(self, store: Any) -> None:
        """Loads what a file holds; what earlier releases did not save stays as it is."""
        state: dict[str, Any] = {}
        self.save_own_variables(state)
        if len(store.keys()) >= self._saved_since_0_1:
            store = {key: store[key] if key in store else state[key] for key in state}
        super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        parts = {"model": self.model, "pools": self.pools, "penalties": self.penalties}
        serialize = keras.saving.serialize_keras_object
        return {"name": self.name} | {
            key: serialize(value) if key == "model" else [serialize(each) for each in value]
            for key, value in parts.items()
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AdversarialModel:
        read = keras.saving.deserialize_keras_object
        values = dict(config)
        values["model"] = read(config["model"], custom_objects)
        for key in ("pools", "penalties"):
            values[key] = [read(each, custom_objects) for each in config[key]]
        return cls(**values)
