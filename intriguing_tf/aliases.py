"""Names of version 0.1 that still work in 0.2, with a warning, and go in 0.3."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warns that a name is deprecated, at the place that used it."""
    warnings.warn(
        f"{old} is deprecated and goes in intriguing_tf 0.3: use {new}.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


class RenamedAttribute:
    """A class attribute (value or method) under its old name: `old = RenamedAttribute("new")`."""

    def __init__(self, new: str):
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        called = type(instance).__name__  # the class that defines it may be a private one
        warn_renamed(f"{called}.{self._old}", f"{called}.{self._new}")
        return getattr(instance, self._new)


def renamed_keywords(**new_names: str) -> Callable[[_F], _F]:
    """Decorates a function that still takes old keywords: `renamed_keywords(old="new")`.

    Raises:
        TypeError: when it is called with both.
    """

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in new_names.keys() & kwargs.keys():
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(
                        f"Give `{new}` only. Received: `{new}` and its old name `{old}`."
                    )
                warn_renamed(f"`{old}`", f"`{new}`")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def renamed_function(old: str, function: _F) -> _F:
    """Returns a function that warns that it has another name now."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        warn_renamed(f"`{old}`", f"`{function.__name__}`")
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def moved_names(old: str, new: str, *names: str) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a module some of whose names are in another one now.

    Of a module that has moved as a whole no names are given, and nothing is left but
    `__getattr__ = moved_names(__name__, "intriguing_tf.new")`.
    """

    def get(name: str) -> Any:
        if name.startswith("__") or (names and name not in names):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        warn_renamed(f"{old}.{name}", f"{new}.{name}")
        return getattr(importlib.import_module(new), name)

    return get
