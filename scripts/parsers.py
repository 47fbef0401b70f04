"""What the values of flags are parsed as."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from absl import flags

from intriguing_tf.files import expanded


class Path(flags.ArgumentParser):
    """A path, with the home folder for `~`."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        return str(expanded(argument))


class Numbers(flags.ListParser):
    """Numbers between commas."""

    def __init__(self, kind: Callable[[str], Any]) -> None:
        super().__init__()
        self._kind = kind

    def parse(self, argument: str | list[Any]) -> list[Any]:
        try:
            return [self._kind(text) for text in super().parse(argument)]
        except ValueError:
            kind = "integers" if self._kind is int else "numbers"
            raise ValueError(f"must be {kind} between commas. Received: {argument}.") from None


class Bounds(flags.ArgumentParser):
    """Two finite numbers, the smaller first."""

    also = ""  # what else is valid

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def parse(self, argument: str) -> tuple[float, float]:
        try:
            lower, upper = map(float, argument.split(","))
        except ValueError:
            lower = upper = math.nan
        if not -math.inf < lower < upper < math.inf:
            only = "; each value's own range is for itf-evaluate" if argument == "data" else ""
            raise ValueError(
                f"--{self._name} must be two numbers, finite and the smaller first, such as 0,1"
                f"{self.also}{only}. Received: {argument}."
            )
        return lower, upper


class BoundsOrData(Bounds):
    """Two numbers, or the word 'data'."""

    also = ", or 'data'"

    def parse(self, argument: str) -> Any:
        return argument if argument == "data" else super().parse(argument)
