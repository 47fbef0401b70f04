"""Checks of what an `AdversarialModel` is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from intriguing_tf.adversary.inputs import check_logits
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import layers_in
from intriguing_tf.training.pool import AdversarialPool

# What Keras's `fit` and `evaluate` call, and training here does not call on a model of one's own.
_TRAINING = ("train_step", "test_step", "compute_loss", "compute_metrics")


def check_parts(name: str, parts: Any, kinds: tuple[type, ...]) -> tuple:
    """Returns the parts as a tuple, or raises unless each is of these kinds."""
    for part in parts if isinstance(parts, Sequence) else [None]:
        if not isinstance(part, kinds):
            raise TypeError(
                f"`{name}` must be a list of {' or '.join(kind.__name__ for kind in kinds)} "
                f"objects. Received: {parts if part is None else part!r}."
            )
    return tuple(parts)


def check_plain(model: keras.Model) -> None:
    """Raises if a model trains in a way of its own, of which nothing would be left.

    Raises:
        ValueError: as said.
    """
    for name in _TRAINING:
        if name in vars(model) or getattr(type(model), name) is not getattr(keras.Model, name):
            raise ValueError(
                f"{type(model).__name__} has a `{name}` of its own, which would be left out. Call "
                "its own `fit`, or give a model without: `model.model` of an `AdversarialModel`. "
                f"Received: {model.name!r}."
            )


def check_classifier(model: Any) -> int | None:
    """Checks that a model is a classifier in float32 or float64, which trains as Keras does.

    Returns:
        The width of its outputs; `None` where the model does not say (subclassed models).
    """
    classifier = Classifier(model)
    check_plain(model)
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
    return None if output is None else width(output)


def width(output_shape: Sequence[int | None]) -> int:
    """Returns how many numbers a classifier's outputs of a shape, `[n]` or `[n, width]`, have."""
    return int(output_shape[1] or 1) if len(output_shape) == 2 else 1


def check_devices(pools: Sequence[AdversarialPool], replicas: int) -> None:
    """Raises if there are pools and the model's distribution strategy has several replicas."""
    if pools and replicas > 1:
        raise ValueError(f"Pools train on one device. Received: a strategy with {replicas}.")


def check_turns(pools: Sequence[AdversarialPool], steps: int) -> None:
    """Raises unless pools can be renewed between calls of so many compiled steps."""
    for pool in pools:
        if 0 < pool.interval < steps:
            raise ValueError(
                "Pools are renewed between calls of `steps_per_execution` steps: `interval` must "
                f"be 0 or at least as many. Received: interval={pool.interval} of {_place(pool)}, "
                f"steps_per_execution={steps}."
            )


def check_shares(pools: Sequence[AdversarialPool], rows: int) -> None:
    """Raises unless examples of each pool join batches of so many images, 0: none yet.

    Raises:
        ValueError: as said.
    """
    for pool in pools:
        if rows and not pool.rows(rows):
            raise ValueError(
                f"A batch of {rows} images is too small for the share {pool.share} of "
                f"{_place(pool)}: no example would join it."
            )


def _place(pool: AdversarialPool) -> str:
    return f"the pool at {pool.layer or 'the input'}"
