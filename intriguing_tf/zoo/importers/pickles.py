"""Pickles as data: what a state dictionary of PyTorch says, without Python's unpickler.

A pickle is a program for a stack machine, and Python's may call anything. This one knows the
opcodes that plain containers, strings, numbers and tensors need. Names and calls become records
(`Name`, `Call`), which have no methods; nothing is looked up, called, hashed or compared but
strings.
"""

from __future__ import annotations

import dataclasses
import io
import pickletools
from collections.abc import Callable
from typing import Any

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.foreign import BUDGET, Budget

_LARGEST_INTEGER = 1 << 80  # PyTorch's magic number has 77 bits
_ORDERED_DICT = ("collections", "OrderedDict")


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A name of a module, as text."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What would be a call: of a name, with a tuple of arguments."""

    name: Name
    arguments: tuple


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """A persistent id: what the pickle says about something that is kept outside of it."""

    description: Any


class _Mark:
    """Where a container's members begin on the stack."""


@dataclasses.dataclass(slots=True)
class _Item:
    """A value on the stack; `depth` counts the containers in it. Shared by stack and memo.

    A list or dictionary is open until it becomes part of something: so none holds itself, and the
    depth is what it says.
    """

    value: Any
    depth: int = 0
    open: bool = False


def read(stream: io.BytesIO, budget: Budget = BUDGET) -> Any:
    """Reads one pickle and leaves the stream behind it.

    Args:
        stream: where the pickle begins.
        budget: what is accepted.

    Returns:
        Nested `dict` with str keys, `list`, `tuple`, `str`, `int`, `float`, `bool`, `None`,
        `Name`, `Call`, `Outside`.

    Raises:
        IntegrityError: the pickle needs anything else, or more than the budget. What else may be
            wrong leaves as another exception: call it within `foreign.reading`.
    """
    machine = _Machine(budget)
    start = stream.tell()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        foreign.within(budget.opcodes, number, "opcodes of its pickle")
        foreign.within(budget.pickle, stream.tell() - start, "bytes of its pickle")
        if opcode.name == "STOP":
            return machine.result()
        act = _ACTIONS.get(opcode.name)
        if act is None:
            raise IntegrityError(
                f"its pickle has the opcode {opcode.name}, which tensors do not need"
            )
        act(machine, argument)
    raise IntegrityError("its pickle does not end")


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, budget: Budget):
        self._budget = budget
        self._stack: list[_Item | _Mark] = []
        self._memo: dict[int, _Item] = {}

    def result(self) -> Any:
        """Returns what the pickle describes."""
        item = self._pop()
        if self._stack:
            raise IntegrityError("its pickle leaves values behind")
        return item.value

    def protocol(self, argument: int) -> None:
        if argument > 5:
            raise IntegrityError(f"its pickle has protocol {argument}, and 5 is the newest")

    def nothing(self, argument: Any) -> None:
        """A frame of protocol 4."""

    def scalar(self, argument: Any) -> None:
        """A number or a text."""
        if type(argument) is int and abs(argument) > _LARGEST_INTEGER:
            raise IntegrityError(f"its pickle has an integer of {argument.bit_length()} bits")
        self._stack.append(_Item(argument))

    def mark(self, argument: Any) -> None:
        self._stack.append(_Mark())

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(_Item(Name(module, name)))

    def name_from_stack(self, argument: Any) -> None:
        name, module = self._pop().value, self._pop().value
        if type(name) is not str or type(module) is not str:
            raise IntegrityError("its pickle has a name that is not a text")
        self._stack.append(_Item(Name(module, name)))

    def empty_list(self, argument: Any) -> None:
        self._stack.append(_Item([], 1, open=True))

    def empty_dict(self, argument: Any) -> None:
        self._stack.append(_Item({}, 1, open=True))

    def marked_tuple(self, argument: Any) -> None:
        self._push_tuple(self._pop_to_mark())

    def append(self, argument: Any) -> None:
        self._extend([self._pop()])

    def appends(self, argument: Any) -> None:
        self._extend(self._pop_to_mark())

    def set_item(self, argument: Any) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def set_items(self, argument: Any) -> None:
        self._update(self._pop_to_mark())

    def call(self, argument: Any) -> None:
        arguments, name = self._pop(), self._pop().value
        if type(name) is not Name or type(arguments.value) is not tuple:
            raise IntegrityError("its pickle calls something that is not a name")
        if (name.module, name.name) == _ORDERED_DICT:
            return self._push_dict(arguments)
        self._nest([arguments], Call(name, arguments.value), arguments.depth)

    def record(self, argument: Any) -> None:
        description = self._pop()
        self._nest([description], Outside(description.value), description.depth)

    def attributes(self, argument: Any) -> None:
        """BUILD: what is set on a dictionary is skipped, and nothing else may be changed."""
        self._pop()
        if type(self._top().value) is not dict:
            raise IntegrityError("its pickle sets attributes of something that is no dictionary")

    def put(self, argument: int) -> None:
        foreign.within(self._budget.memo, argument, "objects that its pickle numbers")
        self._memo[argument] = self._top()

    def memoize(self, argument: Any) -> None:
        self.put(len(self._memo))

    def get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def tuple_of(self, number: int) -> None:
        self._push_tuple([self._pop() for _ in range(number)][::-1])

    def _top(self) -> _Item:
        top = self._stack[-1] if self._stack else None
        if not isinstance(top, _Item):
            raise IntegrityError("its pickle takes a value where there is none")
        return top

    def _pop(self) -> _Item:
        top = self._top()
        self._stack.pop()
        return top

    def _pop_to_mark(self) -> list[_Item]:
        items: list[_Item] = []
        while self._stack:
            top = self._stack.pop()
            if isinstance(top, _Mark):
                return items[::-1]
            items.append(top)
        raise IntegrityError("its pickle takes values up to a mark where there is none")

    def _nest(self, parts: list[_Item], value: Any, depth: int) -> None:
        """Pushes a value that holds others."""
        _close(parts)
        foreign.within(self._budget.depth, depth, "depth of its pickle")
        self._stack.append(_Item(value, depth))

    def _push_tuple(self, items: list[_Item]) -> None:
        depth = 1 + max((item.depth for item in items), default=0)
        self._nest(items, tuple(item.value for item in items), depth)

    def _push_dict(self, arguments: _Item) -> None:
        """OrderedDict(), or as Python 2 pickled it: OrderedDict([[key, value], ...])."""
        self.empty_dict(None)
        for pairs in arguments.value:
            for pair in pairs if type(pairs) is list else ():
                if type(pair) is not list or len(pair) != 2:
                    raise IntegrityError("its pickle has a dictionary of something else than pairs")
                self._update([_Item(pair[0]), _Item(pair[1], arguments.depth)])

    def _extend(self, items: list[_Item]) -> None:
        _close(items)
        target = self._top()
        if type(target.value) is not list or not target.open:
            raise IntegrityError("its pickle appends to something that is no open list")
        target.value.extend(item.value for item in items)
        self._deepen(target, items)

    def _update(self, items: list[_Item]) -> None:
        _close(items)
        target, keys, values = self._top(), items[::2], items[1::2]
        if type(target.value) is not dict or not target.open:
            raise IntegrityError("its pickle adds to something that is no open dictionary")
        if len(keys) != len(values) or not all(type(key.value) is str for key in keys):
            raise IntegrityError("its pickle has a dictionary whose keys are not texts")
        for key, value in zip(keys, values, strict=True):
            target.value[key.value] = value.value
        self._deepen(target, values)

    def _deepen(self, target: _Item, items: list[_Item]) -> None:
        target.depth = max([target.depth, *(item.depth + 1 for item in items)])
        foreign.within(self._budget.depth, target.depth, "depth of its pickle")


def _close(items: list[_Item]) -> None:
    """What becomes part of something changes no more."""
    for item in items:
        item.open = False


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.scalar(value)


def _tuple(number: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(number)


_SCALARS = (
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
    "BINSTRING", "SHORT_BINSTRING",
)  # fmt: skip
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "FRAME": _Machine.nothing,
    **dict.fromkeys(_SCALARS, _Machine.scalar),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "MARK": _Machine.mark,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call,
    "BINPERSID": _Machine.record,
    "BUILD": _Machine.attributes,
    "EMPTY_TUPLE": _tuple(0),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": _Machine.marked_tuple,
    "EMPTY_LIST": _Machine.empty_list,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "EMPTY_DICT": _Machine.empty_dict,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
}
