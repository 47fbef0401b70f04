"""What command lines name: the one place where names become models and images.

The `check_...` functions take moments and need no TensorFlow, so that a mistyped name is told at
once; the `load_...` functions do the work.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from intriguing_tf import datasets, layers, models, zoo

if TYPE_CHECKING:
    import keras
    import numpy as np

MODELS = "a name of the zoo, a .keras or .h5 file, or applications/NAME of keras.applications"
DATA = (
    "MNIST's 'test' or 'train', the bundled 'sample', or an .npz file with arrays 'images' and "
    "'labels'"
)
_APPLICATIONS = "applications/"
MODEL_FILES = {".keras", ".h5", ".hdf5"}
_MNIST = ("sample", "test", "train")


def check_file(name: str) -> Path:
    """Returns the path of a file.

    Raises:
        FileNotFoundError: no such file.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {name}")
    return path


def check_model(name: str) -> None:
    """Checks the name of a model.

    Raises:
        ValueError: neither the name of an entry of the zoo nor that of a file of a model.
        FileNotFoundError: no such file.
    """
    if name.startswith(_APPLICATIONS):
        return  # which there are, Keras knows
    path = Path(name).expanduser()
    if path.suffix in MODEL_FILES:
        check_file(name)
    elif path.is_file():
        raise ValueError(f"a model is {MODELS}. Received: the file {name}.")
    else:
        _check_entry(name)


def _check_entry(name: str) -> None:
    """Checks a name that is no file's; unless it begins as the zoo's do, a file may be meant."""
    try:
        zoo.info(name)
    except ValueError as error:
        if zoo.list(f"{name.split('/')[0]}/*"):
            raise
        raise ValueError(f"no such file: {name}. {error}") from None


def load_model(name: str, application_weights: str | None = "imagenet") -> keras.Model:
    """Returns the model of a name; it is not compiled.

    Args:
        name: of an entry of the zoo, of a `.keras` or `.h5` file, or `applications/` and the name
            of a network of `keras.applications`, which then takes pixels in [0, 1].
        application_weights: of the latter: "imagenet", or `None` for random ones.

    Raises:
        ValueError: an unknown name, a file that Keras cannot load, unavailable weights.
        FileNotFoundError: no such file.
    """
    check_model(name)
    if name.startswith(_APPLICATIONS):
        return models.keras_application(name.removeprefix(_APPLICATIONS), application_weights)
    path = Path(name).expanduser()
    return _load_file(path) if path.suffix in MODEL_FILES else zoo.load(name)


def _load_file(path: Path) -> keras.Model:
    import keras  # here: --help must not load it

    for layer in dir(layers):  # Keras finds registered layers only once they are imported
        getattr(layers, layer)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for one cause: the file is wrong
        raise ValueError(f"Keras cannot load {path}: {error}") from error


def check_data(name: str) -> None:
    """Checks the name of a set of images.

    Raises:
        ValueError: neither MNIST nor an `.npz` file.
        FileNotFoundError: no such file.
    """
    if name in _MNIST:
        return
    check_file(name)
    if Path(name).suffix != ".npz":
        raise ValueError(f"data are {DATA}. Received: {name}.")


def load_images(
    name: str,
    number: int | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    *,
    of_mnist: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first images and labels of the set of a name.

    Args:
        name: MNIST's "test" or "train", the bundled "sample", or a path to an `.npz` file with
            arrays "images" and "labels".
        number: how many; by default all of a file.
        bounds: least and largest pixel value, finite, to which MNIST is scaled.
        of_mnist: how many of MNIST where `number` is `None`; by default all.

    Raises:
        ValueError: other data than these, or more images than there are.
        FileNotFoundError: no such file, or MNIST is unavailable.
    """
    check_data(name)
    if name in _MNIST:
        images, labels = _load_mnist(name, bounds)
        number = number or of_mnist
    else:
        images, labels = _load_npz(Path(name).expanduser())
    if number is not None and not 0 < number <= len(images):
        raise ValueError(
            f"`number` must be from 1 to {len(images)} for {name!r}. Received: {number}."
        )
    return images[:number], labels[:number]


def _load_mnist(name: str, bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = datasets.mnist_sample() if name == "sample" else datasets.mnist(name)
    if bounds == (0.0, 1.0):
        return images, labels
    lower, upper = bounds
    return (lower + (upper - lower) * images).clip(lower, upper).astype(images.dtype), labels


def _load_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np  # here: --help is quicker without

    try:
        with np.load(path, allow_pickle=False) as stored:
            if not {"images", "labels"} <= set(stored):
                raise ValueError(f"it must hold 'images' and 'labels', and holds {sorted(stored)}")
            return stored["images"], stored["labels"]
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz file of images and labels: {error}.") from error


def size_of_images(model: keras.Model) -> tuple[int, int]:
    """Returns the height and the width of the images that a model takes.

    Raises:
        ValueError: a model of another input than RGB images of one size.
    """
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or shape[2] != 3 or None in shape:
        raise ValueError(f"The model must take images [height, width, 3]. Received: {shape}.")
    return shape[0], shape[1]


def image_files(names: Sequence[str]) -> list[Path]:
    """Returns image files: those named, and those in the folders named (or in wnid folders there).

    Raises:
        ValueError: no names, or a folder without images.
        FileNotFoundError: a name that is neither file nor folder.
    """
    if not names:
        raise ValueError("name image files or folders of them, such as --data=cat.jpg.")
    files: list[Path] = []
    for path in (Path(name).expanduser() for name in names):
        if path.is_dir():
            files += datasets.image_files(path) or datasets.imagenet_files(path)
        elif path.is_file():
            files.append(path)
        else:
            raise FileNotFoundError(f"no such file or folder: {path}")
    return files
