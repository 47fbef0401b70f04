"""The error matrix: every model's error on every set of images, with bootstrap intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from intriguing_tf.checks import (
    check_kind,
    check_kinds,
    check_labels,
    check_positive_integer,
    of_model,
)
from intriguing_tf.classifier import Classifier, takes
from intriguing_tf.progress import progress_bar
from intriguing_tf.reporting import ShownAsTable, Table
from intriguing_tf.transfer.distortions import UNIT_BOX, box, finite_images, rms
from intriguing_tf.transfer.intervals import error_interval

Images = Any  # an array [n, ...], or a function without arguments that returns one


@dataclasses.dataclass(frozen=True)
class ErrorMatrix(ShownAsTable):
    """What `error_matrix` returns; prints as a table with an interval below each error.

    Attributes:
        rows: names of the sets of images.
        columns: names of the models.
        wrong: bool `[rows, columns, n]`: that model misclassifies that image of that set.
        distortion: float64 `[rows]`: mean root mean square change per pixel of each set, or `None`
            when the originals were not given.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wrong: np.ndarray
    distortion: np.ndarray | None = None

    @property
    def errors(self) -> np.ndarray:
        """float64 `[rows, columns]`, fractions in [0, 1]."""
        return self.wrong.mean(axis=2)

    def intervals(self, confidence: float = 0.95) -> np.ndarray:
        """Returns bootstrap intervals over the images: float64 `[rows, columns, 2]`.

        Raises:
            TypeError, ValueError: `confidence` is not a number in (0, 1).
        """
        return np.stack(error_interval(self.wrong.sum(axis=2), self.wrong.shape[2], confidence), -1)

    def __getitem__(self, cell: tuple[str, str]) -> float:
        """The error of one model on one set: `matrix["set", "model"]`."""
        row, column = cell
        for name, names in ((row, self.rows), (column, self.columns)):
            if name not in names:
                raise KeyError(f"{name!r} is not one of {', '.join(map(repr, names))}")
        return float(self.errors[self.rows.index(row), self.columns.index(column)])

    def table(self) -> Table:
        """Returns the matrix in percent, for printing and for reports."""
        head = ["images", *self.columns]
        intervals = self.intervals()
        cells = [
            [
                f"{100 * e:.1f} [{100 * i[0]:.1f}, {100 * i[1]:.1f}]"
                for e, i in zip(*row, strict=True)
            ]
            for row in zip(self.errors, intervals, strict=True)
        ]
        rows: list[list[Any]] = [[name, *row] for name, row in zip(self.rows, cells, strict=True)]
        if self.distortion is not None:
            head.append("av. distortion")
            rows = [[*row, f"{d:.4f}"] for row, d in zip(rows, self.distortion, strict=True)]
        note = f"{self.wrong.shape[2]} images; [95 % bootstrap interval over the images]"
        return Table("Error in % of each column's model", head, rows, notes=[note])


