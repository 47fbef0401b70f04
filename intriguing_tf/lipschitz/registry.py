"""The table from layer type to rule, open to layers of your own."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from intriguing_tf.keras_graph import is_keras_operation
from intriguing_tf.lipschitz.steps import LayerBound, NoBoundError, Shape, Steps


@dataclasses.dataclass(frozen=True)
class Inner:
    """What a rule returns for a wrapper: its bound is that of `layer` by itself.

    Args:
        layer: a layer or a model.
        input_shapes: of the layer's inputs.
    """

    layer: Any
    input_shapes: Sequence[Shape]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What becomes of each argument of a layer's constructor, and of its `call`.

    One that is in none of these is unknown: `tests/lipschitz/test_exactness.py` fails for it, so
    that a new release of Keras cannot add one unseen.

    Args:
        reads: the rule reads it.
        weights: it shows in the weights, which are read, or adds a constant.
        training: it does nothing after training.
        refused: the layer is refused unless it has its default.
    """

    reads: frozenset[str]
    weights: frozenset[str]
    training: frozenset[str]
    refused: frozenset[str]

    @property
    def known(self) -> frozenset[str]:
        return self.reads | self.weights | self.training | self.refused


Rule = Callable[[Any, Sequence[Shape]], LayerBound | Steps | Inner]

_arguments: dict[type, Arguments] = {}
_built_in: dict[type, Rule] = {}
_registered: dict[type, Rule] = {}
_unbounded: dict[type, str] = {}


def register(*layer_classes: type) -> Callable[[Rule], Rule]:
    """Registers the rule of a layer class; it replaces an earlier one and the package's own.

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
    return _filed_in(_registered, layer_classes)


def is_registered(kind: type) -> bool:
    """Whether a user has registered a rule for this class."""
    return kind in _registered


def built_in(
    *layer_classes: type, reads: str = "", weights: str = "", training: str = "", refused: str = ""
) -> Callable[[Rule], Rule]:
    """Adds a rule of this package, which a registered one replaces whenever it is registered.

    Args:
        layer_classes: the classes, exactly these.
        reads, weights, training, refused: names of the constructor's arguments, as in `Arguments`,
            divided by spaces. Those that every layer has are in `exactness.EVERY_LAYER`.
    """
    names = (frozenset(each.split()) for each in (reads, weights, training, refused))
    _arguments.update(dict.fromkeys(layer_classes, Arguments(*names)))
    return _filed_in(_built_in, layer_classes)


def _filed_in(table: dict[type, Rule], layer_classes: Sequence[type]) -> Callable[[Rule], Rule]:
    def decorate(rule: Rule) -> Rule:
        table.update(dict.fromkeys(layer_classes, rule))
        return rule

    return decorate


def known_arguments() -> dict[type, Arguments]:
    """The arguments of each layer class that has a rule of this package."""
    return dict(_arguments)


def why_unbounded(kind: type) -> str | None:
    """The reason why layers of this class have no finite bound; `None` if none is recorded."""
    return _unbounded.get(kind)


def unbounded(reason: str, *layer_classes: type) -> None:
    """Records that layers of these classes have no finite bound, and why."""
    _unbounded.update(dict.fromkeys(layer_classes, reason))


def apply_rule(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound | Steps | Inner:
    """Returns what the layer's rule says.

    Raises:
        NoBoundError: the layer has no rule, or no finite bound.
        TypeError: the rule returned something else than a `LayerBound`.
    """
    kind = type(layer)
    rule = _registered.get(kind) or _built_in.get(kind)
    name = name_of(layer)
    if rule is None:
        if kind in _unbounded:
            raise NoBoundError(f"{name} has no finite Lipschitz bound: {_unbounded[kind]}.")
        raise NoBoundError(
            f"No Lipschitz rule is registered for {name[0].lower()}{name[1:]}. Register one: "
            f"@intriguing_tf.lipschitz.register({kind.__name__}) over a function "
            "(layer, input_shapes) -> LayerBound."
        )
    with errors_named(layer):
        check_finite(layer)
        if kind not in _registered:
            check_defaults(layer, _arguments[kind].refused)
        result = rule(layer, input_shapes)
    if not isinstance(result, LayerBound | Steps | Inner):
        raise TypeError(f"The rule of {name} must return a LayerBound. Received: {result!r}.")
    if isinstance(result, LayerBound) and math.isinf(result.bound):
        raise NoBoundError(f"{name} has no finite Lipschitz bound: {result.how}.")
    return result


def check_defaults(layer: Any, names: frozenset[str]) -> None:
    """Raises unless these attributes of a layer have their constructor's defaults.

    Of what the constructor takes as `**kwargs`, and its signature does not name, that is off.
    """
    parameters = inspect.signature(type(layer).__init__).parameters
    for name in sorted(names):
        default = parameters[name].default if name in parameters else False
        value = getattr(layer, name, default)
        if value != default and (name in parameters or value is not None):
            raise NoBoundError(f"its rule does not cover {name}={value!r}")


def check_finite(layer: Any) -> None:
    """Raises unless all weights of a layer are finite, biases too, which no norm reads."""
    for weight in getattr(layer, "weights", ()):
        values = keras.ops.convert_to_numpy(weight)
        if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            raise ValueError(f"its weight {weight.name!r} must be finite, and is not.")


@contextlib.contextmanager
def errors_named(layer: Any) -> Iterator[None]:
    """Within it, a ValueError is raised again with the layer's name before its message."""
    try:
        yield
    except NoBoundError as error:
        raise NoBoundError(f"{name_of(layer)}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name_of(layer)}: {error}") from error


def key_of(operation: Any) -> Any:
    """What tables of rules are filed under: a layer's class, the class name of an operation."""
    kind = type(operation)
    return kind.__name__ if is_keras_operation(operation) else kind


def name_of(layer: Any) -> str:
    """Returns how errors name a layer or an operation."""
    what = "Layer" if isinstance(layer, keras.layers.Layer) else "Operation"
    return f"{what} {layer.name!r} ({type(layer).__name__})"
