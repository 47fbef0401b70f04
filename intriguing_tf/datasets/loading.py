"""From a name of data to images in the shape that a model takes, within its bounds."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.archives import own_arrays
from intriguing_tf.checks import check_interval
from intriguing_tf.datasets import folders, imagenet_labels, mnist_data, names
from intriguing_tf.datasets.image_sets import ImageSet, check_number
from intriguing_tf.files import expanded, listed

_SPLITS = ("test", "validation", "train")  # in this order, where no split is named


def load_data(
    name: str | os.PathLike | Sequence[str | os.PathLike],
    shape: Sequence[int | None] | None = None,
    *,
    number: int | None = None,
    of_known: int | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    class_names: Sequence[str] | None = None,
    outputs: int | None = None,
    resize: str | None = None,
) -> ImageSet:
    """Returns the images that a name stands for, as a model takes them.

    Args:
        name: MNIST's "test" or "train", the bundled "sample"; an `.npz` file with "images", and
            with "labels" if they are known; a folder of images or of class folders, or a list of
            image files; or a tensorflow-datasets name, with ":split" behind it.
        shape: of one image, which size and channels are fitted to; `None` to leave MNIST as it is.
        number: how many, from the first on; of a folder, spread over its files, of which those
            that cannot be read are left out. By default all.
        of_known: how many of MNIST or tensorflow-datasets where `number` is `None`, at most.
        bounds: least and largest pixel value, finite, to which pixels of 8 bits are scaled. Floats
            of an `.npz` file stay as they are, whatever the bounds.
        class_names: in the order of the model's outputs.
        outputs: of the model, as in `image_folder`.
        resize: "stretch" or "crop", as in `image_folder`; by default "crop" where the class
            names are ImageNet's.

    Raises:
        TypeError, ValueError: other data than these, images that do not fit, a number that is no
            positive integer or larger than that of the images, or bounds that are no interval.
        FileNotFoundError: no such file, or the data are unavailable.

    Warns:
        UserWarning: a name of MNIST's is also that of a folder here.

    Example:

        images, labels, class_names = load_data("photographs/", model.input_shape[1:])
    """
    names.check_data_name(name)
    check_number(number)
    check_number(of_known)
    paths = listed(name)
    first = paths[0]
    if names.is_npz(first):
        found = _npz(expanded(first), bounds).first(number)
        fitted = dataclasses.replace(found, images=_reshaped(found.images, shape))
        return _named(fitted, class_names)
    check_interval("bounds", bounds)  # before anything is read
    if first in names.MNIST:
        if Path(first).is_dir():
            warnings.warn(
                f"{first!r} is MNIST's; the folder of that name here is ./{first}.", stacklevel=2
            )
        found = _mnist(first)
        found = found.first(number or (of_known and min(of_known, len(found))))
        fitted = dataclasses.replace(found, images=_fitted(found.images, shape, first))
        return _scaled(_named(fitted, class_names), bounds)
    if not expanded(first).exists():
        found = _tfds(first, _image_shape(shape, first), number, of_known)
        return _scaled(_named(found, class_names), bounds)
    height, width, channels = _image_shape(shape, first)
    if number is not None:
        check_number(number, len(folders.image_files_in(paths)))
    of_imagenet = list(class_names or ()) == imagenet_labels.imagenet_class_names()
    found = folders.image_folder(
        paths,
        (height, width),
        channels=channels,
        class_names=class_names,
        outputs=outputs,
        resize=resize or ("crop" if of_imagenet else "stretch"),
        number=number,
    )
    return _scaled(found, bounds)


def _mnist(name: str) -> ImageSet:
    images, labels = mnist_data.mnist_sample() if name == "sample" else mnist_data.mnist(name)
    return ImageSet(images, labels, tuple("0123456789"))


def _npz(path: Path, bounds: tuple[float, float]) -> ImageSet:
    arrays = own_arrays(path, ("images", "labels", "class_names"))
    images = arrays.get("images")
    if images is None or not images.shape or images.dtype.kind not in "fiub":
        received = "no images" if images is None else f"{images.dtype} with shape {images.shape}"
        raise ValueError(f"{path} must hold 'images', numbers [n, ...]. Received: {received}.")
    labels = _labels(path, arrays.get("labels"), images.shape)
    found = ImageSet(images, labels, _class_names(path, arrays.get("class_names")))
    if images.dtype == np.uint8:
        if images.ndim < 3:
            raise ValueError(
                f"{path} holds uint8 rows, which may be pixels or other numbers: save floats, as "
                f"the model takes them. Received: shape {images.shape}."
            )
        return _scaled(dataclasses.replace(found, images=images.astype(np.float32) / 255), bounds)
    return found


def _labels(path: Path, labels: np.ndarray | None, images: tuple[int, ...]) -> np.ndarray | None:
    """Returns a file's labels, one for each image; a column or one-hot rows become class numbers.

    Raises:
        ValueError: there are others; the file is named.
    """
    if labels is None or labels.shape == images[:1]:
        return labels
    if labels.ndim != 2 or labels.shape[0] != images[0]:
        raise ValueError(
            f"{path} must have a label for each image. Received: images {images}, labels "
            f"{labels.shape}."
        )
    if labels.shape[1] == 1:
        return labels[:, 0]
    if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
        raise ValueError(
            f"{path} must hold 'labels' [n], [n, 1] or one-hot rows of one 1 and zeros. Received: "
            f"other rows, {labels.shape}; if they are scores, save labels.argmax(axis=1)."
        )
    return labels.argmax(axis=1)


def _class_names(path: Path, names: np.ndarray | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.ndim != 1:
        raise ValueError(
            f"{path} must hold 'class_names' as a list, in the order of the labels. Received: an "
            f"array of shape {names.shape}."
        )
    try:
        decoded = np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must hold 'class_names' as text, or in UTF-8: {error}.") from None
    return tuple(map(str, decoded))


def _tfds(
    name: str, shape: tuple[int, int, int], number: int | None, of_known: int | None
) -> ImageSet:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    match = names.TFDS.fullmatch(name)
    assert match is not None
    try:
        builder = tfds.builder(match["name"], data_dir=names.data_dir())
        if not builder.is_prepared():
            builder.download_and_prepare()
        split = match["split"] or next(each for each in _SPLITS if each in builder.info.splits)
        dataset = builder.as_dataset(split=split, as_supervised=True, shuffle_files=False)
    except Exception as error:  # tensorflow-datasets raises many kinds for one cause
        raise FileNotFoundError(
            f"tensorflow-datasets cannot load {name!r}. It says: {error}"
        ) from error

    def fit(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = _channels(tf.cast(image, tf.float32), shape[2])
        if tuple(image.shape[:2]) != shape[:2]:
            image = tf.image.resize(image, shape[:2])
        return tf.clip_by_value(image / 255.0, 0.0, 1.0), tf.cast(label, tf.int64)

    total = builder.info.splits[split].num_examples
    check_number(number, total)
    wanted = number or min(of_known or total, total)
    label = builder.info.supervised_keys[1]
    class_names = tuple(getattr(builder.info.features[label], "names", None) or ()) or None
    dataset = dataset.take(wanted).map(fit)
    if 4 * math.prod(shape) * wanted > folders.MEMORY:
        count = tf.data.experimental.assert_cardinality(wanted)
        return ImageSet(dataset.apply(count), None, class_names)
    pairs = list(dataset.as_numpy_iterator())
    images, labels = (np.stack(each) for each in zip(*pairs, strict=True))
    return ImageSet(images, labels, class_names)


def _fitted(images: Any, shape: Sequence[int | None] | None, name: str) -> Any:
    """Returns an array of images in a model's shape: as it is, laid out otherwise, or resized."""
    same = _reshaped(images, shape)
    if shape is None or same.shape[1:] == tuple(shape):
        return same
    import tensorflow as tf

    height, width, channels = _image_shape(shape, name)
    return tf.image.resize(_channels(images, channels), (height, width)).numpy().clip(0, 1)


