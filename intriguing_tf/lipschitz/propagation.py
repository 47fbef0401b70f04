"""Follows a model's calls on a domain: ranges of tensors, and the rules that they allow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz.copies import run_compared
from intriguing_tf.lipschitz.domain import boxes_of
from intriguing_tf.lipschitz.domain_rules import power_of_two_tensors, rule_on_domain
from intriguing_tf.lipschitz.evaluation import EvaluatedCall, OnDomain, run_call
from intriguing_tf.lipschitz.exactness import check_call
from intriguing_tf.lipschitz.graph import Call, Tensor, calls_of
from intriguing_tf.lipschitz.ranges import DOMAIN, Range, follow, range_of
from intriguing_tf.lipschitz.registry import errors_named
from intriguing_tf.lipschitz.rounding import product_up
from intriguing_tf.lipschitz.steps import (
    LayerBound,
    NoBoundError,
    Norm,
    Regroup,
    Slopes,
    Step,
    Steps,
    Weighted,
)
from intriguing_tf.lipschitz.walk import Anywhere, combined, rule_of

# Where all tensors of an example have more numbers than this, ranges end with the last product.
FOLLOWED = 2**22
# Points of the box, and of the intervals of each call, at which copy and model are compared.
POINTS = 2
Array = np.ndarray
_ON_A_DOMAIN = "On a box of inputs it may have a bound: give a `domain=(low, high)`."


class AnyInput(Anywhere):
    """No ranges; what only a domain bounds is refused with that advice."""

    def rule_of(self, call: Call) -> LayerBound | Steps:
        if rule_on_domain(call) in (None, power_of_two_tensors):
            return rule_of(call)
        check_call(call.operation, call.node)  # what a domain does not help
        try:
            return rule_of(call)
        except NoBoundError as error:
            why = str(error).rstrip(".")
            raise NoBoundError(f"{why}. {_ON_A_DOMAIN}") from error


class Ranges(Anywhere):
    """The ranges of a model's tensors while its inputs stay in a box.

    Where a layer has no range, tensors behind it have none: then activations keep the slopes that
    they have anywhere, and products are refused. Numbers are followed on a copy in float64, each
    call of which is compared with the model's own, at points of the box and of its intervals.

    Args:
        model: the model.
        domain: as `domain.boxes_of` takes it.

    Attributes:
        on_domain: what was bounded so far that only a domain bounds, by the call's number.

    Raises:
        ValueError: a domain that does not fit, or a model that cannot be copied to float64.
    """

    def __init__(self, model: keras.Model, domain: Any):
        self.on_domain: dict[int, OnDomain] = {}
        boxes = boxes_of(domain, [x.shape for x in model.inputs])
        graph = calls_of(float64_copy(model))
        self._copies = {call.number: call for call in graph.calls}
        self._last = _last_followed(calls_of(model).calls)
        self._known: dict[Tensor, Range | str] = {
            tensor: range_of(*box) for tensor, box in zip(graph.inputs, boxes, strict=True)
        }
        self._spreads = {tensor: known.spread for tensor, known in self._found(graph.inputs)}
        self._random = np.random.default_rng(0)
        self._values = {tensor: self._points(known) for tensor, known in self._found(graph.inputs)}

    def multiplies(self, call: Call) -> bool:
        """Whether the rule of a call needs the ranges of several inputs."""
        return len(call.inputs) > 1 and rule_on_domain(call) is not None

    def rule_of(self, call: Call) -> LayerBound | Steps:
        """The rule of a call on the domain, whose outputs' ranges are found on the way.

        Raises:
            NoBoundError: there is none.
            ValueError: the copy computes something else than the model.
        """
        only_here = rule_on_domain(call)
        try:
            # What overflows is no finite range, and refused as such.
            with np.errstate(over="ignore", invalid="ignore"):
                if only_here is None:
                    return self._followed(call, rule_of(call))
                check_call(call.operation, call.node)
                with errors_named(call.operation):
                    given = self._needed(call.inputs)
                    result, found = only_here(given)
                    if not found.is_finite:
                        raise NoBoundError("its values grow beyond floating point on the domain")
        except NoBoundError as error:
            self._known.update(dict.fromkeys(call.outputs, str(error)))
            raise
        self._note(call, [found], run_call(call.operation, call.node, self._entering(call)))
        intervals = [(each.low[DOMAIN].copy(), each.high[DOMAIN].copy()) for each in given]
        self.on_domain[call.number] = OnDomain(result, intervals)
        return result

    def norm(self, step: Step, attained: bool = True) -> Norm:
        """The norm of a step; what it attains elsewhere counts only if it is linear."""
        norm = step.norm(attained)
        everywhere = step.linear or isinstance(step, Regroup)
        return norm if everywhere else dataclasses.replace(norm, lower=None)

    def limit(self, tensor: Tensor, root: Tensor, factor: float) -> None:
        """Notes that a tensor moves by no more than `factor` times what `root` moves by."""
        self._limited(tensor, product_up([self._spreads.get(root, math.inf), factor]))

    def merge(self, call: Call, rule: LayerBound) -> None:
        """Notes by how much the outputs of a call with several inputs move."""
        if isinstance(rule, Weighted):
            return  # its rule has said so
        spread = combined(rule, [self._spreads.get(tensor, math.inf) for tensor in call.inputs])
        for tensor in call.outputs:
            self._limited(tensor, spread)

    def forget(self, tensors: Iterable[Tensor]) -> None:
        """Drops the ranges of tensors."""
        for tensor in tensors:
            self._known.pop(tensor, None)
            self._values.pop(tensor, None)

    def _followed(self, call: Call, result: LayerBound | Steps) -> LayerBound | Steps:
        """The rule with the slopes of its activation on the domain."""
        if call.number > self._last:
            return result
        try:
            given = self._needed(call.inputs)
            copied = EvaluatedCall(self._copies[call.number], result)
            entering, outputs = follow(copied, given)
            values = self._compared(call, copied, given)
        except NoBoundError as error:
            self._known.update(dict.fromkeys(call.outputs, str(error)))
            return result
        self._note(call, outputs, values)
        last = result.steps[-1] if result.steps else None
        if entering is None or not isinstance(last, Slopes) or not entering.is_finite:
            return result
        narrow = last.within(entering.low[:1], entering.high[:1])
        return Steps((*result.steps[:-1], narrow), *_labels(result))

    def _points(self, known: Range) -> Array:
        """Random points of a tensor's intervals, [POINTS, *one example]: many near the ends."""
        share = self._random.beta(0.5, 0.5, (POINTS, *known.low.shape[1:]))
        return (1 - share) * known.low[DOMAIN] + share * known.high[DOMAIN]

    def _entering(self, call: Call) -> list[Any]:
        """What enters a call of the model at the points of the box, in its own precision."""
        pairs = zip(call.inputs, call.node.input_tensors, strict=True)
        return [tf.cast(self._values[tensor], x.dtype) for tensor, x in pairs]

    def _compared(self, call: Call, copied: EvaluatedCall, given: Sequence[Range]) -> list[Any]:
        """What the model's call gives at the points of the box; the copy's gives the same.

        They are compared at points of the intervals, too: more than the box reaches.
        """
        pairs = zip(self._entering(call), given, strict=True)
        tensors = [tf.concat([x, tf.cast(self._points(known), x.dtype)], 0) for x, known in pairs]
        return [each[:POINTS] for each in run_compared(call, copied, tensors)]

    def _note(self, call: Call, outputs: Sequence[Range], values: Sequence[Any]) -> None:
        """Notes the ranges of a call's outputs, and what they are at the points of the box."""
        why = f"the numbers behind {call.name!r} grow beyond floating point on the domain"
        for tensor, found in zip(call.outputs, outputs, strict=True):
            self._known[tensor] = found if found.is_finite else why
            self._spreads[tensor] = found.spread
        self._values.update(zip(call.outputs, values, strict=True))

    def _limited(self, tensor: Tensor, spread: float) -> None:
        spread = min(spread, self._spreads.get(tensor, math.inf))
        self._spreads[tensor] = spread
        for _, known in self._found([tensor]):
            self._known[tensor] = known.within(spread)

    def _found(self, tensors: Iterable[Tensor]) -> list[tuple[Tensor, Range]]:
        pairs = [(tensor, self._known.get(tensor)) for tensor in tensors]
        return [(tensor, known) for tensor, known in pairs if isinstance(known, Range)]

    def _needed(self, tensors: Sequence[Tensor]) -> list[Range]:
        """The ranges of tensors.

        Raises:
            NoBoundError: one has none, and why.
        """
        for tensor in tensors:
            known = self._known.get(tensor, "nothing is known of its input")
            if isinstance(known, str):
                raise NoBoundError(f"its inputs have no range on the domain: {known}")
        return [known for _, known in self._found(tensors)]


def _labels(result: LayerBound | Steps) -> tuple[str, str]:
    return result.size, result.stride


def _last_followed(calls: Sequence[Call]) -> float:
    """The number of the last call whose ranges are found."""
    shapes = [tensor.shape[1:] for call in calls for tensor in call.node.outputs]
    if sum(math.prod(size or 1 for size in shape) for shape in shapes) <= FOLLOWED:
        return math.inf
    return max((call.number for call in calls if rule_on_domain(call) is not None), default=-1)
