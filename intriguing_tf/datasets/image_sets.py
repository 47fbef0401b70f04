"""Images of any source with what is known of them: labels, class names, files, what was skipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.checks import check_positive_integer
from intriguing_tf.text import printable


def check_number(number: Any, there: int | None = None) -> None:
    """Checks how many images are asked for, of so many as there are; `None` is all.

    Raises:
        ValueError: it is no positive integer, or larger.
    """
    if number is None:
        return
    check_positive_integer("number", number)
    if there is not None and number > there:
        raise ValueError(f"`number` must be from 1 to {there}. Received: {number}.")


def skipped_lines(skipped: Sequence[tuple[Path, str]]) -> list[str]:
    """Returns a line for each file that was left out, as a terminal may print it."""
    return [f"  skipped {printable(str(file))}: {reason}" for file, reason in skipped]


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels; unpacks as `images, labels, class_names`.

    Attributes:
        images: float32 `[n, height, width, channels]` in [0, 1]; a `LazyImages` where they are too
            many for the memory, which gives arrays when it is sliced; or a
            `tf.data.Dataset` of pairs (image, label).
        labels: int64 `[n]`, or `None` where they are unknown or the `tf.data.Dataset` brings them.
        class_names: in the order of the labels, or `None`.
        files: that the images come from, if they come from files.
        skipped: file and reason of each that was left out.

    Example:

        images, labels, class_names = itf.datasets.image_folder("photographs", 224)
    """

    images: Any
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    files: tuple[Path, ...] = ()
    skipped: tuple[tuple[Path, str], ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter((self.images, self.labels, self.class_names))

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        lines = [f"{len(self)} images read, {len(self.skipped)} skipped"]
        if self.class_names and self.labels is not None:
            lines[0] += f"; {len(np.unique(self.labels))} of {len(self.class_names)} classes"
        return "\n".join(lines + skipped_lines(self.skipped))

    __repr__ = __str__

    def first(self, number: int | None) -> ImageSet:
        """Returns the first images; all for `None`. Those of a `tf.data.Dataset` come singly.

        Raises:
            ValueError: `number` is no positive integer, or there are fewer. A data set of unknown
                length raises an error of TensorFlow's when it is read.
        """
        if number is None:
            return self
        if hasattr(self.images, "shape"):
            check_number(number, len(self))
            images = self.images[:number]
        else:
            images = _first_of(self.images, number)
        return dataclasses.replace(
            self,
            images=images,
            labels=None if self.labels is None else self.labels[:number],
            files=self.files[:number],
        )

    def check_classes(self, units: int | None) -> None:
        """Checks that the classes are those of a model with so many outputs, one meaning two.

        Raises:
            ValueError: there are more or fewer.
        """
        classes = 2 if units == 1 else units
        if self.class_names is not None and classes is not None:
            there = len(self.class_names)
            if there != classes:
                raise ValueError(
                    f"The model tells {classes} classes apart: name them all in the order of its "
                    f"outputs (`class_names`). Received: {there} classes, such as "
                    f"{', '.join(map(repr, self.class_names[:3]))}."
                )

    def in_memory(self) -> ImageSet:
        """Returns the set with its images as an array.

        Raises:
            ValueError: they are a `tf.data.Dataset`, too many for the memory.
        """
        if not hasattr(self.images, "shape"):
            raise ValueError(
                "the images must fit into the memory: choose fewer with `number`. Received: "
                f"{len(self)}."
            )
        return dataclasses.replace(self, images=np.asarray(self.images))


def _first_of(dataset: Any, number: int) -> Any:
    """Returns the first images of a `tf.data.Dataset`, which may hold batches, one by one."""
    import tensorflow as tf  # here, as below: `itf.datasets` must not load it

    from intriguing_tf.streams import is_batched

    single = dataset.unbatch() if is_batched(dataset) else dataset
    known = int(single.cardinality())  # negative: none
    check_number(number, known if known >= 0 else None)
    return single.take(number).apply(tf.data.experimental.assert_cardinality(number))


class LazyImages:
    """Images that are read from their files when they are asked for, as an array would give them.

    A number gives one image; a slice, or an array of places or bools `[n]`, others that are not
    read yet.

    Args:
        files: one for each image, each of which can be decoded.
        read: from a file to its float32 image.
        shape: of one image.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        files: Sequence[Path],
        read: Callable[[Path], np.ndarray],
        shape: tuple[int, ...],
    ):
        self._files, self._read, self.shape = tuple(files), read, (len(files), *shape)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: Any) -> Any:
        chosen = None if isinstance(rows, tuple) else np.arange(len(self))[rows]
        if chosen is None or chosen.ndim > 1:
            raise IndexError(
                "of images that are read from files whole ones are chosen: by a number, a slice or "
                f"an array [n]. np.asarray(images) reads all. Received: {rows!r}."
            )
        if chosen.ndim == 0:
            return self._read(self._files[chosen])
        return LazyImages([self._files[i] for i in chosen], self._read, self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        images = np.zeros(self.shape, self.dtype)
        for i, file in enumerate(self._files):
            images[i] = self._read(file)
        return images if dtype is None else images.astype(dtype)

    def scaled(self, lower: float, upper: float) -> LazyImages:
        """Returns the same images in [lower, upper]."""

        def read(file: Path) -> np.ndarray:
            return (lower + (upper - lower) * self._read(file)).clip(lower, upper).astype("float32")

        return LazyImages(self._files, read, self.shape[1:])
