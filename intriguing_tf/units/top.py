"""The images that reach furthest along each direction of a layer's activation space."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.checks import check_kind, check_positive_integer, check_unmasked
from intriguing_tf.classifier import check_model, takes
from intriguing_tf.keras_graph import graph_of
from intriguing_tf.progress import progress_bar
from intriguing_tf.reporting import ShownAsTable, Table
from intriguing_tf.streams import Stream
from intriguing_tf.units.directions import NATURAL, Projection
from intriguing_tf.units.nested import output_of


@dataclasses.dataclass(frozen=True)
class TopImages(ShownAsTable):
    """What `top_images` returns, one row per direction; prints as a table.

    Attributes:
        layer: name of the layer.
        kind: "natural", "random" or "given".
        units: int64 `[d]`, index of each unit in the flattened layer; `None` unless natural.
        indices: int64 `[d, k]`, places of the images in the data, the furthest first; among equals
            the earlier image first.
        values: float32 `[d, k]`, their inner products with the direction.
        determined: bool `[d]`: the k-th value exceeds the next one. Where it does not, as in a unit
            that is above 0 for fewer than k images, or saturates for more than k, the order of the
            data decides which images are the last.
        number: how many images there were.
    """

    layer: str
    kind: str
    units: np.ndarray | None
    indices: np.ndarray
    values: np.ndarray
    determined: np.ndarray
    number: int

    def names(self) -> list[str]:
        """Returns "unit 17" or "random 3" for each direction."""
        if self.units is not None:
            return [f"unit {u}" for u in self.units]
        return [f"{self.kind} {i}" for i in range(len(self.indices))]

    def table(self) -> Table:
        """Returns indices and values of each direction's images."""
        rows = [
            (name, " ".join(map(str, i)), f"{v[0]:.4g} ... {v[-1]:.4g}")
            for name, i, v in zip(self.names(), self.indices, self.values, strict=True)
        ]
        return Table(f"Layer {self.layer}", ("direction", "images", "inner product"), rows)


def top_images(
    model: keras.Model,
    layer: keras.layers.Layer | str,
    images: Any,
    directions: Any = NATURAL,
    k: int = 9,
    *,
    number: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    verbose: bool | str = "auto",
) -> TopImages:
    """Finds x' = argmax ⟨φ(x), v⟩ and the runners-up over held-out images (section 3).

    φ(x) is the layer's activation vector: a convolutional layer's maps are flattened, so that each
    place of each channel is a unit, as the paper's definition has it. The images stream past once;
    what stays in memory are a batch's activations, the directions, and k images' numbers for each
    direction.

    Args:
        model: a Sequential or Functional Keras model.
        layer: one of its layers, or the name of one; also of a model within the model. The input
            layer's name gives pixel space.
        images: a float array `[n, ...]`, a table, or what else has a shape and gives rows (the
            images of an `ImageSet`); a `tf.data.Dataset` of images or of pairs (image, label),
            batched or not, in an order that does not change; or an iterable of such batches; of
            tuples the first element is taken.
        directions: "natural" (units), "random" (uniform on the sphere), or an array
            `[d, width]`.
        k: images per direction, between 1 and the number of images.
        number: how many natural or random directions; by default as many as the layer is wide. Not
            with an array of directions.
        seed: which random directions, or which `number` units.
        batch_size: images per forward pass when `images` is an array or a data set.
        verbose: show a progress bar over the batches; "auto": if the standard error is a terminal.

    Returns:
        A `TopImages` with d rows of k images. The same whatever the batches are, up to rounding of
        the forward pass.

    Raises:
        TypeError: not a Keras model; images that are not floating point, or masked; a seed that is
            no integer.
        ValueError: no such layer; a layer with several outputs or an unknown size; directions that
            do not fit, or a `number` of given ones; fewer than k images; activations that are not
            finite.

    Example:

        top = itf.units.top_images(model, "fc1", images, "random", k=9, number=20)
        rows = images[top.indices]  # [20, 9, 28, 28, 1]
    """
    features, width = activations(model, layer)
    projection = Projection(directions, width, number, seed)
    return scan(features, layer_name(layer), images, [projection], k, batch_size, verbose)[0]


