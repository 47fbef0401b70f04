"""Text of anyone, made fit to be printed: nothing that a terminal would obey, and not too much."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any

_OF_MARKDOWN = re.compile(r"\||<(?=[\w/!?])|\](?=[(\[])")


def printable(text: str) -> str:
    """Returns text that does to a terminal what it seems to do.

    Escape sequences, other control characters and those that change the direction of writing are
    shown as escapes (`\\x1b`); line breaks stay.

    Args:
        text: of anyone.
    """
    return "".join(char if _prints(char) else repr(char)[1:-1] for char in text)


def markdown(text: str) -> str:
    """Returns printable text that Markdown shows as it is: no cell, tag or link of its own.

    Args:
        text: of anyone.
    """
    return _OF_MARKDOWN.sub(r"\\\g<0>", printable(text))


def is_integer(text: str) -> bool:
    """Whether a text is an integer of 64 bits, as Python writes it: `int` also takes others."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= 18


def cut(text: str, longest: int = 200) -> str:
    """Returns the beginning of a text, with dots if there is more."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def one_line(text: str, longest: int = 200) -> str:
    """Returns the beginning of a text, printable and without line breaks."""
    return cut(printable(" ".join(text[: longest + 1].split())), longest)


def words(error: BaseException) -> str:
    """Returns the kind of an error and the beginning of what it says; objects are not formatted."""
    said = next((each for each in error.args if type(each) is str), "")
    return f"{type(error).__name__}: {one_line(said)}".rstrip(": .")


def is_deeper(values: Any, most: int) -> bool:
    """Whether values of JSON lie in one another more than so many levels deep.

    Python reads deeper ones than it can print or compare.
    """
    level = [values]
    for _ in range(most):
        level = [child for value in level for child in _children(value)]
        if not level:
            return False
    return True


def _children(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _prints(char: str) -> bool:
    return char.isprintable() or char == "\n" or unicodedata.category(char) == "Zs"
