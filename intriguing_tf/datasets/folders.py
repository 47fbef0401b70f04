"""Any folder of images: class folders as `keras.utils` takes them, a folder, or single files."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from intriguing_tf.checks import check_between, check_choice, check_kinds
from intriguing_tf.datasets import imagenet_labels
from intriguing_tf.datasets.decoding import SUFFIXES, cut_out, decode, image_size, read_each
from intriguing_tf.datasets.image_sets import ImageSet, LazyImages, check_number
from intriguing_tf.files import expanded, listed, not_there, unreadable
from intriguing_tf.progress import progress_bar
from intriguing_tf.text import printable

RESIZE = ("stretch", "crop")
MEMORY = 2**30  # bytes of images that are kept in memory


def image_folder(
    path: str | os.PathLike | Sequence[str | os.PathLike],
    size: int | tuple[int, int] = 224,
    *,
    channels: int = 3,
    class_names: Sequence[str] | None = None,
    outputs: int | None = None,
    resize: str = "stretch",
    number: int | None = None,
    memory: float = MEMORY,
    verbose: bool | str = "auto",
) -> ImageSet:
    """Reads a folder of class folders, a folder of images, or a list of image files.

    Class folders are counted in the order of their names, as
    `keras.utils.image_dataset_from_directory` counts them. Folders named by WordNet numbers are
    ImageNet's classes, unless `outputs` or `class_names` say otherwise. Links are followed; a
    folder that a class folder leads to several times is looked through once. A file that cannot be
    read or decoded is left out, with its name and the reason in `skipped`; so is every other file
    that is not an image, but for hidden ones.

    Args:
        path: of a folder, or of files (JPEG, PNG, BMP, or GIF, of which the first frame counts).
        size: height and width, or one integer for both, of what the model takes.
        channels: 1 for grayscale or 3 for RGB.
        class_names: in the order of the model's outputs, if that is not the order of the folders'
            names: each folder must then be called as one of these, or as one of the words between
            its commas.
        outputs: of the model, if they are known; one tells two classes apart. As many folders
            named by WordNet numbers are the model's classes, in the order of their names.
        resize: how an image of another size is fitted. "stretch": bilinear, as
            `image_dataset_from_directory` does it. "crop": the shorter side becomes 8/7 of the
            size, bicubic, and the center is cut out, as ImageNet's networks are evaluated.
        number: how many images that can be read, spread over the files; the first ones of a larger
            number are those of a smaller, also where there are not so many. All, in the order of
            their names, by default.
        memory: bytes of images, beyond which files are read when they are needed.
        verbose: show progress; "auto": if the standard error is a terminal.

    Returns:
        An `ImageSet`, which unpacks as `images, labels, class_names`: images float32
        `[n, height, width, channels]` in [0, 1], labels int64 `[n]`. Without class folders, labels
        and class names are `None`.

    Raises:
        TypeError, ValueError: arguments that are not as above, a folder whose name is not among
            the class names, or no file that is an image.
        FileNotFoundError: there is no such file or folder.

    Example:

        images, labels, class_names = itf.datasets.image_folder("photographs", size=(64, 64))
    """
    shape = (*image_size(size), channels)
    check_choice("channels", channels, (1, 3))
    check_choice("resize", resize, RESIZE)
    check_between("memory", memory, -1)
    if class_names is not None:
        check_kinds("class_names", class_names, str, "names")
    check_number(number)
    found = _find(path)
    files = found.files
    if number is not None:
        files = [files[i] for i in _spread(len(files))]
    class_of = {file: name or imagenet_labels.wnid_of(file) for file, name in files}
    names_only = [file for file, _ in files]
    readable, images, skipped = read_files(names_only, shape, resize, number, memory, verbose)
    folders = [class_of[file] for file in readable]
    labels, names = _labels(folders, found.classes, class_names, outputs)
    return ImageSet(images, labels, names, tuple(readable), tuple(found.others + skipped))


def _spread(count: int) -> list[int]:
    """Returns 0 to count - 1 in an order of which each beginning is spread over the whole.

    Numbers are ordered by their binary digits read backwards (van der Corput).
    """
    digits = max(1, (count - 1).bit_length())
    backwards = (int(f"{i:0{digits}b}"[::-1], 2) for i in range(1 << digits))
    return [i for i in backwards if i < count]


def check_image_path(path: str | os.PathLike | Sequence[str | os.PathLike]) -> None:
    """Checks that a path is a folder with images in it, or that paths are of files or folders.

    Raises:
        ValueError: a folder without images.
        FileNotFoundError: there is no such file or folder.
    """
    _find(path)


def image_files_in(path: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    """Returns the image files of a folder or of its class folders; files themselves.

    Raises:
        ValueError: a folder without images.
        FileNotFoundError: there is no such file or folder.
    """
    return [file for file, _ in _find(path).files]


def read_class_names(file: str | os.PathLike) -> tuple[str, ...]:
    """Returns the class names in a text file, a name per line in the order of the outputs.

    Raises:
        ValueError: it is empty or no UTF-8 text.
        OSError: it cannot be read.
    """
    try:
        lines = expanded(file).read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be UTF-8 text, a class name per line: {error}.") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"{file} must have a class name per line. Received: an empty file.")
    return names


class _Found(NamedTuple):
    """Image files, each with the name of its class folder; others with the reason; all classes."""

    files: list[tuple[Path, str]]
    others: list[tuple[Path, str]]
    classes: list[str]


def _find(path: Any) -> _Found:
    paths = [expanded(file) for file in listed(path)]
    if missing := [file for file in paths if not file.exists()]:
        raise not_there(missing[0], "file or folder")
    if not paths:
        raise ValueError("name image files or a folder of them. Received: none.")
    found = [_find_in(each) if each.is_dir() else _Found([(each, "")], [], []) for each in paths]
    if len(found) > 1 and any(each.classes for each in found):
        raise ValueError(
            "a folder of class folders is read by itself, not among others. Received: "
            f"{', '.join(map(str, paths))}."
        )
    return _Found(
        [file for each in found for file in each.files],
        [file for each in found for file in each.others],
        found[0].classes,
    )


def _find_in(folder: Path) -> _Found:
    """Looks through class folders, if any holds an image, else through the folder itself."""
    there = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    classes = [each for each in there if each.is_dir()]
    above = {os.path.realpath(each) for each in (folder, *classes)}
    below = [(file, each.name) for each in classes for file in _files_below(each, above)]
    beside = [(each, "") for each in there if not each.is_dir()]
    in_classes = any(_is_image(file) for file, _ in below)
    files = [pair for pair in (below if in_classes else beside) if _is_image(pair[0])]
    if not files:
        raise ValueError(
            f"there must be images ({_LISTED}) in {folder}, or in folders in it. Received: none."
        )
    kept = {file for file, _ in files}
    others = [
        (
            file,
            "it lies beside the class folders"
            if _is_image(file)
            else unreadable(file) or f"its name does not end in {_LISTED}",
        )
        for file, _ in [*below, *beside]
        if file not in kept
    ]
    return _Found(files, others, [each.name for each in classes] if in_classes else [])


_LISTED = ", ".join(sorted(SUFFIXES))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.is_dir()


def _files_below(folder: Path, above: Collection[str]) -> list[Path]:
    """Returns the files of a class folder and of folders in it, and folders that cannot be read.

    Args:
        folder: of a class.
        above: real paths of folders that links in it may lead back to: not those of this class.
    """
    seen = {*above} - {os.path.realpath(folder)}
    found = []

    def left_out(error: OSError) -> None:
        found.append(Path(error.filename))

    for root, folders, names in os.walk(folder, followlinks=True, onerror=left_out):
        if (place := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(place)
        found += [Path(root, name) for name in names if not name.startswith(".")]
    return sorted(found)


def read_files(
    files: list[Path],
    shape: tuple[int, int, int],
    resize: str,
    number: int | None = None,
    memory: float = math.inf,
    verbose: bool | str = "auto",
) -> tuple[list[Path], Any, list[tuple[Path, str]]]:
    """Reads files once, until so many are images; keeps these if there is room.

    Returns:
        The files that are images; float32 `[n, *shape]`, or `LazyImages`; file and reason of each
        that was left out.

    Raises:
        ValueError: none is an image.
    """

    def read(file: Path) -> np.ndarray:
        return _fitted(decode(file, shape[2]), shape, resize)

    wanted = min(number or len(files), len(files))
    keeps = 4 * np.prod(shape) * wanted <= memory
    readable: list[Path] = []
    images: list[np.ndarray] = []
    skipped: list[tuple[Path, str]] = []
    with progress_bar(wanted, "images", verbose) as bar:
        found = read_each(files, read, lambda *left_out: skipped.append(left_out))
        for file, image in itertools.islice(found, wanted):
            readable.append(file)
            if keeps:
                images.append(image)
            bar.update(1)
    if not readable:
        raise ValueError(
            f"None of {len(files)} files is an image. The first: {printable(str(skipped[0][0]))}: "
            f"{skipped[0][1]}."
        )
    return readable, np.stack(images) if keeps else LazyImages(readable, read, shape), skipped


def _fitted(pixels: Any, shape: tuple[int, int, int], resize: str) -> np.ndarray:
    import tensorflow as tf  # here: `itf.datasets` must not load it

    if resize == "crop":
        return cut_out(pixels, shape[:2]).numpy()
    image = tf.cast(pixels, tf.float32)
    if tuple(image.shape[:2]) != shape[:2]:
        image = tf.image.resize(image, shape[:2])
    return tf.clip_by_value(image / 255.0, 0.0, 1.0).numpy()


def _labels(
    classes: list[str],
    all_classes: list[str],
    class_names: Sequence[str] | None,
    outputs: int | None,
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Returns labels and the names of classes, where folders say them.

    Args:
        classes: the class folder of each image, or "".
        all_classes: the class folders.
        class_names: in the order of the outputs, if they are given.
        outputs: of the model, if they are known; one tells two classes apart.
    """
    names = None if class_names is None else tuple(class_names)
    if not all(classes):
        return None, names
    wnids, of_imagenet = imagenet_labels.imagenet_wnids(), imagenet_labels.imagenet_class_names()
    called = dict(zip(wnids, of_imagenet, strict=True))
    if set(classes) <= set(wnids) and (names is None or len(names) == len(wnids)):
        if names is None and len(all_classes) == (2 if outputs == 1 else outputs):
            names = tuple(called[name] for name in all_classes)
        else:
            all_classes, names = wnids, names or tuple(of_imagenet)
    elif names is not None:
        index = {name: _index(name, names, called) for name in set(classes)}
        return np.array([index[name] for name in classes], np.int64), names
    index = {name: i for i, name in enumerate(all_classes)}
    return np.array([index[name] for name in classes], np.int64), names or tuple(all_classes)


def _index(folder: str, class_names: tuple[str, ...], called: Mapping[str, str]) -> int:
    """Returns the class that a folder's name, or the words for a WordNet number, stand for."""

    def plain(text: str) -> str:
        return text.lower().replace("_", " ")

    wanted = {plain(folder), *plain(called.get(folder, folder)).split(", ")}
    exact = [i for i, name in enumerate(class_names) if plain(name) in wanted]
    words = [i for i, name in enumerate(class_names) if wanted & set(plain(name).split(", "))]
    found = exact or words
    if len(found) != 1:
        what = "several" if found else "none"
        raise ValueError(
            f"each class folder must be called as one of the class names, such as "
            f"{', '.join(map(repr, class_names[:3]))}. Received: {folder!r}, which is {what} of "
            "them."
        )
    return found[0]
