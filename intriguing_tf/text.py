"""Text of anyone, made fit to be printed: nothing that a terminal would obey, and not too much."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Returns text that does to a terminal what it seems to do.

    Escape sequences, other control characters and those that change the direction of writing are
    shown as escapes (`\\x1b`); line breaks stay.

    Args:
        text: of anyone.
    """
    return "".join(char if _prints(char) else repr(char)[1:-1] for char in text)


def cut(text: str, longest: int = 200) -> str:
    """Returns the beginning of a text, with dots if there is more."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _prints(char: str) -> bool:
    return char.isprintable() or char == "\n" or unicodedata.category(char) == "Zs"
