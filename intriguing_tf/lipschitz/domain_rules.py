"""Rules that hold on a domain only: products, quotients, and functions that grow ever steeper.

For y = f · g, entry by entry: ‖Δy‖ ≤ max|g| ‖Δf‖ + H ‖Δg‖, where H is the largest, over the entries
of g, l2 norm of what the entry multiplies: the channel's map where g is a gate per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.keras_graph import is_keras_operation
from intriguing_tf.lipschitz.graph import Call
from intriguing_tf.lipschitz.ranges import CENTER, DOMAIN, LEAST, WIDENED, Range, widened
from intriguing_tf.lipschitz.registry import is_registered
from intriguing_tf.lipschitz.rounding import round_up
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Slopes, Steps, Weighted

Array = np.ndarray
Found = tuple[LayerBound | Steps, Range]
Rule = Callable[[Sequence[Range]], Found]
_RULES: dict[Any, Rule] = {}


def on_a_domain(*kinds: Any) -> Callable[[Rule], Rule]:
    """Files the rule of layer classes, and of operations by name."""

    def decorate(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return decorate


def rule_on_domain(call: Call) -> Rule | None:
    """Returns the rule of a call that only a domain bounds; `None` if it is none of these."""
    layer = call.operation
    if is_registered(type(layer)):
        return None
    if isinstance(layer, layers.Activation) and type(layer) is layers.Activation:
        return exponential if layer.activation is keras.activations.exponential else None
    key: Any = type(layer).__name__ if is_keras_operation(layer) else type(layer)
    rule = _RULES.get(key)
    # A constant factor is no product of two things that depend on the input.
    return None if rule in (product, quotient) and len(call.inputs) < 2 else rule


def has_domain_rule(kind: Any) -> bool:
    """Whether this layer class, or operation of this name, is bounded on a domain."""
    return kind in _RULES


@on_a_domain(layers.Multiply, "Multiply")
def product(given: Sequence[Range]) -> Found:
    """The sum over the factors of what moving each of them does to the product."""
    _check_ranks(given)
    found = given[0]
    weights = [1.0]
    for factor in given[1:]:
        ours, theirs = _weight(factor, found), _weight(found, factor)
        weights = [round_up(each * ours) for each in weights] + [theirs]
        found = _multiplied(found, factor)
    return Weighted(max(weights), how=_how(weights), weights=tuple(weights)), found


@on_a_domain("Divide", "TrueDivide")
def quotient(given: Sequence[Range]) -> Found:
    """f/g = f · (1/g), where g keeps its sign on the domain."""
    _check_ranks(given)
    above, below = given
    least = np.minimum(np.abs(below.low), np.abs(below.high))
    if np.any((below.low <= 0) & (below.high >= 0)) or np.any(least < LEAST):
        raise NoBoundError("what it divides by may be 0 on the domain")
    steepest = round_up(float(np.max(1 / least[DOMAIN] ** 2)), 8)
    inverse = widened(1 / below.high, 1 / below.low).within(_times(steepest, below.spread))
    weights = (_weight(inverse, above), round_up(_weight(above, inverse) * steepest))
    return Weighted(max(weights), how=_how(weights), weights=weights), _multiplied(above, inverse)


@on_a_domain("Square")
def square(given: Sequence[Range]) -> Found:
    (x,) = given
    least = np.where((x.low <= 0) & (x.high >= 0), 0.0, np.minimum(x.low**2, x.high**2))
    values = widened(least, x.size**2)
    return _slopes(2 * x.low, 2 * x.high), values


@on_a_domain("Exp")
def exponential(given: Sequence[Range]) -> Found:
    (x,) = given
    with np.errstate(over="ignore"):
        ends = np.exp(x.low), np.exp(x.high)
    return _slopes(*ends), widened(*ends)


@on_a_domain("Sqrt")
def root(given: Sequence[Range]) -> Found:
    (x,) = given
    _check_positive(x)
    return _slopes(0.5 / np.sqrt(x.high), 0.5 / np.sqrt(x.low)), widened(
        np.sqrt(x.low), np.sqrt(x.high)
    )


@on_a_domain("Log")
def logarithm(given: Sequence[Range]) -> Found:
    (x,) = given
    _check_positive(x)
    return _slopes(1 / x.high, 1 / x.low), widened(np.log(x.low), np.log(x.high))


@on_a_domain("Reciprocal")
def reciprocal(given: Sequence[Range]) -> Found:
    (x,) = given
    _check_positive(x)
    return _slopes(-1 / x.low**2, -1 / x.high**2), widened(1 / x.high, 1 / x.low)


def _check_positive(x: Range) -> None:
    if not np.all(x.low > LEAST):
        raise NoBoundError("what it takes may not be positive on the domain")


def _slopes(low: Array, high: Array) -> Steps:
    """Slopes between the least and the largest of the domain, rounded outwards."""
    least, most = float(np.min(low[DOMAIN])), float(np.max(high[DOMAIN]))
    return Steps((Slopes(least - 1e-12 * abs(least), most + 1e-12 * abs(most)),))


def _check_ranks(given: Sequence[Range]) -> None:
    """Raises where numpy would line up other axes than Keras."""
    if len({each.low.ndim for each in given}) > 1:
        raise NoBoundError("factors with different numbers of axes have no rule")


def _weight(factor: Range, moving: Range) -> float:
    """By how much the product moves where `moving` does and `factor` stays."""
    pairs = zip(factor.low.shape[1:], moving.low.shape[1:], strict=True)
    spread = [axis for axis, (own, other) in enumerate(pairs) if own > 1 and other == 1]
    return round_up(float(np.max(factor.length(spread))), 8)


def _multiplied(first: Range, second: Range) -> Range:
    """The range of the product, and how far it moves as a whole."""
    corners = [a * b for a in (first.low, first.high) for b in (second.low, second.high)]
    found = widened(np.minimum.reduce(corners), np.maximum.reduce(corners))
    # f g − f₀ g₀ = (f − f₀) g + f₀ (g − g₀), and the same with both exchanged.
    ways = [_moved(first, second), _moved(second, first)]
    return found.within(min(ways))


def _moved(moving: Range, other: Range) -> float:
    """A bound of ‖(f − f₀) g‖ + ‖f₀ (g − g₀)‖, where f is `moving` and 0 the center."""
    reach = np.maximum(
        other.high[DOMAIN] - other.low[CENTER], other.high[CENTER] - other.low[DOMAIN]
    )
    there = float(np.linalg.norm((moving.size[CENTER] * reach).ravel()))
    return _times(_weight(other, moving), moving.spread) + there * (1 + WIDENED)


def _times(factor: float, spread: float) -> float:
    return 0.0 if 0.0 in (factor, spread) else factor * spread * (1 + WIDENED)


def _how(weights: Sequence[float]) -> str:
    return "on the domain, " + " + ".join(f"{each:.4g} × branch" for each in weights)
