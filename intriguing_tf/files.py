"""Files that are written atomically, whole or as they were before; files of anyone, read."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from intriguing_tf.text import printable

_NEAR = 0.75  # how alike names are of which one may be meant
_STEM = 210  # bytes; a file's name may have 255, and temporary ones are up to 20 longer


def expanded(path: str | os.PathLike) -> Path:
    """Returns a path with the home folder for `~`, as a shell would have it.

    Raises:
        ValueError: it is empty, or begins with `~` and a name, whose home folder is not known.
    """
    if not os.fspath(path):
        raise ValueError("A path is needed; . is the current folder. Received: ''.")
    found = Path(os.path.expanduser(path))
    first = found.parts[0] if found.parts else ""
    if first.startswith("~") and not Path(first).exists():
        raise ValueError(
            f"No home folder is known for {first!r}: a folder of that name here is "
            f"{_shown(os.path.join('.', first))}. Received: {_shown(path)}."
        )
    return found


def listed(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[str]:
    """Returns one path or several, or names, as a list.

    Raises:
        TypeError: they are none.
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    valid = "what is read must be a path, or a list of paths"
    if isinstance(several, (bytes, dict)) or not isinstance(several, Iterable):
        raise TypeError(f"{valid}. Received: {paths!r}.")
    several = list(several)
    if others := [each for each in several if not isinstance(each, (str, os.PathLike))]:
        raise TypeError(f"{valid}. Received: a {type(paths).__name__} with {others[0]!r}.")
    return [os.fspath(each) for each in several]


def check_folder(path: str | os.PathLike) -> Path:
    """Returns the path of a folder that is there, or can be made.

    Raises:
        NotADirectoryError: a file is in its place, or in that of a folder above it.
        PermissionError: nothing may be written there.
    """
    path = expanded(path)
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise NotADirectoryError(
            f"{_shown(there)} is a file, where a folder is needed. Received: {_shown(path)}."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{_shown(there)} may not be written to. Received: {_shown(path)}.")
    return path


def check_places(folder: Path, names: Iterable[str], own: bool) -> None:
    """Checks the places of files in a folder, before the work whose results go there.

    Args:
        folder: need not be there.
        names: of all that will be written or removed, with / where it lies in folders in it.
        own: whether what is there was made by an earlier run, and may be replaced.

    Raises:
        ValueError: something is there that is of no known run, a folder is in the place of a file,
            or something else in that of a folder.
    """
    names = sorted({*names})
    there = [name for name in names if os.path.lexists(folder / name)]
    if there and not own:
        raise ValueError(
            f"{_shown(folder)} holds files that would be replaced, and are of no known run: give "
            f"another folder, or move them. Received: {', '.join(map(_shown, there))}."
        )
    for name in names:
        for each in (name, *map(str, PurePath(name).parents)):
            place, kind = folder / each, "file" if each == name else "folder"
            fits = place.is_file() if each == name else place.is_dir()
            if os.path.lexists(place) and not fits:
                raise ValueError(
                    f"{_shown(place)} must be a {kind}, or not be there: move it, or give another "
                    "folder."
                )


def with_matches(folder: Path, names: Iterable[str]) -> set[str]:
    """Returns names, and those in a folder that they match: `figures/*.svg` is for all of such."""
    names = {*names}
    matches = (path for name in names for path in folder.glob(name))
    return names.union(path.relative_to(folder).as_posix() for path in matches)


def short_stem(stem: str) -> str:
    """Returns a stem for names of files; one that is too long for them is cut, before its hash.

    Args:
        stem: without /. What stands before and after it in the names may have 25 bytes.
    """
    content = stem.encode(errors="surrogatepass")
    if len(content) <= _STEM:
        return stem
    ending = f"-{hashlib.sha256(content).hexdigest()[:8]}"
    return content[: _STEM - len(ending)].decode(errors="ignore") + ending


def write_atomically(path: str | os.PathLike, content: bytes | str) -> Path:
    """Writes a file under a temporary name beside it and renames it; makes missing folders.

    Args:
        path: where the file goes, `~` being the home folder; an existing file is replaced.
        content: text is written as UTF-8, and what is none of it, as in some names of files, as
            escapes.

    Returns:
        The path.

    Raises:
        OSError: nothing was written, and what was there before is untouched.
    """
    path = expanded(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Has errors of the system name the file, which those of writing to an open one do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise


def leftovers(folder: Path, name: str) -> list[Path]:
    """Returns the temporary files that killed calls of `write_atomically` left in a folder.

    Args:
        folder: need not exist.
        name: a regular expression of the names that the files would have got.
    """
    # `tempfile` adds eight characters; `.manifest.json.swp` is an editor's.
    pattern = re.compile(rf"\.(?:{name})\.[a-z0-9_]{{8}}")
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in there if pattern.fullmatch(path.name) and is_plain_file(path)]


def not_there(name: str | os.PathLike, what: str = "file") -> FileNotFoundError:
    """Returns the error about a name of no such file: what stands there instead, or what is meant.

    Args:
        name: as the user gave it.
        what: a "file", or a "file or folder".
    """
    path, shown = expanded(name), _shown(name)
    if path.is_symlink() and not path.exists():
        target = _shown(os.readlink(path))
        return FileNotFoundError(f"{shown} is a link to {target}, which is not there.")
    if path.is_dir():
        return FileNotFoundError(f"{shown} is a folder, where a file is needed.")
    if path.exists():
        return FileNotFoundError(f"{shown} is a pipe or a device, where a file is needed.")
    return FileNotFoundError(f"no such {what}: {shown}.{meant_by(name)}")


def unreadable(path: str | os.PathLike) -> str | None:
    """Returns why something that a folder lists cannot be read as a file; `None` if it can."""
    path = Path(path)
    if path.is_symlink() and not os.path.exists(path):
        return f"a link to {_shown(os.readlink(path))}, which is not there"
    if not os.access(path, os.R_OK):
        return "it may not be read"
    if not os.path.isfile(path):
        return "a folder" if os.path.isdir(path) else "a pipe or a device"
    return None


def meant_by(name: str | os.PathLike) -> str:
    """Returns a question with the files that a name of none may mean, and a space, or nothing."""
    path = expanded(name)
    try:
        there = {each.name.lower(): each for each in path.parent.iterdir() if each.exists()}
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name.lower(), there, n=2, cutoff=_NEAR)
    return f" Did you mean {' or '.join(_shown(there[each]) for each in near)}?" if near else ""


def is_plain_file(path: str | os.PathLike) -> bool:
    """Whether something is a file with one name: no link, folder, pipe or device."""
    try:
        state = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(state.st_mode) and state.st_nlink == 1


def read_content(path: str | os.PathLike, largest: int | None = None) -> bytes:
    """Returns the bytes of a regular file.

    Args:
        path: of the file.
        largest: bytes that are accepted.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is a pipe or a device, or larger.
    """
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):
        raise ValueError(f"{_shown(path)} must be a regular file. Received: a pipe or a device.")
    if largest is not None and state.st_size > largest:
        raise ValueError(f"{_shown(path)} may have {largest:,} bytes. Received: {state.st_size:,}.")
    return Path(path).read_bytes()


def _shown(path: str | os.PathLike) -> str:
    """A path as an error may print it: names of files may hold what a terminal obeys."""
    return printable(str(path))