def error_matrix(
    models: Mapping[str, keras.Model] | Iterable[keras.Model],
    image_sets: Mapping[str, Images],
    labels: Any,
    *,
    originals: Any = None,
    bounds: tuple[Any, Any] = UNIT_BOX,
    batch_size: int = 256,
    verbose: bool | str = "auto",
) -> ErrorMatrix:
    """Measures the error of every model on every set of images (Tables 2 and 4 of the paper).

    One set is in memory at a time when sets are given as functions, and each model sees it in
    batches, so the cost in memory is one set and one byte per image, set and model.

    Args:
        models: Keras classifiers by name, or several of them (each then goes by `model.name`).
        image_sets: float arrays `[n, ...]` by name, image i of every set with label i; or
            functions without arguments that return such an array, called when its row comes.
        labels: integers `[n]`, the true classes.
        originals: undistorted images `[n, ...]` within the bounds; with them the average distortion
            of each set is measured, after all clipping.
        bounds: lowest and highest pixel value, for the distortions.
        batch_size: images per forward pass.
        verbose: show a progress bar over the sets; "auto": if the standard error is a terminal.

    Returns:
        An `ErrorMatrix`.

    Raises:
        TypeError: something that is not a Keras model; names that are not text; images that are not
            floating point; labels that are objects or text.
        ValueError: nothing to measure, two models of one name, lengths that differ from the
            labels', labels outside a model's classes, images that are not finite or do not have
            a model's input shape or that of the originals, originals outside the bounds. What is
            known without calling a function is checked before the first prediction.

    Example:

        print(itf.transfer.error_matrix(
            {"linear": linear, "deep": deep},
            {"for linear": result.images, "noise": itf.transfer.gaussian_noise(images)},
            labels, originals=images))
    """
    named = _named(models)
    check_kinds("models", list(named), str, "models' names")
    classifiers: dict[str, Classifier] = {}
    for name, model in named.items():
        with of_model(name):
            classifiers[name] = Classifier(model)
    labels = check_labels(labels)
    check_kind("image_sets", image_sets, Mapping, "a dictionary of images by name, {'clean': x}")
    check_kinds("image_sets", list(image_sets), str, "sets' names")
    if not image_sets:
        raise ValueError("`image_sets` must hold at least one set. Received: none.")
    check_positive_integer("batch_size", batch_size)
    if originals is not None:
        originals = _checked_images("originals", originals, len(labels))
        box(bounds, originals)
    for set_name, images in image_sets.items():  # before the first pass over any
        if not callable(images):
            images = _checked_images(set_name, images, len(labels), originals)
            for model_name, classifier in classifiers.items():
                _check_fit(classifier, model_name, images, set_name, labels)
    wrong = np.empty((len(image_sets), len(classifiers), len(labels)), bool)
    distortion = None if originals is None else np.empty(len(image_sets))
    with progress_bar(len(image_sets), "error matrix", verbose, unit="set") as bar:
        for i, (set_name, images) in enumerate(image_sets.items()):
            images = _checked_images(set_name, images, len(labels), originals)
            for j, (model_name, classifier) in enumerate(classifiers.items()):
                predictions = _predict(classifier, model_name, images, set_name, labels, batch_size)
                wrong[i, j] = predictions != labels
            if distortion is not None:
                distortion[i] = rms(images, originals, bounds).mean()
            bar.update()
    return ErrorMatrix(tuple(image_sets), tuple(classifiers), wrong, distortion)


def _named(models: Mapping[str, keras.Model] | Iterable[keras.Model]) -> dict[str, keras.Model]:
    if isinstance(models, keras.Model):
        models = [models]
    if isinstance(models, str) or not isinstance(models, (Mapping, Iterable)):
        raise TypeError(f"`models` must be Keras models. Received: {models!r}.")
    models = models if isinstance(models, Mapping) else list(models)
    named = (
        dict(models)
        if isinstance(models, Mapping)
        else {getattr(model, "name", repr(model)): model for model in models}
    )
    if not named or len(named) != len(models):
        raise ValueError(
            "`models` must be at least one Keras model, each with its own name. Received: "
            f"{[getattr(m, 'name', m) for m in models]}. Pass a dictionary to name them."
        )
    return named


def _checked_images(
    name: str, images: Images, number: int, originals: np.ndarray | None = None
) -> np.ndarray:
    images = finite_images(name, images() if callable(images) else images)
    if len(images) != number:
        raise ValueError(
            f"Images {name!r} must be one per label. Received: {len(images)} images and {number} "
            "labels."
        )
    if originals is not None and images.shape != originals.shape:
        raise ValueError(
            f"Images {name!r} must have the shape of `originals`, {originals.shape}. Received: "
            f"{images.shape}."
        )
    return images


def _check_fit(
    classifier: Classifier, model_name: str, images: np.ndarray, set_name: str, labels: np.ndarray
) -> None:
    """Checks that a model takes the images, and has their classes."""
    expected = classifier.input_shape
    if not takes(expected, images.shape[1:]):
        raise ValueError(
            f"Model {model_name!r} takes images of shape {expected}. Received: images "
            f"{set_name!r} of shape {images.shape[1:]}."
        )
    classes = classifier.predict_logits(images[:1]).shape[1]
    if labels.max() >= classes:
        raise ValueError(
            f"Labels must be below the {classes} classes of model {model_name!r}. "
            f"Received: {labels.max()}."
        )


def _predict(
    classifier: Classifier,
    model_name: str,
    images: np.ndarray,
    set_name: str,
    labels: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    _check_fit(classifier, model_name, images, set_name, labels)
    logits, predictions = classifier.predict_both(images, batch_size)
    if not np.isfinite(logits).all():
        raise ValueError(
            f"Logits must be finite. Received: NaN or infinite ones of model {model_name!r} on "
            f"{set_name!r}."
        )
    return predictions
