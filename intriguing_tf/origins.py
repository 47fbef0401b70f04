"""Where code comes from: a package, or the user."""

from __future__ import annotations

import types
from collections.abc import Container
from typing import Any


def is_of(code: Any, packages: Container[str]) -> bool:
    """Whether a class, function or callable object is brought by one of the packages.

    A function must also have been written there: `functools.wraps` gives it the `__module__` of
    what it wraps.

    Args:
        code: of anyone.
        packages: their names.
    """
    if not is_in(getattr(code, "__module__", None), packages):
        return False
    function = code.__func__ if isinstance(code, types.MethodType) else code
    return not isinstance(function, types.FunctionType) or is_in(
        function.__globals__.get("__name__"), packages
    )


def is_in(module: str | None, packages: Container[str]) -> bool:
    """Whether a module, by its full name, is part of one of the packages."""
    return (module or "").partition(".")[0] in packages
