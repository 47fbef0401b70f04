"""Values of different units, as a table's: each is measured in units of its own range."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.adversary.bounds import describe_bound
from intriguing_tf.adversary.pictures import kind_of
from intriguing_tf.checks import check_positive_integer, check_unmasked, real_numbers
from intriguing_tf.classifier import input_dtype
from intriguing_tf.datasets import ImageSet
from intriguing_tf.keras_graph import with_policy_of

OF_DATA = "data"  # the bounds that say: each value's own least and largest in the data
_OF_PIXELS = ((-1, 1), (0, 255))  # the usual ranges besides (0, 1)
_DISTANCES = "distances"  # among the settings of a restored result
_ROUNDING = 1e-3  # of the bounds' width


@dataclasses.dataclass(frozen=True, eq=False)
class Ranges:
    """Least and largest number of each value of an input.

    Attributes:
        lower, upper: float64, of the shape of one input.
    """

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, bounds: Any, data: ImageSet) -> Ranges | None:
        """Returns the ranges that `bounds` mean for the data; `None` where one pair is for all.

        Args:
            bounds: as `check_pair` returns them.
            data: that they are for.

        Raises:
            TypeError: bounds for each value of what is no array.
            ValueError: bounds for each value of images, that do not fit, or that the data leave.
        """
        if not isinstance(bounds, str) and not any(np.ndim(bound) for bound in bounds):
            return None
        values = data.images
        if not isinstance(values, np.ndarray):
            raise TypeError(
                f"Bounds for each value are for arrays. Received: {type(values).__name__}."
            )
        check_positive_integer("the number of rows", len(values))
        if kind_of(values) == "images":
            raise ValueError(
                "All pixels of an image have the same bounds, such as 0,1. Received: bounds for "
                f"each value of images {values.shape[1:]}."
            )
        found = (
            cls._given(bounds, values)
            if not isinstance(bounds, str)
            else cls(*(extreme.astype(np.float64) for extreme in (values.min(0), values.max(0))))
        )
        if not (found.lower < found.upper).any():
            raise ValueError(
                "Some value must have a range to be changed in: rows that differ, or bounds that "
                f"do. Received: {len(values)} rows, and bounds {bounds!r}."
            )
        return found

    @classmethod
    def _given(cls, bounds: Any, values: np.ndarray) -> Ranges:
        try:
            lower, upper = (
                np.broadcast_to(real_numbers("bounds", bound), values.shape[1:]) for bound in bounds
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`bounds` must be a pair of numbers, or of arrays of the shape of an input, "
                f"{values.shape[1:]}. Received: {bounds!r}."
            ) from error
        if not (np.isfinite(lower) & np.isfinite(upper) & (lower <= upper)).all():
            raise ValueError(
                f"`bounds` must be finite, and the lower below the upper. Received: {bounds!r}."
            )
        outside = (values.min(0) < lower) | (values.max(0) > upper)
        if outside.any():
            where = tuple(np.argwhere(outside)[0].tolist())
            raise ValueError(
                f"The data must lie within `bounds`. Received: at {list(where)} values from "
                f"{values.min(0)[where]:g} to {values.max(0)[where]:g}, and bounds "
                f"{lower[where]:g} to {upper[where]:g}."
            )
        return cls(lower, upper)

    @property
    def width(self) -> np.ndarray:
        """float64: 1 where a value never changes."""
        return np.where(self.upper > self.lower, self.upper - self.lower, 1.0)

    @property
    def box(self) -> tuple[Any, Any]:
        """Bounds of the scaled data: 0 and 1, but 0 and 0 for a value that never changes."""
        moves = self.upper > self.lower
        return (0.0, 1.0) if moves.all() else (np.zeros(moves.shape), moves.astype(np.float64))

    def scaled(self, values: Any) -> np.ndarray:
        """Returns data in [0, 1], float32."""
        return ((values - self.lower) / self.width).clip(0, 1).astype(np.float32)

    def before(self, model: keras.Model) -> keras.Model:
        """Returns the model of data in [0, 1]: what undoes the scaling stands in front of it."""
        dtype = input_dtype(model)
        scaled = keras.Input(self.lower.shape, dtype=dtype)
        whole = keras.Sequential([scaled, self._undo(dtype), model], name=model.name)
        return with_policy_of(model, whole)

    def restored(self, result: AdversarialResult) -> AdversarialResult:
        """Returns a result of scaled data with its inputs as the model itself takes them.

        They are computed as `before` does, so that the model classifies them as the result says.
        Distances stay in units of the ranges. A result that was restored is returned as it is.
        """
        if _DISTANCES in result.settings:
            return result
        undo = self._undo(result.images.dtype.name)
        before, after = (np.asarray(undo(x)) for x in (result.originals, result.images))
        bounds = [describe_bound(bound) for bound in (self.lower, self.upper)]
        settings = {**result.settings, "bounds": bounds, _DISTANCES: "in units of the ranges"}
        return dataclasses.replace(
            result,
            originals=before,
            images=after,
            settings=settings,
            bounds=(self.lower, self.upper),
        )

    def _undo(self, dtype: str) -> keras.layers.Layer:
        return keras.layers.Rescaling(
            self.width.tolist(), self.lower.tolist(), name="ranges", dtype=dtype
        )


def check_pair(bounds: Any) -> Any:
    """Returns `OF_DATA`, or a pair: of floats, or of arrays where each value has its own.

    Raises:
        TypeError: neither that word nor a pair of numbers or arrays, or masked ones.
        ValueError: another word, or one pair of which the first is not below the second.
    """
    if isinstance(bounds, str):
        if bounds != OF_DATA:
            raise ValueError(f"`bounds` must be a pair or {OF_DATA!r}. Received: {bounds!r}.")
        return bounds
    check_unmasked("bounds", bounds)
    try:
        lower, upper = map(np.asarray, bounds)
        if not {lower.dtype.kind, upper.dtype.kind} <= set("iuf"):
            raise TypeError("no numbers")
    except (TypeError, ValueError) as error:
        raise TypeError(
            "`bounds` must be a pair (lower, upper) of numbers, or of arrays of the shape of an "
            f"input, or {OF_DATA!r}. Received: {bounds!r}."
        ) from error
    if lower.ndim or upper.ndim:
        return lower, upper
    if not lower < upper:  # NaN too
        raise ValueError(f"The lower bound must be below the upper one. Received: {bounds!r}.")
    return float(lower), float(upper)


def check_within(data: ImageSet, bounds: tuple[float, float]) -> None:
    """Checks that arrays lie within the bounds, but for rounding, before anything is computed.

    Raises:
        ValueError: they do not; which bounds would do.
    """
    values = data.images
    floats = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    if not floats or not values.size or not np.isfinite(values).all():
        return  # what else is wrong is said where it is attacked
    lower, upper = bounds
    allowed = _ROUNDING * (upper - lower) if math.isfinite(upper - lower) else 0.0
    low, high = float(values.min()), float(values.max())
    if lower - allowed <= low and high <= upper + allowed:
        return
    least, largest = _outward(low), -_outward(-high)
    own = ", or bounds='data' (--bounds=data)"
    if kind_of(values) == "images":
        own = ""
        within = (each for each in _OF_PIXELS if each[0] <= low and high <= each[1])
        least, largest = next(within, (least, largest))
    raise ValueError(
        f"The data lie between {low:g} and {high:g}: give the bounds of what the model was trained "
        f"on, such as bounds=({least:g}, {largest:g}) (--bounds={least:g},{largest:g}){own}. "
        f"Received: bounds {lower:g} to {upper:g}."
    )


def _outward(value: float) -> float:
    """Returns a number of two digits that is not larger."""
    if value == 0:
        return 0.0
    power = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return math.floor(value / power + _ROUNDING) * power
