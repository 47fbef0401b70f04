"""What experiments measure: estimates with their intervals, and records as JSON and back."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec
import numpy as np

from intriguing_tf.checks import check_unmasked
from intriguing_tf.transfer import error_interval, mean_interval

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value measured over images, with its 95 % bootstrap interval over them.

    `number` is how many images it was measured over.
    """

    value: float
    low: float
    high: float
    number: int

    @classmethod
    def of_errors(cls, wrong: Any) -> Estimate:
        """Of an error: bool `[n]`, misclassified or not.

        Raises:
            TypeError: a masked array.
            ValueError: anything else.
        """
        check_unmasked("wrong", wrong)
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

    def interval(self) -> tuple[float, float, float]:
        """Returns (value, low, high), as charts take it."""
        return self.value, self.low, self.high

    def where(self, paper: float) -> str:
        """Where the paper's value falls: "inside", "above" or "below" the interval."""
        if paper > self.high:
            return "above"
        return "below" if paper < self.low else "inside"

    def percent(self) -> str:
        """As "7.5 [7.0, 8.1]" in percent."""
        return f"{100 * self.value:.3g} [{100 * self.low:.3g}, {100 * self.high:.3g}]"

    def decimal(self) -> str:
        """As "0.0621 [0.0601, 0.0642]"."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def to_json(record: Any) -> Any:
    """Returns a dataclass as JSON's types."""
    return msgspec.to_builtins(record, enc_hook=lambda scalar: scalar.item())


def from_json(kind: type[T], data: Any) -> T:
    """Returns the value of type `kind` that `to_json` gave as `data`.

    Raises:
        ValueError: the data does not fit the type.
    """
    return msgspec.convert(data, kind)
