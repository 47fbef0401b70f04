"""What a name of data may stand for: MNIST, arrays, images, or a tensorflow-datasets name.

`check_data_name` takes moments and needs no TensorFlow; `load_data` of `loading` does the work.
"""

from __future__ import annotations

import difflib
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from intriguing_tf.files import expanded, listed, not_there

DATA = (
    "MNIST's 'test' or 'train', the bundled 'sample', an .npz file with arrays 'images' and "
    "'labels', a folder of images or of class folders, image files between commas, or a "
    "tensorflow-datasets name such as cifar10 or cifar10:train"
)
_NUMBERS = {".npy", ".csv", ".tsv", ".parquet", ".h5", ".hdf5", ".mat", ".pkl"}
_AS_NPZ = "Write arrays with numpy.savez('my.npz', images=x, labels=y). "
MNIST = ("sample", "test", "train")
TFDS = re.compile(r"(?P<name>[a-z][a-z0-9_]*(/[\w.-]+)?)(:(?P<split>[\w\[\]:%+]+))?")


def check_data_name(name: str | os.PathLike | Sequence[str | os.PathLike]) -> None:
    """Checks a name of data, as far as that goes without reading them.

    Raises:
        TypeError: it is no name or path, nor a list of them.
        ValueError: it stands for nothing, or an `.npz` file holds no images.
        FileNotFoundError: no such file.
    """
    names = listed(name)
    first = names[0] if names else ""
    if len(names) == 1 and (first in MNIST or is_npz(first)):
        if is_npz(first):
            _check_npz(first)
        return
    if len(names) == 1 and not expanded(first).exists():
        _check_tfds(first)
        return
    from intriguing_tf.datasets import folders  # here: --help must not load NumPy

    files = [Path(each) for each in names if expanded(each).is_file()]
    for file in files:
        if file.suffix.lower() not in folders.SUFFIXES:
            hint = _AS_NPZ if file.suffix.lower() in _NUMBERS else ""
            raise ValueError(f"data are {DATA}. {hint}Received: {file}.")
    folders.check_image_path(names)


def is_npz(name: str) -> bool:
    """Whether a name is that of an `.npz` file."""
    return Path(name).suffix.lower() == ".npz"


def _check_npz(name: str) -> None:
    """Refuses a file that is not there, or without images."""
    path = expanded(name)
    if not path.is_file():
        raise not_there(name)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                held = sorted(archive.namelist())
        except Exception as error:  # what damaged bytes do to a reader is not foreseen by it
            raise ValueError(
                f"{name} is not an .npz file as numpy.savez writes it: {error}."
            ) from error
    if "images.npy" not in held:
        received = ", ".join(each.removesuffix(".npy") for each in held) or "an empty archive"
        raise ValueError(
            f"{name} must hold an array 'images' (or rows of a table, or series), and 'labels' if "
            f"they are known. {_AS_NPZ}Received: {received}."
        )


def _check_tfds(name: str) -> None:
    """Refuses what is neither a file nor a data set that tensorflow-datasets knows."""
    match = TFDS.fullmatch(name)
    if match is None or Path(name).suffix:
        hint = f" Did you mean {name.lower()}?" if name.lower() in MNIST else ""
        raise FileNotFoundError(f"{not_there(name, 'file or folder')}{hint}")
    base = match["name"].split("/")[0]
    if (expanded(data_dir() or "~/tensorflow_datasets") / base).is_dir():
        return
    import tensorflow_datasets as tfds  # here, for it is slow; it does not import TensorFlow

    known = tfds.list_builders(with_community_datasets=False)
    if base not in known:
        near = ", ".join(difflib.get_close_matches(base, known, n=3))
        raise FileNotFoundError(
            f"{not_there(name, 'file or folder')} tensorflow-datasets has no {base!r} "
            f"either{f', but {near}' if near else ''}."
        )


def data_dir() -> str | None:
    """Returns the data directory of tensorflow-datasets that the environment names, if it does."""
    folder = os.environ.get("TFDS_DATA_DIR")
    return str(expanded(folder)) if folder else None
