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
_PACKAGES = ("builtins", "keras", "tensorflow")  # what these hold is not looked into


class Structure:
    """A model's layers, variables and whatever is set on its layers, as they are now.

    Attributes are looked at, not configurations, which take ten times as long and which layers of
    one's own need not have. Objects are compared by identity, arrays by their values. Of what is
    the user's own, all that it holds is looked at, and what its functions use from outside.

    Args:
        model: a built model.
    """

    def __init__(self, model: keras.Model):
        layers = [model, *layers_in(model)]
        # The objects themselves are kept, so that no other takes the identity of one.
        self._parts: dict[Any, Any] = {"": _All((*layers, *model.weights))}
        seen = {id(each) for each in self._parts[""]}
        for layer in layers:
            own, number = not is_of(type(layer), _PACKAGES), id(layer)
            for name, value in vars(layer).items():
                if name in _KEPT:
                    continue
                looked_into = name[0] != "_" or (own and not _is_keras_own(name))
                if looked_into and not (value is None or isinstance(value, _SIMPLE)):
                    value = _All(_within(value, seen))
                self._parts[number, name] = value
            if own:
                self._parts[number, ""] = _All(_within(type(layer).call, seen))
            if is_functional(layer):
                graph = _in_graph(layer)
                self._parts[number, "graph"] = _All(
                    x for each in graph for x in _within(each, seen)
                )

    def values(self) -> list[bytes]:
        """The values of the model's weights, and of other variables that it computes with."""
        held = [each for part in self._parts.values() if isinstance(part, _All) for each in part]
        variables = [each for each in held if isinstance(each, (keras.Variable, tf.Variable))]
        return [keras.ops.convert_to_numpy(variable).tobytes() for variable in variables]

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


@functools.cache
def _is_keras_own(name: str) -> bool:
    """Whether Keras, or TensorFlow below it, keeps something by this name on any layer or model."""
    return name.startswith("_self_") or any(
        name in vars(each) for each in (keras.layers.Layer(), keras.Model())
    )


def _in_graph(model: keras.Model) -> Iterator[Any]:
    """Yields the arguments of the calls in a model's graph, and the settings of its operations."""
    for node in nodes_of(model):
        yield from call_arguments(node)
        if not isinstance(node.operation, keras.layers.Layer):
            yield from vars(node.operation).values()


def _within(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yields a value, and what a container, an object or a function of the user's own holds."""
    if isinstance(value, np.ndarray):
        yield from (*value.shape, value.dtype.str, value.tobytes())
        return
    yield value
    if isinstance(value, (*_SIMPLE, types.ModuleType)) or id(value) in seen:
        return
    seen.add(id(value))
    for each in _held(value):
        yield from _within(each, seen)


def _held(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if is_of(value if inspect.isfunction(value) else type(value), _PACKAGES):
        return ()
    if inspect.isfunction(value):
        cells = [c.cell_contents for c in value.__closure__ or () if c != types.CellType()]
        used = [value.__globals__.get(name) for name in value.__code__.co_names]
        return [*cells, *used, value.__defaults__, value.__kwdefaults__]
    return vars(value).values() if hasattr(value, "__dict__") and not inspect.isclass(value) else ()


def _equal(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, _All):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(x is y or _equal(x, y) for x, y in pairs)
    return isinstance(first, _SIMPLE) and first == second
