"""Checks of arguments, whose errors say what was received and what would be valid."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


@contextlib.contextmanager
def of_model(name: str) -> Iterator[None]:
    """Says which of several models a TypeError or ValueError in the block is about.

    Its class stays, but where that takes more than a text, as UnicodeDecodeError does.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        text = f"{name!r}: {error}"
        try:
            named = type(error)(text)
        except TypeError:
            named = TypeError(text) if isinstance(error, TypeError) else ValueError(text)
        raise named from error


def check_kind(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> None:
    """Raises a TypeError unless the value is of a kind, which `what` describes."""
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be {what}. Received: {type(value).__name__}.")


def check_kinds(name: str, values: Any, kind: type, what: str) -> None:
    """Raises a TypeError unless the values are a sequence of things of a kind."""
    fits = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not fits or not all(isinstance(value, kind) for value in values):
        kinds = [type(value).__name__ for value in values] if fits else type(values).__name__
        raise TypeError(f"`{name}` must be a sequence of {what}. Received: {kinds}.")


def check_choice(name: str, value: Any, valid: Sequence[Any]) -> None:
    """Raises unless the value is one of the valid ones."""
    if not any(type(value) is type(each) and value == each for each in valid):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, valid))}. Received: {value!r}."
        )


def check_positive_integer(name: str, value: Any) -> None:
    """Raises unless the value is an integer above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}.")


def check_between(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Raises unless the value is a number between two others, neither of which it may be."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"`{name}` must be a number. Received: {value!r}.")
    if not low < value < high:
        valid = "positive and finite" if (low, high) == (0, math.inf) else f"in ({low}, {high})"
        raise ValueError(f"`{name}` must be {valid}. Received: {value!r}.")


def check_positive(name: str, value: Any) -> float:
    """Returns a positive number that float32 holds as a float."""
    check_between(name, value, 0)
    if value > float(np.finfo(np.float32).max):
        raise ValueError(f"`{name}` must be finite in float32. Received: {value!r}.")
    return float(value)


def one_number(name: str, value: Any) -> float:
    """Returns a number of any kind as a float. Raises a TypeError for what is none."""
    try:
        if np.ndim(value) == 0 and not isinstance(value, (str, bytes, bool)):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"`{name}` must be one number. Received: {value!r}.")


def check_interval(name: str, values: Any) -> tuple[float, float]:
    """Returns a pair of finite numbers as floats, the smaller first."""
    try:
        low, high = map(float, values)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            f"`{name}` must be two numbers, finite and the smaller first. Received: {values!r}."
        )
    return low, high


def check_seed(value: Any) -> int:
    """Returns a seed: an integer from 0 to below 2³¹."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`seed` must be an integer. Received: {value!r}.")
    if not 0 <= value < 2**31:
        raise ValueError(f"`seed` must be at least 0 and below 2**31. Received: {value!r}.")
    return int(value)


def as_array(
    name: str, values: Any, valid: str = "an array of numbers", dtype: str = "float32"
) -> np.ndarray:
    """Returns numbers as an array; bfloat16, which is no floating type to NumPy, as float32.

    Args:
        name: of the argument. values: numbers, or rows of them.
        valid: what they must be, in words. dtype: which of NumPy's types is meant.

    Raises:
        TypeError: they are objects, text or times, or masked.
        ValueError: their rows differ in shape.
    """
    array = _as_any_array(name, values)
    if array.dtype.kind not in "biufc":
        received = type(values).__name__ + (f" of dtype {array.dtype}" if array.ndim else "")
        convert = f". If its values fit: {name}.astype({dtype!r})"
        hint = convert if array.ndim and hasattr(values, "astype") else ""
        raise TypeError(f"`{name}` must be {valid}. Received: {received}{hint}.")
    return array


def array_of_numbers(name: str, values: Any) -> np.ndarray:
    """Returns values as an array, as `as_array`.

    Raises:
        TypeError: they are none, as a `tf.data.Dataset`.
        ValueError: as `as_array`.
    """
    valid = (
        "an array of floats [n, ...]; read the batches of a tf.data.Dataset into one, "
        "np.concatenate([x for x, _ in dataset])"
    )
    return as_array(name, values, valid)


def check_unmasked(name: str, values: Any) -> None:
    """Raises a TypeError for an array, or a sequence of them, with masked elements.

    It comes before the first `np.asarray`, which drops the mask.
    """
    parts = values if isinstance(values, (list, tuple)) else [values]
    arrays = [each for each in parts if isinstance(each, np.ma.MaskedArray)]
    if masked := sum(int(np.ma.count_masked(each)) for each in arrays):
        raise TypeError(
            f"`{name}` must be an array without masked elements. Received: one with {masked}. "
            f"Fill them: {name}.filled(0). Where only some pixels may change, an attack takes "
            "`mask`."
        )


def _as_any_array(name: str, values: Any) -> np.ndarray:
    check_unmasked(name, values)
    try:
        array = np.asarray(values)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    except ValueError:
        raise ValueError(
            f"`{name}` must be an array, or rows of one shape. Received: {type(values).__name__}"
            f"{' of rows that differ in shape' if isinstance(values, (list, tuple)) else ''}."
        ) from None


def real_numbers(name: str, values: Any) -> np.ndarray:
    """Returns values as an array of float64.

    Raises:
        TypeError: they are none, as text, or complex, or masked.
        ValueError: as `as_array`.
    """
    array = _as_any_array(name, values)
    objects = array.flat if array.dtype == object else ()
    others = [type(each).__name__ for each in objects if not isinstance(each, numbers.Real)]
    if others or array.dtype.kind not in "biufO":
        received = f"{type(values).__name__} with {others[0]}" if others else str(array.dtype)
        raise TypeError(f"`{name}` must be real numbers. Received: {received}.")
    return array.astype(np.float64)


def check_labels(labels: Any) -> np.ndarray:
    """Returns class numbers as an array `[n]`, n > 0; they may come as a column or one-hot rows.

    Raises:
        TypeError: objects or text.
        ValueError: others than integers of at least 0, or of another shape.
    """
    labels = as_array("labels", labels, "integers of at least 0, of shape [n]", "int64")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and len(labels) and labels.dtype.kind in "fiub":
        labels = from_one_hot("labels", labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
        floats = labels.dtype.kind == "f" and labels.ndim == 1
        convert = " Convert class numbers: labels.astype('int64')." if floats else ""
        raise ValueError(
            "`labels` must be integers of at least 0, of shape [n] with n > 0, or one-hot rows. "
            f"Received: dtype {labels.dtype}, shape {labels.shape}.{convert}"
        )
    return labels


def from_one_hot(name: str, rows: np.ndarray) -> np.ndarray:
    """Returns the classes `[n]` of one-hot rows `[n, classes]`."""
    if not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise ValueError(
            f"One-hot rows of `{name}` must hold one 1 each and 0 elsewhere. Received: others; if "
            f"they are scores, give {name}.argmax(axis=1)."
        )
    return rows.argmax(axis=1)
