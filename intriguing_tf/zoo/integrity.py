"""Whether a file holds the bytes that were promised: its size and its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from intriguing_tf.zoo.errors import IntegrityError


def digest(file: Path, algorithm: str = "sha256") -> str:
    """Returns the hash of a file's bytes in hexadecimal."""
    found = hashlib.new(algorithm)
    with open(file, "rb") as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def fault(file: Path, size: int, sha256: str, sha1: str | None = None) -> str:
    """Returns what is wrong with a file's bytes, or an empty string; a SHA-1 counts if known."""
    found = file.stat().st_size
    if found != size:
        return f"it has {found:,} bytes instead of {size:,}"
    found_sha256 = digest(file)
    if found_sha256 != sha256:
        return f"its SHA-256 is {found_sha256} instead of {sha256}"
    found_sha1 = sha1 and digest(file, "sha1")
    return "" if found_sha1 == sha1 else f"its SHA-1 is {found_sha1} instead of {sha1}"


def verify(file: Path, size: int, sha256: str) -> None:
    """Raises an `IntegrityError` unless the file has this size and hash."""
    if wrong := fault(file, size, sha256):
        raise IntegrityError(f"{file} is damaged or was replaced: {wrong}.")
