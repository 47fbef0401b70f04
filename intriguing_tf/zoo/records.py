"""Records: what the zoo keeps as JSON. A class is also the check of its values and their schema.

Types say what is valid (`Annotated[int, Meta(ge=1)]`), and `__post_init__` what concerns several
fields. msgspec reads both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.foreign import BUDGET

# Texts without characters that a terminal obeys, or that hide or turn others around.
PRINTED = re.compile(r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*$(?!\n)")

_T = TypeVar("_T")
_R = TypeVar("_R", bound="Record")


class Record(msgspec.Struct, frozen=True):
    """Fields with types; frozen, compared by value, and as JSON."""

    def json(self) -> dict[str, Any]:
        """Returns plain dictionaries and lists, as `json.dumps` takes them."""
        return msgspec.json.decode(msgspec.json.encode(self, enc_hook=_encode))

    def replace(self: _R, **changes: Any) -> _R:
        """Returns a copy with other values of some fields."""
        return msgspec.structs.replace(self, **changes)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Returns the JSON Schema of the record."""
        return msgspec.json.schema(cls, schema_hook=_schema)


class Facts(Mapping[str, Any]):
    """A read-only mapping of JSON values; mappings inside it are `Facts`, arrays are tuples.

    Raises:
        ValueError: values that are not JSON's, as NaN, which msgspec would write as null.
    """

    def __init__(self, values: Mapping[str, Any] | None = None):
        self._values = _frozen_items(values or {}, BUDGET.card_depth)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(json.dumps(self.json(), sort_keys=True))

    def __repr__(self) -> str:
        return f"Facts({self._values!r})"

    def json(self) -> dict[str, Any]:
        """Returns plain dictionaries and lists, as `json.dumps` takes them."""
        return {key: _thawed(value) for key, value in self._values.items()}


def read(values: Any, kind: type[_T], what: str, error: type[ValueError] = ValueError) -> _T:
    """Returns JSON values as a record, or as a container of records.

    Args:
        values: as `json.loads` returns them.
        kind: what they should be.
        what: the same in words: "a recipe".
        error: raised if they are not.

    Raises:
        ValueError: of the kind `error`: the first thing that is wrong, its place, what was there.
    """
    try:
        return msgspec.convert(values, kind, dec_hook=_decode)
    except msgspec.ValidationError as fault:
        message, _, path = str(fault).partition(" - at `$")
        path = path.rstrip("`")
        place = f"{path.lstrip('.')}: " if path else ""
        received = foreign.shown(_value_at(path, values))
        raise error(f"not {what}: {place}{message}. Received: {received}.") from None


def _value_at(path: str, values: Any) -> Any:
    """Returns the value at msgspec's path, or the innermost that it names."""
    for key, index, _ in re.findall(r"\.([^.\[]+)|\[(\d+)\]|(.)", path):
        if not key and not index:
            break
        values = values[key] if key else values[int(index)]
    return values


def _decode(kind: type, value: Any) -> Any:
    if kind is Facts and isinstance(value, dict):
        return Facts(value)
    raise ValueError(f"Expected `object`, got `{type(value).__name__}`")


def _encode(value: Any) -> Any:
    if isinstance(value, Facts):
        return value.json()
    raise TypeError(f"JSON has no {type(value).__name__}.")


def _schema(kind: type) -> dict[str, Any]:
    if kind is Facts:
        return {"type": "object"}
    raise TypeError(f"JSON Schema has no {kind.__name__}.")


def _frozen(value: Any, levels: int, key: str) -> Any:
    """Returns JSON values that cannot change; `levels` is how many may lie in one another."""
    if not levels:
        raise ValueError(f"values lie in one another more than {BUDGET.card_depth} deep")
    if isinstance(value, str):
        return _checked(value)
    if isinstance(value, dict | Facts):
        facts = Facts()
        facts._values = _frozen_items(value, levels - 1)
        return facts
    if isinstance(value, list | tuple):
        return tuple(_frozen(each, levels - 1, key) for each in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key!r} must be finite, for JSON has no NaN and no infinity")
    return value


def _frozen_items(values: Mapping[str, Any], levels: int) -> dict[str, Any]:
    return {_checked(key): _frozen(value, levels, key) for key, value in values.items()}


def _checked(text: str) -> str:
    if not (text.isprintable() or PRINTED.match(text)):
        raise ValueError("a text has characters that cannot be printed")
    return text


def _thawed(value: Any) -> Any:
    if isinstance(value, Facts):
        return value.json()
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value
