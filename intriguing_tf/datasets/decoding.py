"""Image files to pixels, and pixels to the size that a network takes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intriguing_tf.files import read_content, unreadable

if TYPE_CHECKING:
    import tensorflow as tf

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
# Before the centre is cut out, the shorter side becomes this many pixels for each 224 wanted.
_SHORT_SIDE = 256 / 224
MOST_PIXELS = 2**26  # of an image once it is scaled; TensorFlow may crash where memory ends


def read_each(
    files: Iterable[Path],
    read: Callable[[Path], np.ndarray],
    skip: Callable[[Path, str], None],
) -> Iterator[tuple[Path, np.ndarray]]:
    """Yields each file with its image; calls `skip` with those that cannot be read, and why."""
    for file in files:
        try:
            image = read(file)
        except (ValueError, OSError) as error:
            skip(file, str(unreadable(file) or error))
        else:
            yield file, image


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
    """Scales and cuts a uint8 image to `shape`, float32 in [0, 1].

    Raises:
        ValueError: scaled, an image that is read by itself would have more than `MOST_PIXELS`.
    """
    import tensorflow as tf

    height, width = shape
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    wanted = tf.constant([height, width], tf.float32)
    # The larger of the two ratios leaves enough of both sides to cut from.
    scale = tf.reduce_max(tf.round(wanted * _SHORT_SIDE) / size)
    if tf.executing_eagerly() and tf.reduce_prod(size * scale) > MOST_PIXELS:
        raise ValueError(
            f"to fill {height} × {width} pixels it would be scaled to "
            f"{' × '.join(f'{side:.0f}' for side in (size * scale).numpy())}, more than "
            f"{MOST_PIXELS}"
        )
    scaled = tf.maximum(tf.cast(tf.round(size * scale), tf.int32), [height, width])
    image = tf.cast(image, tf.float32) / 255.0
    if tf.reduce_any(scaled != tf.shape(image)[:2]):
        image = tf.image.resize(image, scaled, method="bicubic", antialias=True)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    image = image[top : top + height, left : left + width]
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0), (height, width, image.shape[-1]))


def image_size(size: Any) -> tuple[int, int]:
    """Returns height and width.

    Raises:
        ValueError: they are not positive integers, one or two, or too large.
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
    height, width = int(sides[0]), int(sides[1])
    if height * width > MOST_PIXELS:
        raise ValueError(f"`size` may be {MOST_PIXELS} pixels at most. Received: {size!r}.")
    return height, width
