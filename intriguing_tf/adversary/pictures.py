"""Results to look at: pictures of images and series, tables of other data, PNGs of 8 bits."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import special

from intriguing_tf.adversary.bounds import range_of
from intriguing_tf.adversary.naming import clear_name, file_name, name_of
from intriguing_tf.adversary.pixels import BATCH, bounds_of, floats, in_8_bits, predict
from intriguing_tf.checks import check_kinds, check_positive_integer
from intriguing_tf.classifier import Classifier
from intriguing_tf.files import expanded, write_atomically
from intriguing_tf.reporting import Picture, ShownAsTable, Table, adversarial_rows, changed_series

_LONGEST = 18  # letters of a line above a small picture
_SERIES = 4  # channels of a series at most; more are the columns of an image
_NAMED = 3  # changed variables that a table names

Result = Any  # an `AdversarialResult`, whose module imports this one


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedImages(ShownAsTable):
    """PNGs that `AdversarialResult.save_images` wrote; prints as a table.

    Attributes:
        files: one for each row of `rows`.
        rows: int64, rows of the result.
        images: uint8 `[len(rows), height, width, channels]`, as the files hold them.
        predictions: int64, the model's classes of the files as they are read back.
        distortion: float64, of `images` from the originals, root mean square in units of the range.
        lost: int64, rows that were found, but are not adversarial in 8 bits, whatever was tried;
            no file was written for them.
    """

    files: tuple[Path, ...]
    rows: np.ndarray
    images: np.ndarray
    predictions: np.ndarray
    distortion: np.ndarray
    lost: np.ndarray

    def table(self) -> Table:
        """Returns a row for each file."""
        rows = [
            (file.name, int(row), int(prediction), float(distortion))
            for file, row, prediction, distortion in zip(
                self.files, self.rows, self.predictions, self.distortion, strict=True
            )
        ]
        note = f"{len(rows)} images of 8 bits are adversarial as they are read back"
        if len(self.lost):
            shown = ", ".join(map(str, self.lost[:20]))
            note += f"; {len(self.lost)} are not and were not written: rows {shown}"
        head = ("file", "row", "classified as", "distortion")
        return Table("Adversarial images", head, rows, [note + "."])


def plot(
    result: Result,
    class_names: Sequence[str] | None = None,
    model: keras.Model | None = None,
    number: int = 16,
    columns: int = 8,
    rows: Sequence[int] | None = None,
) -> Picture | Table:
    """As `AdversarialResult.plot`; with their `rows` in the data, the titles begin with these."""
    check_positive_integer("number", number)
    if not len(result):
        raise ValueError("There must be an example to draw. Received: a result without rows.")
    if class_names is not None:
        check_kinds("class_names", class_names, str, "names")
    shown = result[:number]
    layout = kind_of(shown.originals)
    if layout == "table":
        return _changes(shown, class_names, range(len(shown)) if rows is None else rows)
    lower, upper = _shown_range(shown)
    heads = titles(shown, class_names, _classifier(result, model), rows)
    before, after = shown.originals, shown.images
    if layout == "series":
        return changed_series(before, after, heads)
    shape = (*before.shape[:3], before.shape[3] if before.ndim == 4 else 1)
    first, second = (
        ((x - lower) / (upper - lower)).clip(0, 1).reshape(shape) for x in (before, after)
    )
    return adversarial_rows(first, second, heads, columns=columns)


def _shown_range(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn black and white: the bounds, or the extremes of the images without finite."""
    try:
        lower, upper = bounds_of(result)
        return lower, lower + range_of(lower, upper)
    except ValueError:
        both = np.stack([result.originals, result.images])
        return both.min(), np.maximum(both.max(), both.min() + 1e-9)


def kind_of(inputs: np.ndarray) -> str:
    """Returns what an array shows: "images", "series" or a "table"."""
    shape = inputs.shape[1:]
    if len(shape) == 3 and shape[2] in (1, 3):
        return "images"
    if len(shape) == 2:
        return "series" if shape[1] <= _SERIES else "images"
    return "table"


def titles(
    result: Result,
    class_names: Sequence[str] | None,
    classifier: Classifier | None = None,
    rows: Sequence[int] | None = None,
) -> list[str]:
    """Returns, for each example, its row, its classes before and after, their probabilities."""
    before = after = [""] * len(result)
    if classifier is not None:
        before = _percent(classifier, result.originals, result.original_predictions)
        after = _percent(classifier, result.images, result.predictions)
    lines = []
    for i in range(len(result)):
        first = name_of(result.original_predictions[i], class_names) + before[i]
        second = name_of(result.predictions[i], class_names) + after[i]
        line = f"already {first}" if result.status[i] == "already" else f"{first} → {second}"
        if result.status[i] == "failed":
            line = f"{first}, failed"
        line = line if rows is None else f"{rows[i]}: {line}"
        lines.append(line.replace(" → ", "\n→ ") if len(line) > _LONGEST else line)
    return lines


