"""ImageNet's images in: from tensorflow-datasets, a folder of wnid folders, or single files."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from intriguing_tf.checks import check_positive_integer
from intriguing_tf.datasets import imagenet_labels
from intriguing_tf.files import expanded, not_there, read_content, unreadable

if TYPE_CHECKING:
    import tensorflow as tf

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
# Before the centre is cut out, the shorter side becomes this many pixels for each 224 wanted.
_SHORT_SIDE = 256 / 224


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
        return "\n".join(lines + [f"  skipped {file}: {reason}" for file, reason in self.skipped])


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


def read_images(files: Sequence[str | Path], size: int | tuple[int, int] = 224) -> ImageFiles:
    """Reads image files into memory; those that cannot be read or decoded are named and left out.

    Args:
        files: JPEG, PNG, BMP or GIF (the first frame), in any size; made to fit as `imagenet` does.
        size: height and width, or one integer for both; as the network's card says.

    Returns:
        `ImageFiles`; its labels are known where every file lies in a folder named by a WordNet
        number.

    Raises:
        ValueError: `files` is empty, or none of them is an image.
        FileNotFoundError: a file is not there.

    Example:

        print(itf.datasets.read_images(["cat.jpg"], size=224))
    """
    shape = image_size(size)
    paths = [expanded(file) for file in files]
    if not paths:
        raise ValueError("`files` must name at least one image file. Received none.")
    if missing := [path for path in paths if not os.path.lexists(path)]:
        raise not_there(missing[0])
    skipped: list[tuple[Path, str]] = []
    read = list(_readable(paths, shape, skipped))
    if not read:
        raise ValueError(
            f"None of {len(paths)} files is an image. The first: {skipped[0][0]}: {skipped[0][1]}."
        )
    labels = [_label(path) for path, _ in read]
    known = [label for label in labels if label is not None]
    return ImageFiles(
        images=np.stack([image for _, image in read]),
        files=tuple(path for path, _ in read),
        labels=np.array(known, np.int64) if len(known) == len(labels) else None,
        skipped=tuple(skipped),
    )


def _readable(
    files: Iterable[Path], shape: tuple[int, int], skipped: list[tuple[Path, str]]
) -> Iterator[tuple[Path, np.ndarray]]:
    for file in files:
        try:
            image = decode(file)
        except (ValueError, OSError) as error:
            reason = str(unreadable(file) or error)
            logging.warning("Skipped %s: %s.", file, reason)
            skipped.append((file, reason))
            continue
        yield file, cut_out(image, shape).numpy()


def decode(file: Path, channels: int = 3) -> tf.Tensor:
    """Returns the pixels of an image file, uint8 `[height, width, channels]`; of a GIF, one frame.

    Raises:
        ValueError: it cannot be decoded, or is a pipe or a device; the reason.
        OSError: it cannot be read.
    """
    import tensorflow as tf

    content = read_content(file)
    try:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        reason = (error.message or "").split("}} ")[-1].split(" [Op")[0]
        reason = reason.split("\n")[0].strip(" .")
        raise ValueError(reason) from None
    if content[:2] == b"BM":
        image = _with_palette(image, content)
    return tf.image.rgb_to_grayscale(image) if channels == 1 else image


def _with_palette(image: tf.Tensor, content: bytes) -> tf.Tensor:
    """Returns a BMP's pixels with the colours of its palette, whose indices TensorFlow gives.

    Raises:
        ValueError: it is compressed or of OS/2, or an index has no colour.
    """
    if len(content) < 54:
        raise ValueError("a BMP of another kind, or cut off, which cannot be read")
    start, size, depth, compression = struct.unpack_from("<II10xHI", content, 10)
    if size < 40 or compression not in (0, 3):
        raise ValueError("a BMP that is compressed or of OS/2, which cannot be read")
    if depth != 8:
        return image
    colors = int.from_bytes(content[46:50], "little") or 256
    palette = np.frombuffer(content[14 + size : min(start, 14 + size + 4 * colors)], np.uint8)
    palette = palette[: len(palette) // 4 * 4].reshape(-1, 4)[:, 2::-1]
    indices = image.numpy()[..., 0]
    if indices.max() >= len(palette):
        raise ValueError(f"a BMP of {len(palette)} colours. Received: number {indices.max()}")
    import tensorflow as tf

    return tf.constant(palette[indices])


def cut_out(image: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    """Scales and cuts a uint8 image to `shape`, float32 in [0, 1]."""
    import tensorflow as tf

    height, width = shape
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    wanted = tf.constant([height, width], tf.float32)
    # The larger of the two ratios leaves enough of both sides to cut from.
    scale = tf.reduce_max(tf.round(wanted * _SHORT_SIDE) / size)
    scaled = tf.maximum(tf.cast(tf.round(size * scale), tf.int32), [height, width])
    image = tf.cast(image, tf.float32) / 255.0
    if tf.reduce_any(scaled != tf.shape(image)[:2]):
        image = tf.image.resize(image, scaled, method="bicubic", antialias=True)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    image = image[top : top + height, left : left + width]
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0), (height, width, image.shape[-1]))


def _folder_dataset(folder: Path, shape: tuple[int, int]) -> tf.data.Dataset:
    import tensorflow as tf

    files = imagenet_files(folder)

    def examples() -> Iterator[tuple[np.ndarray, int | None]]:
        skipped: list[tuple[Path, str]] = []
        for file, image in _readable(files, shape, skipped):
            yield image, _label(file)
        if skipped:
            logging.warning("Skipped %d of %d files in %s.", len(skipped), len(files), folder)

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
    wnids = imagenet_labels.imagenet_wnids()
    return wnids.index(file.parent.name) if file.parent.name in wnids else None


def image_size(size: Any) -> tuple[int, int]:
    """Returns height and width.

    Raises:
        ValueError: they are not positive integers, one or two.
    """
    sides = (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(sides) != 2 or not all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) and side > 0
        for side in sides
    ):
        raise ValueError(
            "`size` must be a positive integer, or two of them, height and width (of a model: "
            f"model.input_shape[1:3]). Received: {size!r}."
        )
    return int(sides[0]), int(sides[1])
