"""HDF5 files as Keras writes weights, read without the HDF5 library.

The library follows what a file says into memory that the file does not have; this reader knows the
one layout that h5py writes by default (superblock 0, groups as symbol tables, arrays in one piece)
and refuses everything else: links, chunks, filters, other files, objects. After the HDF5 File
Format Specification, version 3.0, sections II.A, III.A, III.B, III.D and IV.A.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.foreign import BUDGET, Budget

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSIONS = bytes([0, 0, 0, 0, 0, 8, 8, 0])  # of the parts of a superblock 0; sizes of addresses
_LONGEST_NAME = 1000  # bytes

# Messages of an object's header.
_DATASPACE, _DATATYPE, _LAYOUT, _SYMBOL_TABLE, _CONTINUATION = 0x1, 0x3, 0x8, 0x11, 0x10
_IGNORED = {0x0, 0x4, 0x5, 0xC, 0xE, 0x12}  # padding, fill values, attributes, dates
_REFUSED = {
    0x2: "a link that Keras does not write",
    0x6: "a link that Keras does not write",
    0x7: "numbers that lie in another file",
    0xA: "a link that Keras does not write",
    0xB: "numbers that are compressed",
}
_SOFT_LINK = 2
_CONTIGUOUS = 1
_NUMBERS = ("?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")


def read_arrays(content: bytes, budget: Budget = BUDGET) -> dict[str, np.ndarray]:
    """Returns the arrays of an HDF5 file by path, as views of its bytes.

    Args:
        content: of the file.
        budget: what is accepted.

    Raises:
        IntegrityError: the file holds anything but groups and arrays of numbers, or more than the
            budget. What else may be wrong leaves as another exception: call it within
            `foreign.reading`.
    """
    if content[:8] != _SIGNATURE or content[8:16] != _VERSIONS:
        raise IntegrityError("it is not HDF5 as h5py writes it by default")
    base, _, end, _, _, root = struct.unpack_from("<6Q", content, 24)
    if base or end > len(content):
        raise IntegrityError("it is cut short, or does not begin where it says")
    arrays = dict(_File(content, budget).arrays(root))
    foreign.within(len(content), sum(array.nbytes for array in arrays.values()), "bytes of weights")
    return arrays


class _Group(NamedTuple):
    """Where the members of a group are listed."""

    tree: int
    heap: int


class _File:
    """The objects of a file, each visited once."""

    def __init__(self, content: bytes, budget: Budget):
        self._content = content
        self._budget = budget
        self._seen: set[int] = set()

    def arrays(self, root: int) -> Iterator[tuple[str, np.ndarray]]:
        """Yields path and numbers of every array below the object at an address."""
        todo = [("", root, 0)]
        while todo:
            path, address, depth = todo.pop()
            foreign.within(self._budget.depth, depth, f"{path[:100]}: groups in groups")
            found = self._object(path, address)
            if isinstance(found, _Group):
                todo += [
                    (f"{path}/{name}" if path else name, member, depth + 1)
                    for name, member in self._members(path, found).items()
                ]
            else:
                yield path, found

    def _object(self, path: str, address: int) -> _Group | np.ndarray:
        messages: dict[int, bytes] = {}
        for kind, message in self._messages(path, address):
            if kind in _REFUSED:
                raise IntegrityError(f"{path or '/'} has {_REFUSED[kind]}")
            if kind in _IGNORED:
                continue
            if kind not in (_DATASPACE, _DATATYPE, _LAYOUT, _SYMBOL_TABLE) or kind in messages:
                raise IntegrityError(
                    f"{path or '/'} has a header of the kind {kind} or has it twice"
                )
            messages[kind] = message
        if messages.keys() == {_SYMBOL_TABLE}:
            return _Group(*struct.unpack_from("<2Q", messages[_SYMBOL_TABLE]))
        if messages.keys() != {_DATASPACE, _DATATYPE, _LAYOUT}:
            raise IntegrityError(f"{path or '/'} is neither a group nor an array")
        return self._array(path, messages)

    def _messages(self, path: str, address: int) -> Iterator[tuple[int, bytes]]:
        """Yields kind and content of the messages in an object's header."""
        self._visit(path, address)
        version, number, _, size = struct.unpack_from("<BxHII", self._content, address)
        if version != 1:
            raise IntegrityError(f"{path or '/'} has a header of version {version}")
        blocks, total = [(address + 16, size)], 0
        for start, length in blocks:
            total += length
            foreign.within(self._budget.headers, total, f"{path or '/'}: bytes of its header")
            at, stop = start, start + length
            while at + 8 <= stop and number:
                kind, size, flags = struct.unpack_from("<HHB", self._content, at)
                message = self._bytes(at + 8, size)
                at, number = at + 8 + size, number - 1
                if at > stop or flags & 0x2:
                    raise IntegrityError(f"{path or '/'} has a header with a part elsewhere")
                if kind == _CONTINUATION:
                    blocks.append(struct.unpack_from("<2Q", message))
                    self._visit(path, blocks[-1][0])
                else:
                    yield kind, message

    def _members(self, path: str, group: _Group) -> dict[str, int]:
        """Returns names and addresses of a group's members."""
        if self._bytes(group.heap, 8) != b"HEAP\0\0\0\0":
            raise IntegrityError(f"{path or '/'} has no names")
        size, _, names = struct.unpack_from("<3Q", self._content, group.heap + 8)
        members: dict[str, int] = {}
        for offset, address, kind in self._symbols(path, group.tree):
            if kind == _SOFT_LINK:
                raise IntegrityError(f"{path or '/'} has a link to elsewhere")
            start = names + offset
            stop = self._content.index(b"\0", start, min(start + _LONGEST_NAME, names + size))
            name = self._content[start:stop].decode()
            if name in members or not name or "/" in name or name == ".":
                raise IntegrityError(f"{path or '/'} has a member without a name of its own")
            members[name] = address
        return members

    def _symbols(self, path: str, tree: int) -> Iterator[tuple[int, int, int]]:
        """Yields offset of the name, address and kind of each entry in a group's B-tree."""
        todo = [tree]
        while todo:
            node = todo.pop()
            self._visit(path, node)
            signature, kind, number = (
                self._bytes(node, 4),
                *struct.unpack_from("<BxH", self._content, node + 4),
            )
            if signature == b"TREE" and kind == 0:
                keys = struct.unpack_from(f"<{2 * number + 1}Q", self._content, node + 24)
                todo += reversed(keys[1::2])
            elif signature == b"SNOD" and kind == 1:
                for entry in range(node + 8, node + 8 + 40 * number, 40):
                    yield struct.unpack_from("<QQI", self._content, entry)
            else:
                raise IntegrityError(f"{path or '/'} has no list of its members")

    def _array(self, path: str, messages: dict[int, bytes]) -> np.ndarray:
        dtype = _dtype(path, messages[_DATATYPE])
        shape = _shape(path, messages[_DATASPACE])
        declared = math.prod(shape) * dtype.itemsize
        version, layout = messages[_LAYOUT][:2]
        if (version, layout) != (3, _CONTIGUOUS):
            raise IntegrityError(
                f"the weights {path} declare {declared:,} bytes that are in pieces or in another "
                "file; Keras stores each array in one piece"
            )
        address, stored = struct.unpack_from("<2Q", messages[_LAYOUT], 2)
        start = address if stored else 0
        if declared != stored or start + stored > len(self._content):
            raise IntegrityError(
                f"the weights {path} declare {declared:,} bytes, which the file does not store"
            )
        return np.frombuffer(self._content, dtype, math.prod(shape), start).reshape(shape)

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size > len(self._content):
            raise IntegrityError("it is cut short")
        return self._content[start : start + size]

    def _visit(self, path: str, address: int) -> None:
        if address in self._seen:
            raise IntegrityError(f"{path or '/'} is part of a loop, or is there twice")
        self._seen.add(address)
        foreign.within(self._budget.objects, len(self._seen), "groups and arrays")


def _dtype(path: str, message: bytes) -> np.dtype:
    for encoded, dtype in _encodings():
        if message.startswith(encoded) and not message[len(encoded) :].strip(b"\0"):
            return dtype
    raise IntegrityError(f"the weights {path} are not numbers")


@functools.cache
def _encodings() -> list[tuple[bytes, np.dtype]]:
    """Types of numbers, each as h5py describes it in a file."""
    import h5py  # here, for it is slow to import

    dtypes = [np.dtype(name) for name in _NUMBERS]
    encoded = [h5py.h5t.py_create(dtype, logical=True).encode() for dtype in dtypes]
    return [(each[2:], dtype) for each, dtype in zip(encoded, dtypes, strict=True)]


def _shape(path: str, message: bytes) -> tuple[int, ...]:
    version, rank = message[:2]
    if version != 1 or rank > 32:
        raise IntegrityError(f"the weights {path} have no shape")
    return struct.unpack_from(f"<{rank}Q", message, 8)
