"""ImageNet's images in: from tensorflow-datasets, a folder of wnid folders, or single files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from intriguing_tf.checks import check_positive_integer
from intriguing_tf.datasets import folders, imagenet_labels
from intriguing_tf.datasets.decoding import SUFFIXES, cut_out, decode, image_size, read_each
from intriguing_tf.datasets.image_sets import check_number, skipped_lines
from intriguing_tf.files import expanded, listed, not_there
from intriguing_tf.text import printable

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Images read from files, and the files that could not be read.

    Args:
        images: float32 `[n, height, width, 3]`, RGB in [0, 1].
        files: the n files they come from.
        labels: int64 `[n]`, or `None` where the files' folders name no class.
        skipped: file and reason of each that was left out.
    """

    images: np.ndarray
    files: tuple[Path, ...]
    labels: np.ndarray | None
    skipped: tuple[tuple[Path, str], ...]

    def __str__(self) -> str:
        lines = [f"{len(self.files)} images read, {len(self.skipped)} skipped"]
        return "\n".join(lines + skipped_lines(self.skipped))


def imagenet(
    source: str | Path = "imagenet2012",
    split: str = "validation",
    size: int | tuple[int, int] = 224,
    batch_size: int | None = None,
) -> tf.data.Dataset:
    """Streams images of ImageNet's classes.

    The shorter side of an image is scaled to 8/7 of `size` (256 for 224) by antialiased bicubic
    interpolation, unless it is that already, and the centre is cut out. Grayscale and CMYK become
    RGB; transparency is dropped. A file that cannot be read or decoded is named in the log, left
    out, and counted when the folder has been read.

    Args:
        source: a folder of folders named by WordNet number (`folder/n01518878/*.jpg`), or the name
            of a tensorflow-datasets data set whose classes are WordNet numbers: "imagenet2012"
            (which wants to be downloaded by hand: tensorflow-datasets says how), "imagenette",
            "imagenet_v2", ...
        split: of the data set; ignored for a folder.
        size: height and width, or one integer for both; as the network's card says.
        batch_size: `None` for single images.

    Returns:
        A `tf.data.Dataset` of images, float32 `[height, width, 3]` RGB in [0, 1], and labels,
        int64, the index of the class among ImageNet's 1000 in the order of the networks' logits.

    Raises:
        ValueError: the folder has no such folders, the data set has other classes, or `size` or
            `batch_size` is not positive.
        FileNotFoundError: the data set is not there and tensorflow-datasets cannot fetch it.

    Example:

        for images, labels in itf.datasets.imagenet("val/", size=224, batch_size=32):
            print(images.shape, labels.numpy())
    """
    shape = image_size(size)
    if batch_size is not None:
        check_positive_integer("batch_size", batch_size)
    if expanded(source).is_dir():
        dataset = _folder_dataset(expanded(source), shape)
    elif isinstance(source, Path) or "/" in source or "\\" in source:
        raise ValueError(f"There is no folder {str(source)!r}.")
    else:
        dataset = _tfds_dataset(source, split, shape)
    if batch_size is not None:
        dataset = dataset.batch(batch_size)
    return dataset.prefetch(2)


def imagenet_files(folder: str | Path) -> list[Path]:
    """Returns the image files of a folder of wnid folders, in the order of the classes.

    Raises:
        ValueError: the folder has no folder named by a WordNet number of ImageNet's classes with
            images in it.
    """
    folder = expanded(folder)
    classes = [folder / wnid for wnid in imagenet_labels.imagenet_wnids()]
    files = [file for wnid in classes if wnid.is_dir() for file in image_files(wnid)]
    if not files:
        raise ValueError(
            f"{str(folder)!r} has no folder with images that is named by a WordNet number of "
            "ImageNet's classes, such as n01518878."
        )
    return files


def image_files(folder: str | Path) -> list[Path]:
    """Returns the image files that lie in a folder, sorted by name.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
    """
    there = expanded(folder).iterdir()
    return sorted(each for each in there if each.suffix.lower() in SUFFIXES and not each.is_dir())


