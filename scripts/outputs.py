"""The folder that a command writes its results to: its alone while it works, and of one run."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from intriguing_tf.files import check_places, is_plain_file, write_atomically

_LOCK, _RECORD = ".lock", ".written.json"
_NONE = r"(?!)"  # matches no name


def holds_something(folder: Path) -> bool:
    """Whether there is more in a folder than what commands keep there for themselves."""
    return folder.is_dir() and any(each.name not in (_LOCK, _RECORD) for each in folder.iterdir())


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder. One that is made and stays empty goes again.

    Raises:
        RuntimeError: another process is at work in it.
    """
    from intriguing_tf.store import locked  # here: --help must not load TensorFlow

    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with locked(folder):
            try:
                yield
            finally:
                if not holds_something(folder):
                    (folder / _LOCK).unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):  # some are not empty
            for each in made:
                each.rmdir()


@contextlib.contextmanager
def results(flags: Any, fixed: Collection[str], others: str = _NONE) -> Iterator[Results]:
    """The folder of --output, for the results of one run.

    Args:
        flags: with --output and --overwrite.
        fixed: names that the command gives to files, whatever the results; `folder/*` for all in
            a folder.
        others: a regular expression of the names of all others. Names begin at the folder, with /.

    Raises:
        RuntimeError: another process is at work in the folder.
        ValueError: it holds something, without --overwrite; or files that may be of another run,
            but are not known to be the command's; or a folder in the place of a file.
    """
    folder = Path(flags.output)
    with alone_in(folder):
        if holds_something(folder) and not flags.overwrite:  # since the flags were read
            raise ValueError(not_empty(folder))
        check_places(folder, fixed, own=True)
        found = Results(folder, fixed)
        found.refuse_strangers(re.compile(others))
        yield found


def not_empty(folder: Path) -> str:
    """Says that a folder holds something, and what to do."""
    return f"{folder} is not empty: give another --output, or --overwrite."


class Results:
    """The results of one run: what an earlier one wrote goes when the first of them are written.

    Args:
        folder: that is locked.
        fixed: as for `results`.

    Attributes:
        folder: of the results.
    """

    def __init__(self, folder: Path, fixed: Collection[str]):
        self.folder, self._fixed = folder, fixed
        self._earlier = _read(folder / _RECORD)

    def refuse_strangers(self, others: re.Pattern[str]) -> None:
        """Raises if files look like results, and no run of the command says that it wrote them."""
        there = (each.relative_to(self.folder).as_posix() for each in self.folder.rglob("*"))
        strangers = sorted(n for n in there if others.fullmatch(n) and n not in self._earlier)
        if strangers:
            raise ValueError(
                f"{self.folder} holds {len(strangers)} files that may be results of another run, "
                "but are not known to be: move them, or give another --output. Received: "
                f"{', '.join(strangers[:3])}."
            )

    def begin(self, replaced: Iterable[str], others: Iterable[str] = ()) -> None:
        """Removes what an earlier run wrote, and records what this one is about to write.

        Args:
            replaced: names of the files that are written first, in the place of earlier ones.
            others: names of all that may follow.
        """
        replaced, others = set(replaced), set(others)
        by_earlier_releases = all((self.folder / name).is_file() for name in replaced)
        own = {*self._earlier, *(self._fixed if by_earlier_releases else ())}
        for name in own - replaced:
            path = self.folder / name
            if is_plain_file(path):
                path.unlink()
        record = {"files": sorted(replaced | others)}
        write_atomically(self.folder / _RECORD, json.dumps(record, indent=1) + "\n")
        self._earlier = replaced | others


def _read(record: Path) -> set[str]:
    """Returns the names in a record that can be a run's: within the folder."""
    try:
        names = json.loads(record.read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return {name for name in texts if _is_within(PurePosixPath(name))}


def _is_within(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts and "\0" not in str(path)
