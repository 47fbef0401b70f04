"""Rules that hold on a domain only: products, quotients, and functions that grow ever steeper.

For y = f · g, entry by entry: ‖Δy‖ ≤ max|g| ‖Δf‖ + H ‖Δg‖, where H is the largest, over the entries
of g, l2 norm of what the entry multiplies: the channel's map where g is a gate per channel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.keras_graph import call_arguments
from intriguing_tf.lipschitz.graph import Call
from intriguing_tf.lipschitz.ranges import CENTER, DOMAIN, LEAST, WIDENED, Range, widened
from intriguing_tf.lipschitz.registry import is_registered, key_of
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
    key = key_of(layer)
    rule = _power_of(call) if key == "Power" else _RULES.get(key)
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


def power(exponent: float, given: Sequence[Range]) -> Found:
    """Where x is positive; anywhere, if the exponent is a whole number from 1 on."""
    (x,) = given
    low, high = x.low, x.high
    with np.errstate(over="ignore"):
        exponents = {exponent, float(np.float32(exponent))}  # as float64 and float32 compute
    if not np.all(np.isfinite(list(exponents))):
        raise NoBoundError(f"its exponent {exponent:g} is infinite in float32")
    whole = exponent >= 1 and exponent.is_integer()
    if not whole:
        _check_positive(x)
    # Value and slope are largest and least at the ends, or at 0.
    places = [low, high, np.clip(0.0, low, high)] if whole else [low, high]
    with np.errstate(over="ignore"):
        values = [each**e for each in places for e in exponents]
        slopes = [e * each ** (e - 1) for each in places for e in exponents]
    return _slopes(slopes), widened(np.minimum.reduce(values), np.maximum.reduce(values))


LOG2, LOG10 = np.log(2.0), np.log(10.0)
# Functions that rise everywhere, or on positive numbers; their slopes only rise, or only fall.
_RISING: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "Exp": (np.exp, np.exp),
    "Exp2": (np.exp2, lambda x: np.exp2(x) * LOG2),
    "Expm1": (np.expm1, np.exp),
    "Log": (np.log, lambda x: 1 / x),
    "Log10": (np.log10, lambda x: 1 / (x * LOG10)),
    "Log2": (np.log2, lambda x: 1 / (x * LOG2)),
}


def rising(name: str, given: Sequence[Range]) -> Found:
    (x,) = given
    function, slope = _RISING[name]
    if name.startswith("Log"):
        _check_positive(x)
    with np.errstate(over="ignore"):
        slopes = [slope(x.low), slope(x.high)]
        values = widened(function(x.low), function(x.high))
    return _slopes(slopes), values


exponential = functools.partial(rising, "Exp")
_RULES.update({name: functools.partial(rising, name) for name in _RISING})
for _name, _exponent in {"Reciprocal": -1.0, "Rsqrt": -0.5, "Sqrt": 0.5, "Square": 2.0}.items():
    _RULES[_name] = functools.partial(power, _exponent)


@on_a_domain("Log1p")
def logarithm_of_more(given: Sequence[Range]) -> Found:
    (x,) = given
    return rising("Log", [widened(1 + x.low, 1 + x.high)])


@on_a_domain("Power")
def power_of_two_tensors(given: Sequence[Range]) -> Found:
    raise NoBoundError("only x ** number, with a constant number, has a rule")


def _power_of(call: Call) -> Rule | None:
    """The rule of x ** number."""
    positional, keywords = call_arguments(call.node)
    base, exponent = (*positional, *keywords.values())
    if not isinstance(base, keras.KerasTensor) or isinstance(exponent, keras.KerasTensor):
        return _RULES["Power"]
    number = np.asarray(keras.ops.convert_to_numpy(exponent))
    return functools.partial(power, float(number)) if number.ndim == 0 else _RULES["Power"]


def _check_positive(x: Range) -> None:
    if not np.all(x.low > LEAST):
        raise NoBoundError("what it takes may not be positive on the domain")


def _slopes(found: Sequence[Array]) -> Steps:
    """Slopes between the least and the largest of the domain, rounded outwards."""
    least = min(float(np.min(each[DOMAIN])) for each in found)
    most = max(float(np.max(each[DOMAIN])) for each in found)
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
