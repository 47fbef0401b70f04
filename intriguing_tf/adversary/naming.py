"""Names of classes: whole in data, told apart in tables and files, short above pictures."""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Sequence

from intriguing_tf.text import printable

_ABOVE_PICTURES, _IN_FILES = 18, 36  # letters at most
_BYTES = 110  # of a file's name, which has two of them and may have 255
_BETWEEN = ", "  # synonyms, as ImageNet's names have them

Names = Sequence[str] | None


def whole_name(label: int, class_names: Names) -> str:
    """Returns a class's name as it was given; its number where it has none."""
    if class_names is None or not 0 <= label < len(class_names):
        return str(int(label))
    return class_names[label]


def clear_name(label: int, class_names: Names) -> str:
    """Returns the first synonym of a class's name, or as much of it as no other class has.

    Classes of equal names have their numbers behind them.
    """
    return _name(label, class_names, None)


def name_of(label: int, class_names: Names) -> str:
    """Returns a class's name for a picture: as `clear_name`, cut to some letters.

    Matplotlib shows a dollar sign in it as one, instead of reading a formula.
    """
    return _name(label, class_names, _ABOVE_PICTURES).replace("$", r"\$")


def file_name(label: int, class_names: Names) -> str:
    """Returns a class's name of letters, digits, `-` and `_`; its number where none are left."""
    name = _name(label, class_names, _IN_FILES)
    text = re.sub(r"\W+", "-", name).strip("-").encode()[:_BYTES].decode(errors="ignore")
    return text if text and label >= 0 else str(int(label))


def _name(label: int, class_names: Names, longest: int | None) -> str:
    if class_names is None or not 0 <= label < len(class_names):
        return str(int(label))
    return _told_apart(tuple(class_names), longest)[label]


@functools.lru_cache(maxsize=16)
def _told_apart(class_names: tuple[str, ...], longest: int | None) -> tuple[str, ...]:
    """Returns the names, each as short as it may be without being another's, too."""
    whole = [printable(" ".join(name.split())) for name in class_names]
    shown = [_cut(name.split(_BETWEEN)[0], longest) for name in whole]
    shared = _shared(shown)
    shown = [_cut(whole[i], longest) if shared[i] else name for i, name in enumerate(shown)]
    shared = _shared(shown)
    numbered = [_cut(name, longest, f" ({i})") if name else str(i) for i, name in enumerate(whole)]
    return tuple(numbered[i] if shared[i] else name for i, name in enumerate(shown))


def _shared(names: Sequence[str]) -> list[bool]:
    """Whether each name says nothing, or is another's, too."""
    count = collections.Counter(names)
    return [not name or count[name] > 1 for name in names]


def _cut(text: str, longest: int | None, ending: str = "") -> str:
    room = None if longest is None else longest - len(ending)
    short = text if room is None or len(text) <= room else f"{text[: room - 1].rstrip()}…"
    return short + ending
