"""The box that adversarial images lie in: bounds of the variables, and those that are held."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.checks import as_array, real_numbers
from intriguing_tf.keras_graph import find_layer
from intriguing_tf.origins import is_of

_ROUNDINGS = 16  # of float32: what scaling and centering pixels may lead beyond their range
_LEAST_FILLED = 0.01  # images that fill less of the bounds have another scale

_PACKAGES = ("keras", "intriguing_tf")
# Ranges of activation functions, for attacks on the layers above them.
_RANGES_BY_NAME = {
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
# The functions themselves: one's own may have the same names.
_RANGES = {
    id(getattr(module, name)): found
    for module in (keras.activations, keras.ops, tf.nn)
    for name, found in _RANGES_BY_NAME.items()
    if hasattr(module, name)
}


def default_bounds(model: keras.Model, layer: Any, bounds: Any) -> Any:
    """Returns the bounds given, or else the range of what is attacked."""
    if bounds is not None:
        return bounds
    if layer is None:
        return 0.0, 1.0
    layer = find_layer(model, layer)
    found = _range_of_outputs(layer)
    if found is None:
        raise ValueError(
            f"The range of the outputs of layer {layer.name!r} is not known. Give `bounds`, for "
            "example bounds=(-np.inf, np.inf)."
        )
    return found


def _range_of_outputs(layer: keras.layers.Layer) -> tuple[float, float] | None:
    """The range of what a layer's activation gives; `None` where it is not known."""
    if not is_of(type(layer), _PACKAGES) or "call" in vars(layer):
        return None  # it may do anything with its attributes
    if isinstance(layer, keras.layers.ReLU) and not layer.negative_slope:
        return _RANGES_BY_NAME["relu"] if layer.max_value is None else None
    return _RANGES.get(id(getattr(layer, "activation", None)))


def check_bounds(bounds: Any, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Returns (lower, upper) as arrays of a dtype.

    Raises:
        TypeError, ValueError: not a pair of numbers or arrays, NaN, a lower bound above its upper,
            or all of them equal.
    """
    try:
        lower, upper = (real_numbers("bounds", bound) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`bounds` must be a pair (lower, upper) of numbers or arrays. Received: {bounds!r}."
        ) from error
    if not (lower <= upper).all() or not (lower < upper).any():  # NaN fails too
        raise ValueError(
            "Each lower bound must lie below its upper bound, or equal it where a pixel is held. "
            f"Received: {bounds!r}."
        )
    with np.errstate(over="ignore"):
        rounded = lower.astype(dtype), upper.astype(dtype)
    finite = (np.isfinite(lower) == np.isfinite(rounded[0])).all()
    finite &= (np.isfinite(upper) == np.isfinite(rounded[1])).all()
    if not finite or not (rounded[0] < rounded[1]).any():
        raise ValueError(
            f"`bounds` must be finite and differ in {dtype}, in which the model computes. "
            f"Received: {bounds!r}."
        )
    return rounded


def describe_bound(bound: np.ndarray) -> float | str | list[float | str]:
    """Returns a bound as JSON can hold it: a number, or the least and largest of an array."""
    values = [float(bound.min()), float(bound.max())]
    texts = [v if np.isfinite(v) else str(v) for v in values]
    return texts[0] if values[0] == values[1] else texts


class Box(NamedTuple):
    """Where the images of one call may go; all arrays [n, size].

    Attributes:
        lower, upper: bounds in the images' dtype; equal where a variable is held.
        width: float64, the range that distortion is measured by; 1 where it is infinite.
    """

    lower: np.ndarray
    upper: np.ndarray
    width: np.ndarray

    def rows(self, rows: Any) -> Box:
        """Returns the box of some rows."""
        return Box(*(each[rows] for each in self))

    def clip(self, x: np.ndarray) -> np.ndarray:
        """Returns points [n, size] of the box, in its dtype."""
        return np.clip(x, self.lower, self.upper).astype(self.lower.dtype)


def make_box(bounds: tuple[np.ndarray, np.ndarray], images: np.ndarray, mask: Any = None) -> Box:
    """Returns the box of images [n, ...] that lie in the bounds.

    Args:
        bounds: arrays that broadcast to the images.
        images: [n, ...].
        mask: bool, broadcasts to the images; where it is false the variable is held.

    Raises:
        TypeError, ValueError: a mask that is not as above, or bounds that do not fit the images.
    """
    flat = len(images), images[0].size
    lower, upper = (_flat(bound, images.shape) for bound in bounds)
    width = range_of(lower, upper)
    if mask is not None:
        moves = _flat(_check_mask(mask, images.shape), images.shape)
        originals = images.reshape(flat)
        lower, upper = (np.where(moves, bound, originals) for bound in (lower, upper))
    return Box(*(np.broadcast_to(each, flat) for each in (lower, upper, width)))


def range_of(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Returns the ranges, float64, that changes are measured by: 1 where infinite or held."""
    with np.errstate(invalid="ignore"):
        width = np.asarray(upper, np.float64) - lower
    return np.where(np.isfinite(width) & (width > 0), width, 1.0)


def fit_into(images: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Returns the images with what rounding led out of the bounds clipped.

    Raises:
        ValueError: bounds that do not fit the images, or values that lie farther out.
    """
    lower, upper = bounds
    try:
        low, high = (np.broadcast_to(bound, images.shape) for bound in bounds)
    except ValueError as error:
        raise ValueError(
            f"`bounds` of shapes {lower.shape} and {upper.shape} do not fit images of shape "
            f"{images.shape[1:]}."
        ) from error
    clipped = np.clip(images, low, high)
    size = np.maximum(np.abs(np.where(np.isfinite(lower), lower, 0)),
                      np.abs(np.where(np.isfinite(upper), upper, 0)))  # fmt: skip
    allowed = _ROUNDINGS * np.finfo(np.float32).eps * size
    if (np.abs(clipped - images) > allowed).any():
        raise ValueError(
            f"Images must lie within the bounds [{lower.min():g}, {upper.max():g}]. Received: "
            f"values from {images.min():g} to {images.max():g}. Scale the images, or give the "
            "`bounds` of the adversary or of the pool (--bounds of a command)."
        )
    return clipped


def fills_little(images: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether the images, not all one value, fill less than a hundredth of finite bounds."""
    lower, upper = (np.asarray(bound, np.float64) for bound in bounds)
    with np.errstate(invalid="ignore"):
        width = upper - lower
    moves = np.broadcast_to(np.isfinite(width) & (width > 0), images.shape)
    if not moves.any() or np.ptp(images) == 0:
        return False
    shares = ((images - lower) / np.where(width > 0, width, 1.0))[moves]
    return bool(np.ptp(shares) < _LEAST_FILLED)


def _flat(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values that broadcast to images of a shape, as [1 or n, size]."""
    rows = values.shape[0] if values.ndim == len(shape) else 1
    return np.broadcast_to(values, (rows, *shape[1:])).reshape(rows, -1)


def _check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    valid = "booleans: true where a pixel may change"
    array = as_array("mask", mask, valid, "bool")
    if array.dtype != np.bool_:
        raise TypeError(f"`mask` must be {valid}. Received: dtype {array.dtype}.")
    try:
        np.broadcast_to(array, shape)
    except ValueError as error:
        raise ValueError(
            f"`mask` must broadcast to the images, shape {shape}. Received: shape {array.shape}."
        ) from error
    return array
