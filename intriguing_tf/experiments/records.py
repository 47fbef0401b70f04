"""What experiments measure: estimates with their intervals, and results as JSON and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, NamedTuple

import numpy as np

from intriguing_tf.transfer import error_interval, mean_interval


class Estimate(NamedTuple):
    """A value measured over images, with its 95 % bootstrap interval over them.

    `number` is how many images it was measured over.
    """

    value: float
    low: float
    high: float
    number: int

    @classmethod
    def of_errors(cls, wrong: Any) -> Estimate:
        """Of an error: bool `[n]`, misread or not.

        Raises:
            ValueError: anything else.
        """
        wrong = np.asarray(wrong)
        if wrong.dtype != bool or wrong.ndim != 1 or not len(wrong):
            raise ValueError(
                "`wrong` must be bool [n], n at least 1. "
                f"Received: dtype {wrong.dtype}, shape {wrong.shape}."
            )
        low, high = error_interval(wrong.sum(), len(wrong))
        return cls(float(wrong.mean()), float(low), float(high), len(wrong))

    @classmethod
    def of_mean(cls, values: Any) -> Estimate:
        """Of the mean of floats `[n]`.

        Raises:
            ValueError: fewer than 2 values, or one that is not finite.
        """
        low, high = mean_interval(values)
        return cls(float(np.mean(values)), low, high, len(values))

    def where(self, paper: float) -> str:
        """Where the paper's value lies: "inside", "above" or "below" the interval."""
        if paper > self.high:
            return "above"
        return "below" if paper < self.low else "inside"

    def percent(self) -> str:
        """As "7.5 [7.0, 8.1]" in percent."""
        return f"{100 * self.value:.3g} [{100 * self.low:.3g}, {100 * self.high:.3g}]"

    def decimal(self) -> str:
        """As "0.0621 [0.0601, 0.0642]"."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def compared(printed: float, here: Estimate, percent: bool = True) -> tuple[str, str, str, str]:
    """Returns the cells paper, here, difference, and where the paper's value lies.

    Args:
        printed: the paper's value.
        here: what was measured.
        percent: both are fractions, shown in percent; else as they are.
    """
    difference = here.value - printed
    if percent:
        cells = (f"{100 * printed:.3g}", here.percent(), f"{100 * difference:+.3g}")
    else:
        cells = (f"{printed:.3g}", here.decimal(), f"{difference:+.4f}")
    return *cells, here.where(printed)


def to_json(record: Any) -> Any:
    """Returns a dataclass as JSON's types."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, tuple) and hasattr(record, "_asdict"):
        return {name: to_json(value) for name, value in record._asdict().items()}
    if isinstance(record, dict):
        return {name: to_json(value) for name, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    return record


def from_json(kind: Any, data: Any) -> Any:
    """Returns the value of type `kind` that `to_json` gave as `data`.

    `kind` may be a dataclass, a named tuple, `tuple[X, ...]`, `dict[str, X]`, `X | None`, or a
    type of JSON's.

    Raises:
        ValueError: the data does not fit the type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin in (typing.Union, types.UnionType):
            inner = next(a for a in arguments if a is not type(None))
            return None if data is None else from_json(inner, data)
        if origin is tuple:
            return tuple(from_json(arguments[0], value) for value in data)
        if origin is dict:
            return {name: from_json(arguments[1], value) for name, value in data.items()}
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
            hints = typing.get_type_hints(kind)
            names = getattr(kind, "_fields", None) or [f.name for f in dataclasses.fields(kind)]
            if set(data) != set(names):
                raise ValueError(f"fields {sorted(data)}, not {sorted(names)}")
            return kind(**{name: from_json(hints[name], data[name]) for name in names})
    except (AttributeError, TypeError) as error:
        raise ValueError(f"Not the JSON of a {kind}. Received: {data!r}.") from error
    if kind is float and isinstance(data, int):
        data = float(data)
    if kind is not Any and type(data) is not kind:
        raise ValueError(f"Not the JSON of a {kind.__name__}. Received: {data!r}.")
    return data