def _percent(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> list[str]:
    logits = classifier.predict_logits(images, BATCH).astype(np.float64)
    with np.errstate(invalid="ignore"):
        shares = special.expit(logits) if classifier.limits else special.softmax(logits, axis=1)
    return [
        f" ({100 * shares[i, label]:.0f} %)" if label >= 0 and np.isfinite(shares[i]).all() else ""
        for i, label in enumerate(labels)
    ]


def _changes(result: Result, class_names: Sequence[str] | None, numbers: Sequence[int]) -> Table:
    """Returns a row per example with the variables that changed most."""
    rows = []
    for i in range(len(result)):
        before, after = result.originals[i].reshape(-1), result.images[i].reshape(-1)
        most = np.argsort(-np.abs(after - before), kind="stable")[:_NAMED]
        changed = [f"[{j}] {_apart(before[j], after[j])}" for j in most if after[j] != before[j]]
        names = [
            clear_name(label[i], class_names)
            for label in (result.original_predictions, result.predictions)
        ]
        row, l2 = int(numbers[i]), float(result.l2[i])
        rows.append((row, *names, result.status[i], l2, ", ".join(changed)))
    head = ("row", "prediction", "becomes", "status", "l2", "largest changes")
    notes = [f"[j] is value j of a row, counted from 0; the {_NAMED} largest changes are shown."]
    return Table("Adversarial examples", head, rows, notes)


def _apart(before: float, after: float) -> str:
    """Writes two numbers with three digits, or as many as tell them apart."""
    pairs = ((f"{before:.{digits}g}", f"{after:.{digits}g}") for digits in range(3, 18))
    first, second = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{first} → {second}"


def save_images(
    result: Result,
    folder: str | os.PathLike,
    model: keras.Model | None = None,
    class_names: Sequence[str] | None = None,
) -> SavedImages:
    """As `AdversarialResult.save_images`."""
    classifier = _classifier(result, model)
    if classifier is None:
        raise ValueError(
            "A result from a file does not know its model: give `model`, which says "
            "whether an image of 8 bits still is adversarial. Received: None."
        )
    if kind_of(result.originals) != "images":
        raise ValueError(
            "PNGs are for images [n, height, width], [n, height, width, 1 or 3]. Received: "
            f"{result.originals.shape}; `plot` makes a table of them."
        )
    if class_names is not None:
        check_kinds("class_names", class_names, str, "names")
    rows = np.flatnonzero(result.status == "found")
    if not len(rows):
        return _nothing(result)
    pixels, survives = in_8_bits(result[rows], classifier)
    kept, pixels = rows[survives], pixels[survives]
    folder = expanded(folder)
    files = [folder / file_name_of(result, row, class_names) for row in kept]
    for file, image in zip(files, pixels, strict=True):
        write_atomically(file, tf.io.encode_png(image.reshape(*image.shape[:2], -1)).numpy())
    read = np.array([tf.io.decode_png(file.read_bytes()).numpy() for file in files], np.uint8)
    read = read.reshape(-1, *result.originals.shape[1:])
    lower, upper = bounds = bounds_of(result[kept])
    values = floats(read, bounds)
    change = (values.astype(np.float64) - result.originals[kept]) / range_of(lower, upper)
    return SavedImages(
        files=tuple(files),
        rows=kept,
        images=read,
        predictions=predict(classifier, values),
        distortion=np.sqrt((change**2).mean(axis=tuple(range(1, change.ndim)))),
        lost=rows[~survives],
    )


def _nothing(result: Result) -> SavedImages:
    """What is written of a result in which nothing was found."""
    none = np.zeros(0, np.int64)
    images = np.zeros((0, *result.originals.shape[1:]), np.uint8)
    return SavedImages((), none, images, none, np.zeros(0), none)


def file_name_of(result: Result, row: int, class_names: Sequence[str] | None) -> str:
    """Returns the name of the file that `save_images` gives to a row, if it writes one."""
    before, after = (
        file_name(label[row], class_names)
        for label in (result.original_predictions, result.predictions)
    )
    return f"{row:04d}_{before}_as_{after}.png"


def _classifier(result: Result, model: keras.Model | None) -> Classifier | None:
    if model is None:
        return result.classifier
    return Classifier(model, outputs=result.settings.get("outputs", "auto"))
