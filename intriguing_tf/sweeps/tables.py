"""Tables of a sweep as files: where they can go is known before there is a sweep."""

from __future__ import annotations

import csv
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from intriguing_tf.files import check_folder, expanded, naming

Parts = Iterator[dict[str, Any]]  # arrays by name


def check_table(path: str | os.PathLike) -> Path:
    """Returns the path of a table that can be written.

    Raises:
        ValueError: another suffix than `.csv` and `.parquet`.
        ImportError: `.parquet` without pyarrow.
        OSError: a folder is in its place, or a file in that of a folder.
    """
    path = expanded(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"A table is a .csv or .parquet file. Received: {path.name!r}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, where a file is to be written.")
    check_folder(path.parent)
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow, or write .csv.")
    return path


def write_table(path: str | os.PathLike, columns: Sequence[str], parts: Parts) -> Path:
    """Writes rows atomically.

    Args:
        path: as `check_table` takes it.
        columns: their names.
        parts: arrays of one length by these names, one part after another.

    Raises:
        ValueError, ImportError, OSError: as `check_table`.
    """
    path = check_table(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    with naming(path), made as temporary:
        whole = Path(temporary) / path.name
        _WRITERS[path.suffix.lower()](whole, columns, parts)
        os.replace(whole, path)
    return path


def _write_csv(path: Path, columns: Sequence[str], parts: Parts) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for part in parts:
            writer.writerows(zip(*(part[name].tolist() for name in columns), strict=True))


def _write_parquet(path: Path, columns: Sequence[str], parts: Parts) -> None:
    import pyarrow
    import pyarrow.parquet

    tables = (pyarrow.table(part) for part in parts)
    first = next(tables)
    with pyarrow.parquet.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


_WRITERS: dict[str, Callable[[Path, Sequence[str], Parts], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
