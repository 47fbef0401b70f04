"""Checks of what an `AdversarialModel` is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intriguing_tf.adversary.inputs import check_logits
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import layers_in


def check_parts(name: str, parts: Any, kinds: tuple[type, ...]) -> tuple:
    """Returns the parts as a tuple, or raises unless each is of these kinds."""
    for part in parts if isinstance(parts, Sequence) else [None]:
        if not isinstance(part, kinds):
            raise TypeError(
                f"`{name}` must be a list of {' or '.join(kind.__name__ for kind in kinds)} "
                f"objects. Received: {parts if part is None else part!r}."
            )
    return tuple(parts)


def check_classifier(model: Any) -> int | None:
    """Checks that a model is a classifier in float32 or float64.

    Returns:
        The width of its outputs; `None` where the model does not say (subclassed models).
    """
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
    return None if output is None else width(output)


def width(output_shape: Sequence[int | None]) -> int:
    """Returns how many numbers a classifier's outputs of a shape, `[n]` or `[n, width]`, have."""
    return int(output_shape[1] or 1) if len(output_shape) == 2 else 1
