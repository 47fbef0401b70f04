"""The networks that cards name: built from plain arguments only.

A card chooses among the builders of `intriguing_tf.models` and gives numbers and words. It cannot
give an address, a path, or what would make a builder read one.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
import msgspec
from msgspec import Meta

from intriguing_tf import models
from intriguing_tf.zoo import foreign, rehearsal
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.records import read

_Number = Annotated[float, Meta(ge=-1e6, le=1e6)]
_Count = Annotated[int, Meta(ge=1, le=65_536)]
_Word = Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z][A-Za-z0-9_]*$(?!\n)")]

# What a card may give for a parameter of each type; parameters of other types it cannot set.
_PLAIN: dict[Any, Any] = {
    float: _Number,
    int: _Count,
    str: _Word,
    None: _Word,  # no type: the name of an initializer
    Sequence[float]: Annotated[tuple[_Number, ...], Meta(max_length=100)],
    tuple[int, int, int]: tuple[_Count, _Count, _Count],
}
# What no card may choose: these builders would read files or ask the network for it.
_FIXED: dict[str, dict[str, Any]] = {"keras_application": {"weights": None}}


def build(card: ModelCard) -> keras.Model:
    """Returns the network of a card with fresh random weights; no file is read.

    Raises:
        IntegrityError: there is no such builder, it does not take these arguments, or it makes
            another network than the card says.
    """
    builder = _builder(card)
    fixed = _FIXED.get(card.builder, {})
    arguments = _arguments(card, builder, set(fixed))

    def make() -> keras.Model:
        return builder(**arguments, **fixed)

    with foreign.reading(f"the card of {card.name!r}", "that of a network"):
        if (size := rehearsal.count_weights(make)) != card.parameters:
            raise IntegrityError(
                f"it is another network than its card says, with {size:,} parameters instead of "
                f"{card.parameters:,}"
            )
        return make()


def _builder(card: ModelCard) -> Callable[..., keras.Model]:
    found = getattr(models, card.builder) if card.builder in dir(models) else None
    if not inspect.isfunction(found):
        raise IntegrityError(
            f"{card.name!r} names the builder {card.builder!r}. Valid: {sorted(dir(models))}."
        )
    return found


def _arguments(
    card: ModelCard, builder: Callable[..., keras.Model], fixed: set[str]
) -> dict[str, Any]:
    """Returns the card's arguments as the builder's parameters say that they may be."""
    types = typing.get_type_hints(builder)
    fields = [
        (name, _PLAIN[types.get(name)] | msgspec.UnsetType, msgspec.UNSET)
        for name in inspect.signature(builder).parameters
        if name not in fixed and types.get(name) in _PLAIN
    ]
    schema = msgspec.defstruct("Arguments", fields, forbid_unknown_fields=True)
    given = read(
        card.arguments.json(), schema, f"arguments of {card.builder} in a card", IntegrityError
    )
    return {
        name: value
        for name, value in msgspec.structs.asdict(given).items()
        if value is not msgspec.UNSET
    }
