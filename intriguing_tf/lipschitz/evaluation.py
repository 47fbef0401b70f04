"""Evaluates a model call by call, with a bound of the rounding error of every number."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.keras_graph import call_arguments
from intriguing_tf.lipschitz.activation_errors import activation_error, is_straight
from intriguing_tf.lipschitz.evaluation_errors import (
    Rounded,
    Rule,
    activation,
    error_rule,
    multiplied,
)
from intriguing_tf.lipschitz.graph import Call, Tensor, calls_of
from intriguing_tf.lipschitz.registry import errors_named, name_of
from intriguing_tf.lipschitz.rounding import LEAST, UNIT_ROUNDOFF, product_up
from intriguing_tf.lipschitz.steps import (
    LayerBound,
    NoBoundError,
    Slopes,
    Softmax,
    Step,
    Steps,
    Weighted,
)
from intriguing_tf.lipschitz.walk import combined, logits_graph, rule_of

Array = np.ndarray
# What sums of numbers that underflow in float32 may lose.
UNDERFLOW32 = 1e-36
# Sums of numbers that are smaller do not overflow in float32.
LARGEST32 = 1e30


@dataclasses.dataclass(frozen=True)
class OnDomain:
    """What only a domain bounds, there: a call's rule, and where the numbers of its inputs lie.

    Args:
        rule: its Lipschitz rule.
        intervals: of each input the least and the largest value of every number of one example.
    """

    rule: LayerBound | Steps
    intervals: Sequence[tuple[Array, Array]]


class Evaluator:
    """Evaluates the logits of a classifier.

    Args:
        model: a copy in float64, so that what the layers compute is what is bounded.
        single: whether the model itself computes in float32, with fewer exponents.
        on_domain: the calls that only a domain bounds, by their number; the errors then hold for
            images in it.

    Attributes:
        floor: what numbers that underflow may lose.
        largest: beyond it sums may overflow; of such numbers nothing is known.

    Raises:
        NoBoundError: a layer has no rule, or no bound of its rounding errors.
    """

    def __init__(
        self, model: keras.Model, single: bool, on_domain: Mapping[int, OnDomain] | None = None
    ):
        self.floor, self.largest = (UNDERFLOW32, LARGEST32) if single else (LEAST, 1 / LEAST)
        self.graph = logits_graph(calls_of(model))
        known = on_domain or {}
        self.calls = [_evaluated(call, known, self.largest) for call in self.graph.calls]
        self._slopes = dict.fromkeys(self.graph.inputs, 1.0)
        for each in self.calls:
            bound = each.bound([self._slopes[tensor] for tensor in each.call.inputs])
            self._slopes.update(dict.fromkeys(each.call.outputs, bound))

    @property
    def squashes(self) -> bool:
        """Whether a softmax or sigmoid on top of the logits was left out."""
        return self.head is not None

    @property
    def head(self) -> Step | None:
        """The softmax or sigmoid on top of the logits that was left out."""
        for each in self.calls:
            if not each.call.squashes:
                rule = rule_of(dataclasses.replace(each.call, squashes=True))
                return rule.steps[-1] if isinstance(rule, Steps) else None
        return None

    @property
    def numbers(self) -> int:
        """How many numbers the tensors of one example have; an unknown size counts as 1."""
        shapes = [x.shape[1:] for each in self.calls for x in each.call.node.outputs]
        return sum(math.prod(size or 1 for size in shape) for shape in shapes)

    def __call__(self, images: Array) -> BatchValues:
        """Evaluates a batch, float64 [n, *input shape]."""
        values = {self.graph.inputs[0]: tf.convert_to_tensor(images, tf.float64)}
        for each in self.calls:
            outputs = each.run([values[tensor] for tensor in each.call.inputs])
            values.update(zip(each.call.outputs, outputs, strict=True))
        return BatchValues(self, values, self._slopes)


@dataclasses.dataclass(frozen=True)
class BatchValues:
    """The numbers of one batch.

    Args:
        evaluator: what evaluated them.
        values: of each tensor, float64 [n, …].
        slopes: a Lipschitz bound of each tensor as a function of the input.
    """

    evaluator: Evaluator
    values: dict[Tensor, Any]
    slopes: dict[Tensor, float]

    @property
    def output(self) -> Any:
        """The logits as a tensor, in the shape of the model's output."""
        return self.values[self.evaluator.graph.outputs[0]]

    @property
    def logits(self) -> Array:
        """float64 [n, classes]."""
        return self.output.numpy().reshape(len(self.output), -1)

    def errors(
        self, radius: Array | float = 0.0, unit: float = UNIT_ROUNDOFF, rounded: bool = False
    ) -> Array:
        """Bounds how far the computed logits lie from those of exact arithmetic.

        Args:
            radius: [n]; the errors at any point within it, not only at the batch itself.
            unit: the unit roundoff of the arithmetic.
            rounded: whether the inputs are rounded to it, too.

        Returns:
            float64 [n, classes].
        """
        radius = tf.constant(np.broadcast_to(radius, len(self.logits)), tf.float64)
        errors = self._errors(radius, unit, rounded)
        last = errors[self.evaluator.graph.outputs[0]].numpy()
        return last.reshape(len(last), -1)

    def entering(self, numbers: Sequence[int]) -> list[tuple[Array, Array]]:
        """Returns what enters the activation that ends each of these calls, and its errors.

        Args:
            numbers: of the calls.

        Returns:
            Per call, values and bounds of their errors at the images, float64 [n, …].
        """
        errors = self._errors(tf.zeros(len(self.output), tf.float64), UNIT_ROUNDOFF, False)
        calls = {each.call.number: each for each in self.evaluator.calls}
        found = []
        for number in numbers:
            tensors = calls[number].call.inputs
            sizes = [self._size(tensor, errors[tensor], 0.0) for tensor in tensors]
            given = [errors[tensor] for tensor in tensors]
            values = calls[number].run_linear([self.values[tensor] for tensor in tensors])
            _, error = calls[number].linear_errors(sizes, given, values, UNIT_ROUNDOFF)
            found.append((values.numpy(), error.numpy() + LEAST))
        return found

    def _errors(self, radius: Any, unit: float, rounded: bool) -> dict[Tensor, Any]:
        """The errors of every tensor; arguments as in `errors`."""
        images, largest = self.evaluator.graph.inputs[0], self.evaluator.largest
        floor = self.evaluator.floor if unit == UNIT_ROUNDOFF else UNDERFLOW32
        errors = {images: unit * tf.abs(self.values[images]) * float(rounded)}
        for each in self.evaluator.calls:
            sizes = [self._size(tensor, errors[tensor], radius) for tensor in each.call.inputs]
            given = [errors[tensor] for tensor in each.call.inputs]
            results = [self._size(tensor, 0.0, radius) for tensor in each.call.outputs]
            found = each.errors(sizes, given, results, unit)
            for tensor, error, size in zip(each.call.outputs, found, results, strict=True):
                # Sums err by the unit of all that they add up, and that must not overflow either.
                within = (size < largest) & (error < unit * largest)
                errors[tensor] = tf.where(within, error + floor, math.inf)
        return errors

    def _size(self, tensor: Tensor, error: Any, radius: Any) -> Any:
        """A bound of every number of a tensor, computed or exact, within the radius."""
        values = self.values[tensor]
        moved = radius * self.slopes[tensor] + tf.zeros(len(values), tf.float64)
        moved = tf.reshape(moved, [-1] + [1] * (len(values.shape) - 1))
        return (tf.abs(values) + error + moved) * (1 + 1e-12)


