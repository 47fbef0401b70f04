"""A Keras model around the user's own that trains it with pools and penalties."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.inputs import check_logits
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import layers_in
from intriguing_tf.training.fitting import check_labels
from intriguing_tf.training.gradient_penalty import GradientPenalty
from intriguing_tf.training.lipschitz_penalty import LipschitzPenalty
from intriguing_tf.training.pool import (
    AdversarialPool,
    ExamplesOfBatch,
    PoolExamples,
    PoolMemory,
    RecentImages,
)

Penalty = LipschitzPenalty | GradientPenalty
_NONE = -1  # no such step


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
            or one-hot `[n, classes]`.
        pools: `AdversarialPool`s.
        penalties: `LipschitzPenalty`s and `GradientPenalty`s.
        **kwargs: of `keras.Model`, such as `name`.

    Raises:
        TypeError, ValueError: a model without logits, or in mixed precision; pools or penalties
            that do not fit it. In `fit`: batches too small for a pool's share; a loss that is not
            finite, with the step where it happened.

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
        pools = _check_parts("pools", pools, (AdversarialPool,))
        penalties = _check_parts("penalties", penalties, (LipschitzPenalty, GradientPenalty))
        width = _check_classifier(model)
        super().__init__(**{"name": f"adversarial_{model.name}"} | kwargs)
        self.model = model
        self.pools, self.penalties = pools, penalties
        self._width = width
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
        self._terms = tuple(penalty.prepare(model) for penalty in penalties)
        self.steps = self._state("steps", (), "int64", 0)
        self._bad_step = self._state("bad_step", (), "int64", _NONE)
        self._outside_step = self._state("outside_step", (), "int64", _NONE)
        self._most_rows = self._state("most_rows", (), "int64", 0)
        self.built = True

    def _state(self, name: str, shape: tuple[int, ...], dtype: str, initial: int) -> keras.Variable:
        constant = keras.initializers.Constant(initial)
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer=constant, trainable=False
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if y is None:
            raise ValueError("Training needs labels. Received: data without them.")
        if not x.dtype.is_floating:
            x = tf.cast(x, self.compute_dtype)
        classes = self._classes(y)
        loss, y_pred, gradients = self._taking_turns(x, y, classes, weights)
        if self._terms:
            penalty, _, more = self._with_gradients(lambda: (self._penalty(x, classes), ()))
            loss += penalty
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        rows = tf.shape(x)[0]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * replicas, sample_weight=rows)
        self._note(x, loss, rows)
        if self._recent is not None:
            self._recent.add(x, classes)
        self.steps.assign_add(1)
        return self.compute_metrics(x, y, y_pred, sample_weight=weights)

    def _taking_turns(self, x, y, classes, weights) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        """Returns loss, outputs for the batch and gradients, with the pool whose turn it is."""
        if not self._examples:
            return self._with_gradients(lambda: self._loss_of(x, y, weights))
        branches = [
            lambda part=part: self._with_gradients(
                lambda: self._mixed_loss(part, x, y, classes, weights)
            )
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

    def _loss_of(self, x, y, weights) -> tuple[tf.Tensor, tf.Tensor]:
        y_pred = self(x, training=True)
        return self.compute_loss(x, y, y_pred, weights), y_pred

    def _mixed_loss(
        self, part: PoolExamples, x, y, classes, weights
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of a batch and of a pool's examples, and the outputs for the batch."""
        activations = part.lower_part(x, training=True)
        mixed, labels = part.mix(activations, classes, self.steps.value)
        y_pred = part.upper_part(mixed, training=True)
        count = tf.shape(x)[0]
        added = self._like(y, labels[count:])
        if weights is not None:
            ones = tf.ones([tf.shape(labels)[0] - count, *weights.shape[1:]], weights.dtype)
            weights = tf.concat([weights, ones], 0)
        loss = self.compute_loss(x, tf.concat([y, added], 0), y_pred, weights)
        return loss, y_pred[:count]

    def _penalty(self, x, classes) -> tf.Tensor:
        # Like the loss: replicas' gradients are summed, and each adds its part of the mean.
        step = tf.cast(self.steps.value, tf.int32)
        total = tf.add_n([term(x, classes, step) for term in self._terms])
        return total / tf.distribute.get_strategy().num_replicas_in_sync

    def _classes(self, y: tf.Tensor) -> tf.Tensor:
        """Returns labels as int64 [n]."""
        if y.shape.rank == 2 and y.shape[1] == self._width and self._width > 1:
            return tf.argmax(y, axis=1)
        return tf.cast(tf.reshape(y, [-1]), tf.int64)

    def _like(self, y: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Returns classes in the form of the labels `y`."""
        if y.shape.rank == 2 and y.shape[1] == self._width and self._width > 1:
            return tf.one_hot(classes, self._width, dtype=y.dtype)
        return tf.cast(tf.reshape(classes, [-1, *y.shape[1:]]), y.dtype)

    def _note(self, x: tf.Tensor, loss: tf.Tensor, rows: tf.Tensor) -> None:
        """Notes what `check_progress` looks at: nothing can be raised within a compiled step."""

        def note(variable: keras.Variable, wrong: tf.Tensor) -> None:
            first = wrong & (variable.value == _NONE)
            variable.assign(tf.where(first, self.steps.value + 1, variable.value))

        note(self._bad_step, ~tf.math.is_finite(loss))
        for part in self._examples:
            if part.pool.layer is None and not part.pool.interval:
                note(self._outside_step, part.outside(x))
        self._most_rows.assign(tf.maximum(self._most_rows.value, tf.cast(rows, tf.int64)))

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does, and renews the pools on the way.

        Raises:
            ValueError: a loss that is not finite; a batch too small for a pool's share; pools
                with a distribution strategy of several replicas; labels in an array that are not
                the model's classes.
        """
        if isinstance(y, (np.ndarray, tf.Tensor)) and self._width > 1:
            check_labels(np.asarray(y), self._width)
        replicas = self.distribute_strategy.num_replicas_in_sync
        if self.pools and replicas > 1:
            raise ValueError(f"Pools train on one device. Received: a strategy with {replicas}.")
        upkeep = _Upkeep()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            upkeep.set_model(self)
            callbacks.callbacks.insert(0, upkeep)
        elif callbacks is None or isinstance(callbacks, keras.callbacks.Callback):
            callbacks = [upkeep, *([callbacks] if callbacks else [])]
        else:
            callbacks = [upkeep, *callbacks]
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def check_progress(self) -> None:
        """Raises if a loss was not finite, images were out of bounds, or batches are too small.

        Raises:
            ValueError: as said.
        """
        step = int(self._bad_step.numpy())
        if step != _NONE:
            raise ValueError(
                f"The loss of {self.model.name!r} is not finite in step {step}: the learning rate "
                "or a penalty's weight is too large, or the data is not finite."
            )
        step = int(self._outside_step.numpy())
        if step != _NONE:
            raise ValueError(
                f"Images of step {step} lie outside the bounds of their pool. Scale the images, or "
                "give `AdversarialPool` its `bounds`."
            )
        rows = int(self._most_rows.numpy())
        for pool in self.pools:
            if rows and not pool.rows(rows):
                raise ValueError(
                    f"A batch of {rows} images is too small for the share {pool.share} of the pool "
                    f"at {pool.layer or 'the input'}: no example would join it."
                )

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
                made.append(memory.renew(*recent, step))
        return made

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


class _Upkeep(keras.callbacks.Callback):
    """Renews the pools, watches the loss, and adds what the pools cost to the epoch's logs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._seconds = 0.0
        self._made: list[tuple[int, float]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.check_progress()
        start = time.perf_counter()
        self._made += self.model.renew_pools()
        self._seconds += time.perf_counter() - start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is None or not self.model.renews_pools:
            return
        new = sum(count for count, _ in self._made)
        moved = [distortion for count, distortion in self._made if count]
        logs["pool_seconds"] = self._seconds
        logs["pool_new"] = new
        logs["pool_distortion"] = float(np.mean(moved)) if moved else 0.0


def _check_parts(name: str, parts: Any, kinds: tuple[type, ...]) -> tuple:
    for part in parts if isinstance(parts, Sequence) else [None]:
        if not isinstance(part, kinds):
            raise TypeError(
                f"`{name}` must be a list of {' or '.join(kind.__name__ for kind in kinds)} "
                f"objects. Received: {parts if part is None else part!r}."
            )
    return tuple(parts)


def _check_classifier(model: Any) -> int:
    """Checks that a model is a classifier in one precision; returns the width of its outputs."""
    classifier = Classifier(model)
    for layer in [model, *layers_in(model)]:
        if layer.compute_dtype not in ("float32", "float64"):
            raise ValueError(
                "Models are trained in float32 or float64. Received: layer "
                f"{layer.name!r} of model {model.name!r} with dtype policy "
                f"{layer.dtype_policy.name!r}."
            )
    shape = classifier.input_shape
    sizes = [size for size in shape or () if size is not None]
    if shape is not None and len(sizes) == len(shape):
        some = np.random.default_rng(0).random((4, *sizes))
        check_logits(classifier.predict_logits(some), classifier)
    output = getattr(model, "output_shape", None)
    return int(output[-1]) if output is not None and len(output) == 2 else 1
