"""Bytes that others made: how much of them is accepted, and what becomes of their faults.

Every reader of such bytes works within `BUDGET` and inside `reading`: what it returns is data, and
what goes wrong leaves it as one documented error that names the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import reprlib
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from intriguing_tf.files import expanded, read_content
from intriguing_tf.text import is_deeper, one_line, words
from intriguing_tf.zoo.errors import CatalogueError, IntegrityError


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much a reader accepts; the largest honest file passes each of these ten times over.

    Args:
        file: bytes of a file, and of all that is unpacked from it. AlexNet's has 243 862 414.
        members: of an archive. A `.pth` has one per tensor: EfficientNet-Lite0's would have 300.
        ratio: unpacked bytes per byte of a compressed archive. Trained weights reach 1.1, and 2.2
            in double precision.
        json: bytes of JSON. The bundled catalogue has 50 kB, EfficientNet-Lite0's configuration
            144 kB, and those of the largest networks of Keras 1 MB.
        values: objects, arrays and values that JSON may hold. The bundled catalogue has 2 000,
            EfficientNet-Lite0's configuration 9 000, those of the largest networks 60 000.
        depth: of containers and groups in one another. Networks within networks reach 10 levels
            in weights, and 30 in configurations.
        card_depth: of values in a card. The bundled ones reach 3.
        pickle: bytes of one pickle. EfficientNet-Lite0's has 42 kB.
        opcodes: of one pickle. EfficientNet-Lite0's has 10 696.
        memo: objects that a pickle may number. EfficientNet-Lite0's numbers 2 651.
        fields: of a protocol buffer, those that are skipped included. GoogLeNet's has 5 000.
        objects: groups, arrays and their lists in an HDF5 file. EfficientNet-Lite0's has 1 254.
        headers: bytes that an HDF5 file spends on one object's description; Keras's have 300.
        calls: of layers while a network is made, each as often as it is made; NASNetLarge's are
            1 042, and those of a `Sequential` of 150 layers 12 000.
        number: of units, pixels and the like in a network's configuration. The largest images of
            `keras.applications` have 1 080 000 values.
        computed: numbers that are computed while a network is made and are no weights. Most compute
            none; normalization by every pixel of the largest images computes 7 million.
    """

    file: int = 4 << 30
    members: int = 10_000
    ratio: int = 25
    json: int = 32 << 20
    values: int = 1_000_000
    depth: int = 300
    card_depth: int = 60
    pickle: int = 16 << 20
    opcodes: int = 150_000
    memo: int = 50_000
    fields: int = 100_000
    objects: int = 100_000
    headers: int = 64 << 10
    calls: int = 30_000
    number: int = 11_000_000
    computed: int = 70_000_000


BUDGET = Budget()


@contextlib.contextmanager
def reading(
    origin: str | Path, what: str, error: type[ValueError] = IntegrityError
) -> Iterator[None]:
    """Turns whatever goes wrong inside into one kind of error that names the file.

    Args:
        origin: the file or address that the bytes come from.
        what: what it should be: "a .npz of plain arrays".
        error: the kind.

    Raises:
        ValueError: of the kind `error`: what was wrong, in words that hold no foreign object.
    """
    try:
        yield
    except Exception as fault:
        raise error(f"{origin} is not {what}: {in_words(fault)}.") from None


def in_words(fault: Exception) -> str:
    """Returns what an exception says, as one printable line; objects in it are not formatted."""
    if isinstance(fault, IntegrityError | CatalogueError):
        return one_line(str(fault), 1000).rstrip(".")
    return words(fault)


def shown(value: Any) -> str:
    """Returns a JSON value as Python writes it, cut short, without formatting the rest of it."""
    return _SHORT.repr(value)


def read_bytes(file: str | Path, budget: Budget = BUDGET) -> bytes:
    """Returns the content of a regular file.

    Raises:
        OSError: it is not there, or cannot be read.
        IntegrityError: it is a device or a pipe, or has more bytes than the budget.
    """
    path = expanded(file)  # which takes no integer: that would be an open file's number
    try:
        return read_content(path, budget.file)
    except ValueError as error:
        raise IntegrityError(str(error)) from None


def within(budget: int, found: float, what: str) -> None:
    """Raises an `IntegrityError` if there is more of something than its budget."""
    if found > budget:
        raise IntegrityError(f"{what}: {found:,}, and {budget:,} are accepted")


@contextlib.contextmanager
def archive(
    content: bytes,
    methods: Collection[int] = (zipfile.ZIP_STORED,),
    largest: int | None = None,
    budget: Budget = BUDGET,
) -> Iterator[zipfile.ZipFile]:
    """Opens a zip whose members are few, plain, and together not larger than they may be.

    Args:
        content: of the zip.
        methods: of compression that are accepted.
        largest: unpacked bytes of all members; by default `budget.ratio` times the zip's.
        budget: what is accepted.

    Raises:
        IntegrityError: the zip is not as that says. Other faults leave as `zipfile` raises them.
    """
    # Each member's entry in the directory begins so, and zipfile makes an object of each.
    within(budget.members, content.count(b"PK\1\2"), "members")
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        members = opened.infolist()
        if len({member.filename for member in members}) < len(members):
            raise IntegrityError("two members have the same name")
        for member in members:
            _check_member(member, methods)
        unpacked = sum(member.file_size for member in members)
        compressed = any(member.compress_type for member in members)
        if largest is None:
            largest = len(content) * (budget.ratio if compressed else 1)
        within(min(largest, budget.file), unpacked, "unpacked bytes")
        yield opened


def _check_member(member: zipfile.ZipInfo, methods: Collection[int]) -> None:
    name = shown(member.filename)
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise IntegrityError(f"the member {name} is a link or another special file")
    if member.flag_bits & 0x1:
        raise IntegrityError(f"the member {name} is encrypted")
    if member.compress_type not in methods:
        raise IntegrityError(f"the member {name} is compressed in a way that is not accepted")
    if not member.compress_type and member.file_size != member.compress_size:
        raise IntegrityError(f"the member {name} is stored as it is, in another size than its own")


def json_values(
    content: bytes, decode: Callable[[str], Any] = json.loads, budget: Budget = BUDGET
) -> Any:
    """Returns the values of JSON text.

    Args:
        content: UTF-8.
        decode: what reads the text; `json.loads` accepts NaN, which `msgspec.json.decode` refuses.
        budget: what is accepted.

    Raises:
        IntegrityError: it holds more than the budget says. Other faults leave as they are raised.
    """
    within(budget.json, len(content), "bytes of JSON")
    within(budget.values, sum(map(content.count, (b",", b"[", b"{"))), "JSON values")
    values = decode(content.decode())
    if is_deeper(values, budget.depth):
        raise IntegrityError(f"JSON values lie in one another more than {budget.depth} deep")
    return values


class _Short(reprlib.Repr):
    """Writes values of JSON: two levels, a few of many, the beginnings of texts and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict, self.maxstring = 2, 4, 4, 100

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 200 else f"an integer of {x.bit_length()} bits"


_SHORT = _Short()
