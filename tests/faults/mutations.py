"""Files that were whole, slightly damaged: by bytes, in archives within them, and in JSON."""

import io
import json
import random
import struct
import zipfile

JUNK = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1e308,
    "",
    "x" * 1000,
    "\x1b[2J",
    "../x",
    [],
    {},
    [[[[]]]],
)
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """One to three changes of bytes."""
    for _ in range(chance.randint(1, 3)):
        content = chance.choice(_CHANGES)(content, chance)
    return content


def damaged_archive(content: bytes, chance: random.Random, methods=(zipfile.ZIP_STORED,)) -> bytes:
    """Changes within one member of a zip, which is written again with the right checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = chance.choice(sorted(members))
    members[name] = damaged(members[name], chance)
    return zipped(members, chance.choice(methods))


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def damaged_json(content: bytes, chance: random.Random) -> bytes:
    """One value of a JSON text replaced by another, or one key left out."""
    values = json.loads(content)
    places = []
    todo = [values]
    while todo:
        here = todo.pop()
        for key in here if isinstance(here, dict) else range(len(here)):
            places.append((here, key))
            if isinstance(here[key], dict | list):
                todo.append(here[key])
    here, key = chance.choice(places)
    if isinstance(here, dict) and chance.random() < 0.2:
        del here[key]
    else:
        here[key] = chance.choice(JUNK)
    return json.dumps(values).encode()


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
