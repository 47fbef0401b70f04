"""Checks of what users hand to the adversary."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import find_layer

# Ranges of activation functions, for attacks on the layers above them.
_RANGES = {
    "linear": (-np.inf, np.inf),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
    "relu6": (0.0, 6.0),
    "elu": (-1.0, np.inf),
}


def default_bounds(model: keras.Model, layer: Any, bounds: Any) -> Any:
    """Returns the bounds given, or else the range of what is attacked."""
    if bounds is not None:
        return bounds
    if layer is None:
        return 0.0, 1.0
    layer = find_layer(model, layer)
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    if isinstance(layer, keras.layers.ReLU) and not layer.negative_slope:
        name = "relu" if layer.max_value is None else None
    if name not in _RANGES:
        raise ValueError(
            f"The range of the outputs of layer {layer.name!r} is not known. Give `bounds`, for "
            "example bounds=(-np.inf, np.inf)."
        )
    return _RANGES[name]


def check_bounds(bounds: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns (lower, upper) as arrays.

    Raises:
        TypeError, ValueError: not a pair of numbers or arrays, NaN, or a lower bound that is not
            below the upper.
    """
    try:
        lower, upper = (np.asarray(bound, np.float64) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`bounds` must be a pair (lower, upper) of numbers or arrays. Received: {bounds!r}."
        ) from error
    if np.isnan(lower).any() or np.isnan(upper).any() or not (lower < upper).all():
        raise ValueError(f"Each lower bound must lie below its upper bound. Received: {bounds!r}.")
    return lower, upper


def describe_bound(bound: np.ndarray) -> float | str | list[float | str]:
    """Returns a bound as JSON can hold it: a number, or the least and largest of an array."""
    values = [float(bound.min()), float(bound.max())]
    texts = [v if np.isfinite(v) else str(v) for v in values]
    return texts[0] if values[0] == values[1] else texts


def check_images(
    images: Any, classifier: Classifier, bounds: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Returns the images as an array in the model's dtype.

    Raises:
        TypeError: integer images.
        ValueError: no images, a wrong shape, values that are not finite or out of bounds.
    """
    array = np.asarray(images)
    lower, upper = bounds
    if not np.issubdtype(array.dtype, np.floating):
        hint = ""
        if array.dtype == np.uint8 and np.isfinite(upper).all():
            hint = (
                " Scale them to the bounds: images.astype('float32')"
                + (" / 255" if upper.max() == 1 else "")
                + "."
            )
        raise TypeError(f"Images must be floating numbers. Received: dtype {array.dtype}.{hint}")
    expected = classifier.input_shape
    fits = expected is None or (
        array.ndim == len(expected) + 1
        and all(e is None or e == a for e, a in zip(expected, array.shape[1:], strict=True))
    )
    if array.ndim < 2 or not fits:
        wanted = "..." if expected is None else ", ".join(map(str, expected))
        raise ValueError(f"Images must have shape (n, {wanted}). Received: shape {array.shape}.")
    if not len(array):
        raise ValueError("At least one image is needed. Received: none.")
    try:
        np.broadcast_shapes(lower.shape, array.shape[1:])
        broadcast = [np.broadcast_to(bound, array.shape[1:]) for bound in bounds]
    except ValueError as error:
        raise ValueError(
            f"`bounds` of shapes {lower.shape} and {upper.shape} do not fit images of shape "
            f"{array.shape[1:]}."
        ) from error
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise ValueError(f"Images must be finite. Received: NaN or infinity in image {bad[0]}.")
    array = array.astype(classifier.dtype.as_numpy_dtype)
    if (array < broadcast[0]).any() or (array > broadcast[1]).any():
        raise ValueError(
            f"Images must lie within the bounds [{lower.min():g}, {upper.max():g}]. Received: "
            f"values from {array.min():g} to {array.max():g}. Scale the images, or give `bounds` "
            "(of the adversary or of the pool)."
        )
    return array


def check_logits(logits: np.ndarray) -> np.ndarray:
    """Raises if the model's outputs cannot be logits of two or more classes."""
    if logits.shape[1] < 2:
        raise ValueError(f"The model must tell two classes or more. Received: {logits.shape[1]}.")
    finite = np.isfinite(logits).all(axis=1)
    rows = logits[finite]
    if len(rows) and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            "The model's outputs look like probabilities, and no softmax was found in its graph "
            "whose input would be the logits. Let the model return logits."
        )
    return logits


def check_weights(c: Any, n: int) -> np.ndarray:
    """Returns the weight c of |r|^2 for each image."""
    weights = np.asarray(c, np.float64)
    if weights.shape not in {(), (n,)} or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"`c` must be positive: one number, or {n} of them. Received: {c!r}.")
    return np.broadcast_to(weights, n).copy()
