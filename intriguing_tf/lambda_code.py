"""Lambdas in the configurations that Keras writes: what they compute, without where they stand.

Keras keeps a lambda as its marshalled code, with file and line, and with flags of how often an
object was in use: saved and loaded, or three lines lower, the same lambda is another string.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable
from typing import Any

import keras

_DUMPED = {"code", "defaults", "closure"}  # as a `Lambda` has it


def is_lambda(code: Any) -> bool:
    """Whether it is a lambda."""
    return inspect.isfunction(code) and code.__name__ == "<lambda>"


def compiled(function: types.FunctionType) -> str:
    """Returns what a function was compiled to."""
    return repr(_instructions(function.__code__))


def compiled_lambdas(layers: Iterable[keras.layers.Layer]) -> list[str]:
    """Returns what the lambdas of `keras.layers.Lambda` layers were compiled to."""
    lambdas = (layer for layer in layers if isinstance(layer, keras.layers.Lambda))
    return [compiled(each) for layer in lambdas for each in vars(layer).values() if is_lambda(each)]


def without_code(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a part of a configuration; if it is a lambda's, without the code."""
    if config.keys() == _DUMPED:
        return {key: value for key, value in config.items() if key != "code"}
    match config.get("value"):  # as other layers have it; an activation's with no more around it
        case [str(code), None | [*_] as defaults, None | [*_] as closure]:
            if len(config) == 1 and code.endswith("\n"):  # as base64 in lines does
                return {"value": [defaults, closure]}
    return config


def _instructions(code: types.CodeType) -> list[Any]:
    """What code does, that of functions within it too."""
    return [
        code.co_code.hex(),
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount],
        [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
        [_constant(each) for each in code.co_consts],
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _instructions(value)
    if isinstance(value, tuple):
        return [_constant(each) for each in value]
    if isinstance(value, frozenset):  # in another order in every process
        return sorted(map(repr, value))
    return repr(value)
