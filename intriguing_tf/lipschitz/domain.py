"""The box of inputs that a bound is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intriguing_tf.checks import real_numbers

Array = np.ndarray


def boxes_of(domain: Any, shapes: Sequence[tuple[int | None, ...]]) -> list[tuple[Array, Array]]:
    """Returns the least and the largest value of every number of every input.

    Args:
        domain: a pair (low, high) of numbers or arrays that broadcast with one example; a list of
            such pairs where there are several inputs.
        shapes: of the inputs, the batch first.

    Returns:
        Per input, float64 [*shape of one example] twice.

    Raises:
        ValueError: not such pairs, not finite, a `low` above its `high`, shapes that do not fit, or
            an input of unknown size.
    """
    pairs = [domain] if len(shapes) == 1 else domain
    if not _is_list_of(pairs, len(shapes)):
        what = "a pair (low, high)" if len(shapes) == 1 else f"a list of {len(shapes)} such pairs"
        raise ValueError(
            "`domain` must be a pair (low, high) of numbers or arrays for each input: "
            f"{what}. Received: {domain!r}."
        )
    return [_box(pair, tuple(shape[1:])) for pair, shape in zip(pairs, shapes, strict=True)]


def described(domain: Any, inputs: int) -> str:
    """Returns how a report names a domain of so many inputs, such as "[0, 255]"."""
    pairs = [domain] if inputs == 1 else domain
    return ", ".join(f"[{_short(low)}, {_short(high)}]" for low, high in pairs)


def _is_list_of(pairs: Any, count: int) -> bool:
    return (
        isinstance(pairs, (list, tuple))
        and len(pairs) == count
        and all(isinstance(pair, (list, tuple, np.ndarray)) and len(pair) == 2 for pair in pairs)
    )


def _short(values: Any) -> str:
    values = np.asarray(values, np.float64).ravel()
    few = len(values) <= 4
    numbers = [f"{value:g}" for value in (values if few else (values.min(), values.max()))]
    if len(set(numbers)) == 1:
        return numbers[0]
    return f"({', '.join(numbers)})" if few else " … ".join(numbers)


def _box(pair: Any, shape: tuple[int | None, ...]) -> tuple[Array, Array]:
    if None in shape:
        raise ValueError(
            "a `domain` needs an input of known size. Build the model with a fixed one, e.g. "
            f"keras.Input((224, 224, 3)). Received: shape {shape}."
        )
    try:
        low, high = (real_numbers("domain", each) for each in pair)
        low, high = (np.broadcast_to(each, shape) for each in (low, high))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`domain` must be a pair (low, high) of numbers or of arrays that broadcast with one "
            f"example of shape {shape}. Received: {pair!r}."
        ) from error
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low <= high)):
        raise ValueError(
            f"`domain` must be finite, and `low` at most `high`. Received: {_short(low)} and "
            f"{_short(high)}."
        )
    return low, high