def scan(
    features: keras.Model,
    layer: str,
    images: Any,
    projections: list[Projection],
    k: int,
    batch_size: int,
    verbose: bool | str,
) -> list[TopImages]:
    """Returns the top images of several sets of directions from one pass over the images."""
    check_positive_integer("k", k)
    check_positive_integer("batch_size", batch_size)
    images = passed_over(images, features, batch_size)
    expected = features.inputs[0].shape[1:]
    running = [_RunningTop(len(projection), k) for projection in projections]
    total = None
    if is_array(images):
        total = -(-len(images) // batch_size)
        _check_k(k, len(images))
    with progress_bar(total, layer, verbose, unit="batch") as bar:
        for batch in batches(images, batch_size):
            if not takes(expected, batch.shape[1:]):
                raise ValueError(
                    f"`images` must be batches of shape [n, {', '.join(map(str, expected))}]. "
                    f"Received: shape {batch.shape}."
                )
            values = np.asarray(features(batch, training=False), np.float32)
            if not np.isfinite(values).all():
                what = f"Layer {layer!r}" if np.isfinite(batch).all() else "`images`"
                raise ValueError(f"{what} must be finite. Received: NaN or infinite values.")
            for top, projection in zip(running, projections, strict=True):
                top.add(projection(values.reshape(len(batch), -1)))
            bar.update()
    _check_k(k, running[0].seen)
    return [
        TopImages(layer, p.kind, p.units, t.indices[:, :k], t.values[:, :k], t.determined, t.seen)
        for t, p in zip(running, projections, strict=True)
    ]


def _check_k(k: int, images: int) -> None:
    if images < k:
        raise ValueError(f"`k` must be at most the number of images, {images}. Received: {k}.")


def activations(model: keras.Model, layer: keras.layers.Layer | str) -> tuple[keras.Model, int]:
    """Returns the model from images to the layer's activations φ(x), and their number.

    Raises:
        TypeError, ValueError: as `top_images`.
    """
    check_model(model, single=["inputs"])
    graph_of(model)
    name = layer_name(layer)
    if name in [tensor.name for tensor in model.inputs]:
        output = model.inputs[0]
    else:
        output = output_of(model, layer)
    shape = getattr(output, "shape", (None, None))
    if None in shape[1:]:
        raise ValueError(f"Layer {name!r} must have one output of known size. Received: {output}.")
    return keras.Model(model.inputs[0], output), math.prod(shape[1:])


def batches(images: Any, batch_size: int) -> Iterator[Any]:
    """Yields float batches from an array, a dataset or any iterable of batches."""
    arrays: Iterable[Any] = images
    repeatable = isinstance(images, Iterable) and not isinstance(images, Iterator)
    if is_array(images):
        arrays = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    elif not repeatable or getattr(images, "shape", None) == ():
        raise TypeError(
            "`images` may be passed over more than once: give an array, a tf.data.Dataset or a "
            f"list of batches. Received: an object of type {type(images).__name__}."
        )
    for batch in arrays:
        batch = batch[0] if isinstance(batch, (tuple, list)) else batch
        check_unmasked("images", batch)
        array = np.asarray(batch)
        if array.dtype.kind != "f":
            raise TypeError(
                "`images` must be floating point; scale integers first (uint8: images / 255.0). "
                f"Received: dtype {array.dtype}."
            )
        if array.ndim < 2:
            raise ValueError(
                f"`images` must be batches of shape [n, ...]. Received: shape {array.shape}."
            )
        yield array


def passed_over(images: Any, features: keras.Model, batch_size: int) -> Any:
    """Returns images as `batches` takes them: a data set in the batches of `features`."""
    if tf.is_tensor(images):
        return np.asarray(images)
    if isinstance(images, tf.data.Dataset):
        return _Repeated(Stream(images, features.inputs[0].shape[1:], batch_size))
    return images.to_numpy() if hasattr(images, "to_numpy") else images  # a table of pandas


def is_array(images: Any) -> bool:
    """Whether images have rows that can be chosen, as those of an array or of `LazyImages`."""
    return bool(getattr(images, "shape", ())) and hasattr(images, "__getitem__")


def gather(images: Any, indices: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Returns the images at ascending places of an array, or of an iterable of batches."""
    if is_array(images):
        return np.asarray(images[indices])
    found, start = [], 0
    for batch in batches(images, batch_size):
        here = indices[(indices >= start) & (indices < start + len(batch))]
        found.append(batch[here - start])
        start += len(batch)
    return np.concatenate(found)


def layer_name(layer: keras.layers.Layer | str) -> str:
    """Returns the name of a layer given itself or by its name."""
    check_kind("layer", layer, (str, keras.layers.Layer), "a layer, or the name of one")
    return layer if isinstance(layer, str) else layer.name


class _Repeated:
    """Batches of a data set, which must be the same in each pass: places of images are counted."""

    def __init__(self, batches: Iterable[tuple[np.ndarray, Any]]):
        self._batches, self._checksums = batches, list[int]()

    def __iter__(self) -> Iterator[np.ndarray]:
        for i, (images, _) in enumerate(self._batches):
            checksum = zlib.crc32(images.tobytes())
            if i == len(self._checksums):
                self._checksums.append(checksum)
            if self._checksums[i] != checksum:
                raise ValueError(
                    "A data set must give the same images in the same order each time: no "
                    "shuffling or augmentation. Received: others when they were read again."
                )
            yield images


class _RunningTop:
    """The k largest values of d rows that arrive a few columns at a time, and the next one."""

    def __init__(self, directions: int, k: int):
        self.k = k
        self.seen = 0
        self.values = np.empty((directions, 0), np.float32)
        self.indices = np.empty((directions, 0), np.int64)

    def add(self, projections: np.ndarray) -> None:
        """Takes [batch, d] projections of the next images."""
        batch = projections.T
        places = np.broadcast_to(np.arange(self.seen, self.seen + batch.shape[1]), batch.shape)
        values = np.concatenate([self.values, batch], axis=1)
        indices = np.concatenate([self.indices, places], axis=1)
        # Earlier images stand first, and of equals top_k takes the first.
        top, order = tf.math.top_k(values, min(self.k + 1, values.shape[1]))
        self.values = top.numpy()
        self.indices = np.take_along_axis(indices, order.numpy(), axis=1)
        self.seen += batch.shape[1]

    @property
    def determined(self) -> np.ndarray:
        """bool `[d]`: the k-th value exceeds the next one, or there is none."""
        last, following = self.values[:, self.k - 1 : self.k], self.values[:, self.k :]
        return np.all(last > following, axis=1)