class EvaluatedCall:
    """One call, its rule and its error rule.

    Args:
        call: of a copy in float64.
        result: what its Lipschitz rule says, if that is known.
        intervals: where that holds for some inputs only, those of `OnDomain`. Exact numbers lie in
            them, and computed ones are brought there, no farther from the exact ones.
        largest: as in `Rounded`.
    """

    def __init__(
        self,
        call: Call,
        result: LayerBound | Steps | None = None,
        intervals: Sequence[tuple[Array, Array]] = (),
        largest: float = 1 / LEAST,
    ):
        self.call, self._largest = call, largest
        self._intervals = intervals
        # After training the wrapper is the layer within it.
        wrapped = type(call.operation) is keras.layers.SpectralNormalization
        self._operation = call.operation.layer if wrapped else call.operation
        self._result = rule_of(call) if result is None else result
        self._rule = error_rule(self._operation, self._result)
        self._activated = self._rule is multiplied
        steps = self._result.steps[1:] if self._activated else self._result.steps
        ending = steps if self._activated or self._rule is activation else ()
        if len(ending) > 1 or not all(isinstance(step, (Slopes, Softmax)) for step in ending):
            raise NoBoundError(
                f"{name_of(self._operation)}: no bound of the rounding errors of its activation is "
                "known, so that no radius can be certified. `bound` takes it."
            )
        self._step = ending[0] if ending else None  # the activation that ends the call

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the call."""
        return self._result.steps

    @property
    def rule(self) -> Rule:
        """The error rule."""
        return self._rule

    @property
    def ending(self) -> Step | None:
        """The activation that ends the call, if one does."""
        return self._step

    def bound(self, slopes: Sequence[float]) -> float:
        """A Lipschitz bound of the outputs, from those of the inputs."""
        if isinstance(self._result, LayerBound):
            return combined(self._result, slopes)
        norms = [step.norm(attained=False).upper for step in self._result.steps]
        return product_up([*slopes, *norms])

    def run(self, tensors: Sequence[Any]) -> list[Any]:
        """Runs the call, its activation included."""
        if self._intervals:
            pairs = zip(tensors, self._intervals, strict=True)
            tensors = [tf.clip_by_value(tensor, *ends) for tensor, ends in pairs]
        if self._activated:
            (linear,) = self._linear(*tensors)
            return [self.activate(linear)]
        if self._rule is activation and not self._result.steps:
            return list(tensors)  # what squashes the logits is left out
        return self._call(tensors)

    def activate(self, linear: Any) -> Any:
        """Runs the activation that ends the call, if one does."""
        if self._step is None:
            return linear
        return self._operation.activation(linear) if self._activated else self.run([linear])[0]

    def run_linear(self, tensors: Sequence[Any]) -> Any:
        """What enters the activation that ends the call."""
        return self._linear(*tensors)[0] if self._activated else tensors[0]

    def errors(
        self, sizes: Sequence[Any], errors: Sequence[Any], results: Sequence[Any], unit: float
    ) -> list[Any]:
        """The errors of the outputs."""
        size, found = self.linear_errors(sizes, errors, results[0], unit)
        if self._step is None:
            return list(found) if isinstance(found, (list, tuple)) else [found]
        straight = is_straight(self._operation)
        error = activation_error(self._step, straight, size, found, results[0], unit)
        return [error if straight else tf.where(size**2 < self._largest, error, math.inf)]

    def linear_errors(
        self, sizes: Sequence[Any], errors: Sequence[Any], result: Any, unit: float
    ) -> tuple[Any, Any]:
        """Size and errors of what enters the activation, of the outputs if there is none."""
        weights = self._result.weights if isinstance(self._result, Weighted) else ()
        given = Rounded(
            run=self._run_flat,
            operation=self._operation,
            node=self.call.node,
            sizes=sizes,
            errors=errors,
            result=result,
            unit=unit,
            largest=self._largest,
            weights=weights,
        )
        with errors_named(self._operation):
            found = self._rule(given)
        if self._step is None or not self._activated:
            return sizes[0], found
        (size,) = self._linear(*sizes, absolute=True)
        bias = getattr(self._operation, "bias", None)
        return (size + (0.0 if bias is None else tf.abs(bias)) + found) * (1 + 1e-9), found

    def _run_flat(self, *tensors: Any, absolute: bool = False) -> Any:
        outputs = (
            self._linear(*tensors, absolute=absolute) if self._activated else self._call(tensors)
        )
        return outputs[0] if len(outputs) == 1 else outputs

    def _linear(self, *tensors: Any, absolute: bool = False) -> list[Any]:
        """Runs the call without its activation, perhaps on absolute weights without a bias."""
        if absolute:
            return [self._absolute(*tensors)]
        with _without_activation(self._operation):
            return self._call(tensors)

    def _call(self, tensors: Sequence[Any]) -> list[Any]:
        outputs = run_call(self._operation, self.call.node, tensors)
        if any(each.dtype != tf.float64 for each in outputs):
            raise NoBoundError(
                f"{name_of(self._operation)} computes in another precision within a copy in "
                "float64, so that no radius can be certified. `bound` takes it."
            )
        return outputs

    @functools.cached_property
    def _absolute(self) -> Any:
        layer = self._operation
        twin = type(layer).from_config(layer.get_config())
        twin.activation = keras.activations.linear
        twin.build(self.call.input_shapes[0])
        twin.set_weights([np.abs(weight) for weight in layer.get_weights()])
        if getattr(layer, "lora_rank", None):
            twin.lora_alpha = abs(layer.lora_alpha)
        if getattr(twin, "bias", None) is not None:
            twin.bias.assign(tf.zeros_like(twin.bias))
        return twin


def run_call(operation: Any, node: Any, tensors: Sequence[Any]) -> list[Any]:
    """Returns what a layer or operation gives on tensors in the place of those of its call.

    Raises:
        NoBoundError: TensorFlow does not compute it, as 3-D pooling in float64.
    """
    remaining = iter(tensors)
    positional, keywords = keras.tree.map_structure(
        lambda x: next(remaining) if isinstance(x, keras.KerasTensor) else x, call_arguments(node)
    )
    keywords.pop("training", None)
    if "training" in inspect.signature(operation.call).parameters:
        keywords["training"] = False  # some layers are random by default
    try:
        return keras.tree.flatten(operation(*positional, **keywords))
    except tf.errors.OpError as error:
        of = tensors[0].dtype.name if tensors else "no input"
        raise NoBoundError(
            f"{name_of(operation)}: TensorFlow does not compute it here, of {of}, so that neither "
            f"a radius nor a bound on a domain is known. `bound` without one takes it. ({error})"
        ) from error


def _evaluated(call: Call, on_domain: Mapping[int, OnDomain], largest: float) -> EvaluatedCall:
    known = on_domain.get(call.number)
    rule, intervals = (known.rule, known.intervals) if known else (None, ())
    return EvaluatedCall(call, rule, intervals, largest)


@contextlib.contextmanager
def _without_activation(layer: Any) -> Iterator[None]:
    activation = layer.activation
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation
