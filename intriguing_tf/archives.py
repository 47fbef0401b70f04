"""Arrays in `.npz` files of anyone: data only, no more of it than expected, one kind of error."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np

from intriguing_tf.files import expanded
from intriguing_tf.text import is_deeper, words

# Each is ten times what the largest honest file has.
RATIO = 200  # unpacked bytes per byte: results on digits reach 15
LEAST = 16 << 20  # unpacked bytes that are always accepted
MEMBERS = 200  # arrays in a file: a shard has 14
JSON = 64 << 20  # bytes: the manifest of 50 000 shards has 4 MB
DEPTH = 60  # of JSON's values in one another: a manifest has 5
DIGITS = 20  # of an integer, with its sign: one of 64 bits
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_arrays(content: bytes, names: Collection[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of these names in a `.npz`; nothing in it is executed.

    Args:
        content: of the file, as `numpy.savez` and `numpy.savez_compressed` write it.
        names: of the arrays that are wanted, if they are there.

    Raises:
        ValueError: it is not such a file, or unpacks to more than it may.
    """
    try:
        if content.count(b"PK\1\2") > MEMBERS:
            raise ValueError("too many members")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            wanted = {name: members[f"{name}.npy"] for name in names if f"{name}.npy" in members}
            _check(wanted.values(), len(content))
            return {name: _array(archive.read(member)) for name, member in wanted.items()}
    except Exception as error:  # what damaged bytes do to a reader is not foreseen by it
        raise ValueError(f"not a .npz of plain arrays ({words(error)})") from None


def own_arrays(
    path: str | os.PathLike, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Returns arrays of a `.npz` of the user's own, however large; nothing in it is executed.

    Args:
        path: of the file, as `numpy.savez` and `numpy.savez_compressed` write it.
        names: of the arrays that are wanted, if they are there; by default all.

    Raises:
        ValueError: it is not such a file, or damaged; the file is named.
        OSError: it is not there, or cannot be opened.
    """
    with open(expanded(path), "rb") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no zip archive, or cut off")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                wanted = [name for name in stored.files if names is None or name in names]
                found = {name: stored[name] for name in wanted}
        except Exception as error:  # what damaged bytes do to a reader is not foreseen by it
            raise ValueError(
                f"{path} is not an .npz file of plain arrays, as numpy.savez writes it "
                f"({words(error)})."
            ) from None
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}


def read_json(content: bytes | str) -> Any:
    """Returns the values of JSON.

    Raises:
        ValueError: it is no JSON, too much or too deep, or has an integer of over 64 bits.
    """
    if len(content) > JSON:
        raise ValueError(f"JSON may have {JSON:,} bytes. Received: {len(content):,}.")
    try:
        values = json.loads(content, parse_int=_integer)
        if is_deeper(values, DEPTH):
            raise ValueError(f"values more than {DEPTH} deep in one another")
        return values
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not JSON ({words(error)})") from None


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _check(members: Collection[zipfile.ZipInfo], size: int) -> None:
    for member in members:
        if member.flag_bits & 0x1 or member.compress_type not in _METHODS:
            raise ValueError("a member is encrypted, or compressed in a way that is not accepted")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(LEAST, RATIO * size):
        raise ValueError(f"{unpacked:,} bytes in {size:,}")


def _array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    array = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):
        raise ValueError("bytes after an array")
    return array
