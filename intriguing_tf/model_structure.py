"""What makes a Keras model the function that it is, but for the values of its weights."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.keras_graph import call_arguments, is_functional, layers_in, nodes_of
from intriguing_tf.origins import is_of

# What Keras keeps on models and layers for training and calls, which changes no prediction.
_KEPT = frozenset(
    {
        "_called", "_compile_config", "_compile_loss", "_compile_metrics", "_jit_compile",
        "_compiled_trainable_state", "_eval_epoch_iterator", "_initial_epoch", "_loss_tracker",
        "_run_eagerly", "_trainable", "compiled", "history", "is_awq_calibrated",
        "is_gptq_calibrated", "loss", "optimizer", "predict_function", "steps_per_execution",
        "stop_evaluating", "stop_predicting", "stop_training", "test_function", "train_function",
    }
)  # fmt: skip
_SIMPLE = (bool, bytes, float, int, str)  # compared by their values
# What these hold is not looked into.
_PACKAGES = ("builtins", "intriguing_tf", "keras", "logging", "numpy", "tensorflow")


class Structure:
    """A model's layers, variables and whatever is set on its layers, as they are now.

    Attributes are looked at, not configurations, which take ten times as long and which layers of
    one's own need not have. Objects are compared by identity, arrays by their values. Of what is
    the user's own, all that it holds is looked at: attributes of layers and of their classes, and
    what their functions use from outside.

    Args:
        model: a built model.
    """

    def __init__(self, model: keras.Model):
        layers = [model, *layers_in(model)]
        # The objects themselves are kept, so that no other takes the identity of one.
        self._parts: dict[Any, Any] = {"": _All((*layers, *model.weights))}
        self._weights = set(map(id, model.weights))
        seen = set(map(id, self._parts[""]))
        for layer in layers:
            own, number = not is_of(type(layer), _PACKAGES), id(layer)
            for name, value in list(vars(layer).items()):  # another thread may set one
                if name in _KEPT:
                    continue
                looked_into = name[0] != "_" or (own and not _is_keras_own(name))
                if looked_into and not (value is None or isinstance(value, _SIMPLE)):
                    value = _All(_within(value, seen))
                self._parts[number, name] = value
            for where, value in _of_class(type(layer)) if own else ():
                self._parts[number, where] = _All(_within(value, seen))
            if is_functional(layer):
                graph = _in_graph(layer)
                self._parts[number, "graph"] = _All(
                    x for each in graph for x in _within(each, seen)
                )

    def values(self) -> list[bytes]:
        """The values of variables that the model computes with, and which are no weights of it."""
        held = [each for part in self._parts.values() if isinstance(part, _All) for each in part]
        variables = {
            id(each): each for each in held if isinstance(each, (keras.Variable, tf.Variable))
        }
        return [
            keras.ops.convert_to_numpy(variable).tobytes()
            for number, variable in variables.items()
            if number not in self._weights
        ]

    def changes(self, other: Structure) -> set[Any]:
        """Where another structure differs, given the same weights."""
        mine, others = self._parts, other._parts
        return (mine.keys() ^ others.keys()) | {
            where
            for where, part in mine.items()
            if where in others and part is not others[where] and not _equal(part, others[where])
        }


class _All(tuple):
    """All that a value holds, and itself."""


def _is_keras_own(name: str) -> bool:
    """Whether Keras, or TensorFlow below it, keeps something by this name on any layer or model."""
    return name.startswith("_self_") or name in _kept_by_keras()


@functools.cache
def _kept_by_keras() -> set[str]:
    return {*vars(keras.layers.Layer(name="any")), *vars(keras.Model(name="any"))}


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    """Yields what a layer's own classes hold and use from outside, and where."""
    for each in kind.__mro__:
        if is_of(each, _PACKAGES):
            continue
        for name, value in vars(each).items():
            if inspect.isfunction(value):
                for used in _names(value.__code__):
                    yield f"{each.__qualname__} uses {used}", value.__globals__.get(used)
            elif not name.startswith("__"):
                yield f"{each.__qualname__}.{name}", value


def _in_graph(model: keras.Model) -> Iterator[Any]:
    """Yields the arguments of the calls in a model's graph, and the settings of its operations."""
    for node in nodes_of(model):
        yield from call_arguments(node)
        if not isinstance(node.operation, keras.layers.Layer):
            yield from vars(node.operation).values()


def _within(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yields a value, and what a container, an object or a function of the user's own holds."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, np.ndarray):
            yield from (*each.shape, each.dtype.str, each.tobytes())
            continue
        yield each
        if not isinstance(each, (*_SIMPLE, types.ModuleType)) and id(each) not in seen:
            seen.add(id(each))
            waiting += _held(each)


def _held(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if inspect.isclass(value) or is_of(
        value if inspect.isfunction(value) else type(value), _PACKAGES
    ):
        return ()
    if inspect.isfunction(value):
        cells = [c.cell_contents for c in value.__closure__ or () if c != types.CellType()]
        used = [value.__globals__.get(name) for name in _names(value.__code__)]
        return [*cells, *used, value.__defaults__, value.__kwdefaults__]
    return vars(value).values() if hasattr(value, "__dict__") else ()


@functools.cache
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names that code uses from outside, with that of functions within it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return (*code.co_names, *(name for each in inner for name in _names(each)))


def _equal(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, _All):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(x is y or _equal(x, y) for x, y in pairs)
    return isinstance(first, _SIMPLE) and first == second
