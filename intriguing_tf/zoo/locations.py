"""Where the zoo is and where downloads go.

- `INTRIGUING_TF_ZOO`: a folder or an http(s) address with a `catalogue.json`; by default the files
  that came with the package.
- `INTRIGUING_TF_CACHE`: the folder for downloads; by default the platform's cache folder.
- `INTRIGUING_TF_OFFLINE`: `1` forbids every download.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from intriguing_tf.files import expanded

CATALOGUE = "catalogue.json"


def bundled_folder() -> Path:
    """Returns the zoo that came with the package, or the checkout's `zoo` folder."""
    installed = Path(__file__).parent / "files"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "zoo"


def zoo() -> Path | str:
    """Returns the folder (`Path`) or the address (`str`, no closing slash) of the zoo in use.

    Raises:
        ValueError: `INTRIGUING_TF_ZOO` is neither an http(s) address nor a folder with a catalogue.
    """
    chosen = os.environ.get("INTRIGUING_TF_ZOO", "")
    if not chosen:
        return bundled_folder()
    if re.match(r"https?://[^/]", chosen):
        return chosen.rstrip("/")
    folder = expanded(chosen)
    if "://" in chosen or not (folder / CATALOGUE).is_file():
        raise ValueError(
            "INTRIGUING_TF_ZOO must be an address that starts with https:// or http://, or a "
            f"folder that holds a {CATALOGUE}. Received: {chosen!r}. Unset it for the zoo that "
            "comes with the package."
        )
    return folder


def cache() -> Path:
    """Returns the folder for downloads; it need not exist yet."""
    chosen = os.environ.get("INTRIGUING_TF_CACHE", "")
    if chosen:
        return expanded(chosen)
    return Path(platformdirs.user_cache_dir("intriguing_tf"))


def download_of(name: str, file: str, sha256: str) -> Path:
    """Returns where an entry's download goes; one folder per hash, so versions never mix."""
    return cache() / name / sha256[:16] / file


def offline() -> bool:
    """Returns whether `INTRIGUING_TF_OFFLINE` forbids downloads.

    Raises:
        ValueError: it is set to something that is neither yes nor no.
    """
    chosen = os.environ.get("INTRIGUING_TF_OFFLINE", "").lower()
    if chosen in ("", "0", "false", "no"):
        return False
    if chosen in ("1", "true", "yes"):
        return True
    raise ValueError(f"INTRIGUING_TF_OFFLINE must be 1 or 0. Received: {chosen!r}.")
