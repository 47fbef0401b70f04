"""What was whole, slightly damaged: bytes, archives, arrays within them, and JSON."""

import copy
import io
import json
import random
import struct
import zipfile

import numpy as np

NESTED = "nested"  # a value that becomes lists in one another
JUNK = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x",
    "\x1b[2J", "../../../etc/passwd", "/etc/passwd", "a\nb", "²", "x" * 10_000, [], {}, [[]],
    [[[[]]]], {"": {}}, [None], {"a": 1}, ["x"] * 1000, NESTED,
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
ARRAYS = (
    np.array(None, object), np.zeros((0,)), np.zeros((3, 0, 7)), np.array(5), np.array("x"),
    np.full(10, np.nan), np.full(10, -1.0), np.arange(10), np.zeros(10, "complex64"),
    np.zeros(10, "M8[s]"), np.array(["found"] * 9 + ["lost"]), np.zeros(10, "V3"),
)  # fmt: skip
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
BOMB = 20 << 20  # bytes that a member unpacks to


def damaged(content: bytes, chance: random.Random) -> bytes:
    """One to three changes of bytes."""
    for _ in range(chance.randint(1, 3)):
        content = chance.choice(_CHANGES)(content, chance)
    return content


def unzipped(content: bytes) -> dict[str, bytes]:
    """The members of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def damaged_archive(content: bytes, chance: random.Random) -> bytes:
    """Changes within one member of a zip, which is written again with the right checksums."""
    members = unzipped(content)
    name = chance.choice(sorted(members))
    members[name] = damaged(members[name], chance)
    return zipped(members, chance.choice(METHODS))


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """A `.npz` of arrays."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def other_array(content: bytes, chance: random.Random) -> bytes:
    """A `.npz` in which one array is of another type or shape."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    return npz(arrays | {chance.choice(sorted(arrays)): chance.choice(ARRAYS)})


def odd_member(content: bytes, chance: random.Random) -> bytes:
    """A `.npz` with a member that claims a shape it does not have, unpacks to much, is no array."""
    members = unzipped(content)
    name = chance.choice(sorted(members))
    shape = chance.choice(["(10000000000000,)", "(-1,)", "(99999999999999999999,)", "((1,),)"])
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    members[name] = chance.choice([
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header,
        members[name] + bytes(chance.choice([1 << 20, BOMB])),
        b"\x93NUMPY\x01\x00\x10\x00{'a': f()}     \n",
        b"",
        b"\x80\x04cos\nsystem\n",
    ])  # fmt: skip
    if chance.random() < 0.1:
        members[f"../{name}"] = members.pop(name)
    return zipped(members, chance.choice(METHODS))


NPZ = (damaged, damaged_archive, other_array, odd_member)


def damaged_json(content: bytes | str, chance: random.Random) -> bytes:
    """JSON in which one to three values are others, gone, or under other names."""
    values = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        places = [(here, key) for here in _containers(values) for key in _keys(here)]
        if not places:
            break
        here, key = chance.choice(places)
        kind = chance.random()
        if kind < 0.15:
            del here[key]
        elif kind < 0.25 and isinstance(here, dict):
            here[str(chance.choice(JUNK))] = here.pop(key)
        else:
            here[key] = copy.deepcopy(chance.choice(JUNK))
    depth = chance.choice([90, 900, 90_000])
    return json.dumps(values).replace(f'"{NESTED}"', depth * "[" + depth * "]").encode()


def _containers(values):
    todo = [values]
    while todo:
        here = todo.pop()
        if isinstance(here, dict | list):
            yield here
            todo += here.values() if isinstance(here, dict) else here


def _keys(here):
    return [*here] if isinstance(here, dict) else range(len(here))


def _flip(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) or 1)
    return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]


def _flip_early(content: bytes, chance: random.Random) -> bytes:
    """Formats say at their beginnings what follows."""
    head = content[:2000]
    return _flip(head, chance) + content[2000:]


def _number(content: bytes, chance: random.Random) -> bytes:
    at, width = chance.randrange(len(content) or 1), chance.choice("BHIQ")
    number = chance.choice(NUMBERS) & (1 << 8 * struct.calcsize(width)) - 1
    return content[:at] + struct.pack(f"<{width}", number) + content[at + struct.calcsize(width) :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _remove(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) or 1)
    return content[:at] + content[at + chance.randint(1, 64) :]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) or 1)
    piece = content[at : at + chance.randint(1, 64)]
    return content[:at] + piece * chance.randint(2, 50) + content[at:]


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) or 1)
    return content[:at] + chance.randbytes(chance.randint(1, 16)) + content[at:]


_CHANGES = (
    _flip,
    _flip,
    _flip_early,
    _flip_early,
    _number,
    _number,
    _cut,
    _remove,
    _repeat,
    _insert,
)