def _reshaped(images: Any, shape: Sequence[int | None] | None) -> Any:
    """Returns the array with another layout of the same numbers, where only that differs."""
    wanted = None if shape is None or None in shape else tuple(shape)
    if wanted is None or images.shape[1:] == wanted:
        return images
    squeezed = [tuple(n for n in each if n != 1) for each in (images.shape[1:], wanted)]
    flat = len(wanted) == 1 and math.prod(images.shape[1:]) == wanted[0]
    return images.reshape(-1, *wanted) if squeezed[0] == squeezed[1] or flat else images


def _channels(images: Any, channels: int) -> Any:
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    if images.shape[-1] == channels:
        return images
    return tf.image.grayscale_to_rgb(images) if channels == 3 else tf.image.rgb_to_grayscale(images)


def _image_shape(shape: Sequence[int | None] | None, name: str) -> tuple[int, int, int]:
    """Returns the shape of one image.

    Raises:
        ValueError: it is not that of images of one size, gray or RGB.
    """
    wanted = tuple(shape or ())
    if len(wanted) != 3 or None in wanted or wanted[2] not in (1, 3):
        raise ValueError(
            f"{name} holds images, so the model must take images [height, width, 1 or 3] of one "
            f"size. Received: a model of inputs {wanted}."
        )
    height, width, channels = (int(each or 0) for each in wanted)
    return height, width, channels


def _named(found: ImageSet, class_names: Sequence[str] | None) -> ImageSet:
    """Returns the set with other class names, if they are given."""
    if class_names is None:
        return found
    return dataclasses.replace(found, class_names=tuple(class_names))


def _scaled(found: ImageSet, bounds: tuple[float, float]) -> ImageSet:
    """Returns images in [0, 1] scaled to other bounds."""
    lower, upper = check_interval("bounds", bounds)
    if (lower, upper) == (0.0, 1.0):
        return found
    images = found.images
    if hasattr(images, "scaled"):
        return dataclasses.replace(found, images=images.scaled(lower, upper))
    if not hasattr(images, "clip"):
        import tensorflow as tf

        scaled = images.map(
            lambda x, label: (tf.clip_by_value(lower + (upper - lower) * x, lower, upper), label)
        )
        return dataclasses.replace(found, images=scaled)
    scaled = (lower + (upper - lower) * images).clip(lower, upper).astype(images.dtype)
    return dataclasses.replace(found, images=scaled)
