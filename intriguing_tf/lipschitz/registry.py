"""The table from layer type to rule, open to layers of your own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras

from intriguing_tf.checks import check_kind
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.operators import Diagonal, Matrix

Shape = tuple[int | None, ...]


class NoBoundError(ValueError):
    """No rigorous finite bound is known for a layer; the message names it and says why."""


@dataclasses.dataclass(frozen=True)
class LayerBound:
    """A Lipschitz bound of one layer, for the l2 norm of one example.

    Args:
        bound: ‖f(x) − f(y)‖ ≤ bound · ‖x − y‖ for all x and y; `inf` where there is none.
        attained: a ratio that is attained or approached, at most `bound`; `None` if unknown.
        how: how the bound was obtained.
        combine: for layers with several inputs. "joint": ‖·‖ on the right is that of all inputs
            together. "sum": the bound holds for each input while the others stay.
        size, stride: what the report prints in these columns.

    Raises:
        TypeError: `how`, `size` or `stride` that is no text.
        ValueError: a bound that is negative or NaN, or an `attained` above it.

    Example:

        @itf.lipschitz.register(Doubling)
        def doubling(layer, input_shapes):
            return itf.lipschitz.LayerBound(2.0, attained=2.0, how="definition")
    """

    bound: float
    attained: float | None = None
    how: str = "given"
    combine: Literal["joint", "sum"] = "joint"
    size: str = ""
    stride: str = ""

    def __post_init__(self) -> None:
        for name in ("how", "size", "stride"):
            check_kind(name, getattr(self, name), str, "text")
        if not self.bound >= 0:
            raise ValueError(f"`bound` must be a number ≥ 0 or inf. Received: {self.bound!r}.")
        if self.attained is not None and not 0 <= self.attained <= self.bound:
            raise ValueError(
                "`attained` must lie between 0 and `bound`. Received: "
                f"attained={self.attained!r}, bound={self.bound!r}."
            )
        if self.combine not in ("joint", "sum"):
            raise ValueError(f'`combine` must be "joint" or "sum". Received: {self.combine!r}.')


@dataclasses.dataclass(frozen=True)
class Slopes:
    """An activation that acts on each number by itself, with all its slopes in [low, high]."""

    low: float
    high: float

    @property
    def bound(self) -> float:
        return max(abs(self.low), abs(self.high))


SIGMOID = Slopes(0.0, 0.25)


@dataclasses.dataclass(frozen=True)
class Softmax:
    """Softmax or log-softmax over the last axis, with its bound."""

    bound: float


@dataclasses.dataclass(frozen=True)
class Regroup:
    """The same numbers in another shape.

    Args:
        repeats: how many times the last axis before is repeated in the last axis after it, as
            `Flatten` does with the pixels; `None` where the last axis is cut otherwise.
    """

    repeats: int | None


Step = Diagonal | Matrix | Convolution | Slopes | Softmax | Regroup | LayerBound


@dataclasses.dataclass(frozen=True)
class Steps:
    """A layer with one input as a succession of steps, so that neighbours can be joined."""

    steps: tuple[Step, ...]
    size: str = ""
    stride: str = ""


Rule = Callable[[Any, Sequence[Shape]], "LayerBound | Steps"]

_RULES: dict[type, Rule] = {}
_UNBOUNDED: dict[type, str] = {}


def register(*layer_classes: type) -> Callable[[Rule], Rule]:
    """Registers the rule of a layer class; a later rule replaces an earlier one.

    A rule holds for exactly this class: a subclass may compute something else.

    Args:
        layer_classes: the `keras.layers.Layer` classes (or `keras.Operation`s).

    Returns:
        A decorator for `rule(layer, input_shapes) -> LayerBound`. `input_shapes` has one tuple per
        input, the batch first. The rule raises `NoBoundError` where it knows no bound.

    Raises:
        TypeError: not a class of layers.

    Example:

        @itf.lipschitz.register(Doubling)
        def doubling(layer, input_shapes):
            return itf.lipschitz.LayerBound(2.0)
    """
    for each in layer_classes:
        if not (isinstance(each, type) and issubclass(each, keras.Operation)):
            raise TypeError(
                "register takes keras.layers.Layer classes. Received: "
                f"{each!r}. Use @register(MyLayer)."
            )

    def decorate(rule: Rule) -> Rule:
        for each in layer_classes:
            _RULES[each] = rule
        return rule

    return decorate


def register_unbounded(reason: str, *layer_classes: type) -> None:
    """Records that layers of these classes have no finite bound, and why."""
    for each in layer_classes:
        _UNBOUNDED[each] = reason


def apply_rule(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound | Steps:
    """Returns what the layer's rule says.

    Raises:
        NoBoundError: the layer has no rule, or no finite bound.
        TypeError: the rule returned something else than a `LayerBound`.
    """
    _load_rules()
    rule = _RULES.get(type(layer))
    name = f"Layer {layer.name!r} ({type(layer).__name__})"
    if rule is None:
        if type(layer) in _UNBOUNDED:
            raise NoBoundError(f"{name} has no finite Lipschitz bound: {_UNBOUNDED[type(layer)]}.")
        raise NoBoundError(
            f"{name} has no Lipschitz rule, and none is guessed. Register one: "
            f"@intriguing_tf.lipschitz.register({type(layer).__name__}) over a function "
            "(layer, input_shapes) -> LayerBound."
        )
    try:
        result = rule(layer, input_shapes)
    except NoBoundError as error:
        raise NoBoundError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(result, (LayerBound, Steps)):
        raise TypeError(f"The rule of {name} must return a LayerBound. Received: {result!r}.")
    if isinstance(result, LayerBound) and math.isinf(result.bound):
        raise NoBoundError(f"{name} has no finite Lipschitz bound: {result.how}.")
    return result


def _load_rules() -> None:
    # Here, not at the top: the rules import this module, and are only needed with a model.
    from intriguing_tf.lipschitz import rules, rules_own, rules_windows  # noqa: F401