def read_images(
    files: Sequence[str | Path], size: int | tuple[int, int] = 224, *, number: int | None = None
) -> ImageFiles:
    """Reads image files into memory; those that cannot be read or decoded are named and left out.

    Args:
        files: JPEG, PNG, BMP or GIF (the first frame), in any size; made to fit as `imagenet` does.
        size: height and width, or one integer for both; as the network's card says.
        number: of images that are enough, the first that can be read; all by default.

    Returns:
        `ImageFiles`; its labels are known where every file lies in a folder named by a WordNet
        number.

    Raises:
        TypeError: `files` are no paths, or only one.
        ValueError: `files` is empty, or none of them is an image; or `number` is no positive
            integer, or there are fewer files.
        FileNotFoundError: a file is not there.

    Example:

        print(itf.datasets.read_images(["cat.jpg"], size=224))
    """
    shape = image_size(size)
    if isinstance(files, (str, os.PathLike)):
        raise TypeError(
            f"`files` must be a list of image files: [{str(files)!r}] for one; image_folder reads "
            f"folders. Received: {files!r}."
        )
    paths = [expanded(file) for file in listed(files)]
    if not paths:
        raise ValueError("`files` must name at least one image file. Received none.")
    if missing := [path for path in paths if not os.path.lexists(path)]:
        raise not_there(missing[0])
    check_number(number, len(paths))
    readable, images, skipped = folders.read_files(
        paths, (*shape, 3), "crop", number, verbose=False
    )
    for file, reason in skipped:
        _log(file, reason)
    labels = [_label(file) for file in readable]
    known = [label for label in labels if label is not None]
    return ImageFiles(
        images=images,
        files=tuple(readable),
        labels=np.array(known, np.int64) if len(known) == len(labels) else None,
        skipped=tuple(skipped),
    )


def _log(file: Path, reason: str) -> None:
    logging.warning("Skipped %s: %s.", printable(str(file)), reason)


def _folder_dataset(folder: Path, shape: tuple[int, int]) -> tf.data.Dataset:
    import tensorflow as tf

    files = imagenet_files(folder)

    def examples() -> Iterator[tuple[np.ndarray, int | None]]:
        number = 0
        for file, image in read_each(
            files, lambda file: cut_out(decode(file), shape).numpy(), _log
        ):
            number += 1
            yield image, _label(file)
        if number < len(files):
            skipped = len(files) - number
            logging.warning("Skipped %d of %d files in %s.", skipped, len(files), folder)

    signature = (
        tf.TensorSpec((*shape, 3), tf.float32),
        tf.TensorSpec((), tf.int64),
    )
    return tf.data.Dataset.from_generator(examples, output_signature=signature)


def _tfds_dataset(name: str, split: str, shape: tuple[int, int]) -> tf.data.Dataset:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        dataset, info = tfds.load(name, split=split, with_info=True, as_supervised=True)
    except (AssertionError, OSError, tfds.core.DatasetNotFoundError) as error:
        raise FileNotFoundError(
            f"tensorflow-datasets cannot load {name!r}; `source` may also be a folder of wnid "
            f"folders. It says: {error}"
        ) from error
    indices = _indices_of(name, info.features["label"].names)
    table = tf.constant(indices, tf.int64)
    return dataset.map(
        lambda image, label: (cut_out(image, shape), tf.gather(table, label)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _indices_of(name: str, wnids: Sequence[str]) -> list[int]:
    order = {wnid: index for index, wnid in enumerate(imagenet_labels.imagenet_wnids())}
    unknown = [wnid for wnid in wnids if wnid not in order]
    if unknown:
        raise ValueError(
            f"The classes of {name!r} are not WordNet numbers of ImageNet's 1000. "
            f"Received: {unknown[:3]}."
        )
    return [order[wnid] for wnid in wnids]


def _label(file: Path) -> int | None:
    wnid = imagenet_labels.wnid_of(file)
    return imagenet_labels.imagenet_wnids().index(wnid) if wnid else None
