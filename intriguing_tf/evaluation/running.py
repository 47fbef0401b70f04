"""`evaluate`: how robust is a model on a data set?"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.adversary.settings import check_arguments
from intriguing_tf.checks import (
    check_choice,
    check_kind,
    check_kinds,
    check_positive_integer,
    check_unmasked,
    real_numbers,
)
from intriguing_tf.classifier import Classifier, check_model, input_shape
from intriguing_tf.datasets import ImageSet
from intriguing_tf.datasets.loading import load_data
from intriguing_tf.evaluation.collecting import (
    METHODS,
    NOT_ASKED,
    Certification,
    Collected,
    collect,
)
from intriguing_tf.evaluation.doubts import doubts, units_of
from intriguing_tf.evaluation.result import Evaluation
from intriguing_tf.evaluation.scaling import Ranges, check_pair, check_within
from intriguing_tf.files import check_folder, expanded
from intriguing_tf.lipschitz import LipschitzReport, bound
from intriguing_tf.sweeps import Sweep, sweep
from intriguing_tf.text import printable
from intriguing_tf.zoo.names import known_bounds, load_model, short_name
from intriguing_tf.zoo.pixels import UNIT

_CELL = {"model": "model", "targets": "nearest", "settings": "attack"}
_RADII = 9  # of the table at most, where none are given
_DECIDED = {  # arguments of the attack that are not its own
    "bounds": "give `bounds` themselves",
    "layer": "give the part of the model above it as `model`, and its inputs as `data`",
}
_OTHER_RANGES = (
    "\nWith bounds='data' other rows have other ranges, by which they are scaled. To add rows to a "
    "folder give the ranges of its first ones as `bounds`, a pair of arrays within which all rows "
    "must lie (`ranges` in its evaluation.json); else another folder."
)
_DIGITS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # of their steps


def evaluate(
    model: keras.Model | str,
    data: Any,
    labels: Any = None,
    *,
    bounds: Any = None,
    radii: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    number: int | None = None,
    attack: Mapping[str, Any] | None = None,
    certify: str = "global",
    folder: str | os.PathLike | None = None,
    shard_size: int | None = None,
    ray: str | None = None,
    workers: int | None = None,
    name: str | None = None,
    verbose: bool | str = "auto",
) -> Evaluation:
    """Measures how robust a classifier is: what an adversary finds, and what can be proven.

    Every image is attacked once, towards its nearest other class. The distance that the attack
    finds bounds the true one from above, so that one attack gives the accuracy for every radius, as
    an upper bound. Certified radii bound it from below, where the model's layers can be bounded.
    Between the two lies the truth.

    Args:
        model: a built Keras classifier of one input and one output, or a name as `itf.load_model`
            takes it.
        data: floating array [n, ...], or table of pandas, within the bounds; a `tf.data.Dataset`
            of images or of pairs (image, label) that gives them in the same order each time,
            batched or not; an `ImageSet`; or a name:
            "sample", an `.npz` file, a folder of class folders, image files, or a name of
            tensorflow-datasets.
        labels: integers [n], the true classes of an array. Without labels there is no accuracy;
            what is attacked is the model's own prediction.
        bounds: least and largest value of the data; pictures that are named are scaled to them. By
            default those that a network of the zoo takes, of which `model` is the name, else
            (0, 1). Where they are infinite there are no distortions, and no share in 8 bits. For
            tables and series whose values have different units, a pair of arrays of the shape of
            one input, or "data" for each value's own least and largest in the data: distances are
            then in units of these ranges, examples in those of the data.
        radii: l2 distances of the table, ascending; by default some that fit.
        class_names: in the order of the model's outputs; by default those that the data bring.
        number: how many images of named data, from the first on; of a folder, spread over its
            files. By default all.
        attack: further arguments of `LBFGSAdversary`, such as {"starts": 3}; not its bounds or
            layer.
        certify: by which method of `itf.lipschitz.certified_radius` radii are certified, "global"
            or "local"; "none" leaves out radii and bounds of layers, which on networks of hundreds
            of layers may take longer than the attack.
        folder: where the work is kept. A call that was stopped is made again and resumes there; the
            images need not fit into the memory. By default all is kept in the memory.
        shard_size, ray, workers: as in `itf.sweep`.
        name: what the page calls the model; by default its own name.
        verbose: show progress; "auto": if the standard error is a terminal.

    Returns:
        An `Evaluation`, which prints as a table; `save(folder)` writes one page.

    Raises:
        TypeError, ValueError: arguments that are not as above; `folder` holds the work of another
            evaluation.
        OSError: named data that are not there, or a folder that cannot be written to.
        RuntimeError: another process is at work in the folder.
        ImportError, ConnectionError, RuntimeError: with `ray`, as `itf.sweep`.

    Example:

        evaluation = itf.evaluate(model, images, labels)
        print(evaluation)
        evaluation.robust_accuracy(0.5), evaluation.certified_accuracy(0.5)
        evaluation.save("evaluation")  # report.html and the numbers
    """
    started = time.perf_counter()
    if name is None:
        name = short_name(model) if isinstance(model, str) else getattr(model, "name", "")
    else:
        check_kind("name", name, str, "a str")
    taken = UNIT
    if isinstance(model, str):
        model, taken = load_model(model), known_bounds(model) or UNIT
    check_model(model)
    name = printable(name)
    check_choice("certify", certify, METHODS)
    attack = _check_attack(attack)
    bounds = taken if bounds is None else check_pair(bounds)
    shard_size = None if shard_size is None else _integer("shard_size", shard_size)
    workers = None if workers is None else _integer("workers", workers)
    if folder is not None:
        check_folder(folder)
    wanted = None if radii is None else _check_radii(radii)
    if class_names is not None:
        check_kinds("class_names", class_names, str, "names")
    pixels = bounds if _are_finite(bounds) else taken
    images = _images(model, data, labels, pixels, class_names, number)
    images.check_classes(units_of(model))
    own, ranges, by_data = model, Ranges.of(bounds, images), isinstance(bounds, str)
    settings = {**attack, "bounds": bounds if ranges is None else ranges.box}
    if ranges is None:
        check_within(images, bounds)
    else:
        model, bounds = ranges.before(model), (0.0, 1.0)
        images = dataclasses.replace(images, images=ranges.scaled(images.images))
    classifier = LBFGSAdversary(model, **settings).classifier
    with tempfile.TemporaryDirectory() as temporary:
        place = expanded(folder if folder is not None else temporary)
        try:
            done = sweep(
                {"model": model},
                images.images,
                images.labels,
                folder=place / "sweep",
                targets="nearest",
                settings={"attack": settings},
                shard_size=shard_size,
                ray=ray,
                workers=workers,
                verbose=verbose,
            )
        except ValueError as error:
            if by_data and "holds another sweep" in str(error):
                raise ValueError(f"{error}{_OTHER_RANGES}") from error
            raise
        report, why = (None, NOT_ASKED) if certify == "none" else _layers(model, verbose)
        width = float(bounds[1] - bounds[0])
        radii_of = Certification(classifier, certify, report, why, width, done, verbose)
        found = collect(classifier, done, place / "certified", bounds, radii_of, verbose)
        result = done.result(**_CELL) if folder is None else None
    some = None
    if len(found.nearest):  # `predict` would trace the model again
        some = np.asarray(keras.tree.flatten(model(found.nearest.originals, training=False))[0])
    if ranges is not None:
        classifier = Classifier(own, outputs=settings.get("outputs", "auto"))
        found = _restored(found, ranges, classifier)
        result = result and ranges.restored(result)
    seconds = time.perf_counter() - started
    return _evaluation(
        model, name, images, found, some, bounds, ranges, wanted, report, why, done, result, seconds
    )


def _check_attack(attack: Any) -> dict[str, Any]:
    attack = {} if attack is None else attack
    for argument, advice in _DECIDED.items():
        if isinstance(attack, Mapping) and argument in attack:
            raise TypeError(
                f"`attack` cannot have {argument!r}, which all numbers of an evaluation share: "
                f"{advice}. Received: {attack!r}."
            )
    check_arguments("attack", attack, *_DECIDED)
    return dict(attack)


def _integer(name: str, value: Any) -> int:
    check_positive_integer(name, value)
    return int(value)


def _restored(found: Collected, ranges: Ranges, classifier: Classifier) -> Collected:
    """Returns the examples of scaled data in the units of the data, with the model they fool."""
    nearest, farthest = (
        dataclasses.replace(ranges.restored(each), classifier=classifier)
        for each in (found.nearest, found.farthest)
    )
    return dataclasses.replace(found, nearest=nearest, farthest=farthest)


def _evaluation(
    model: keras.Model,
    name: str,
    images: ImageSet,
    found: Collected,
    outputs: np.ndarray | None,
    bounds: tuple[float, float],
    ranges: Ranges | None,
    radii: np.ndarray | None,
    report: LipschitzReport | None,
    why: str,
    done: Sweep,
    result: AdversarialResult | None,
    seconds: float,
) -> Evaluation:
    classes = done.plan.models["model"]["classes"]
    names = images.class_names
    truth = found.predictions if found.labels is None else found.labels
    distances = np.where(found.predictions == truth, found.l2, 0.0)
    return Evaluation(
        **vars(found),
        model=name,
        classes=classes,
        class_names=tuple(names) if names and len(names) == classes else None,
        bounds=(float(bounds[0]), float(bounds[1])),
        ranges=ranges,
        radii=_radii(distances) if radii is None else radii,
        lipschitz=report,
        why_not_bounded=why,
        skipped=images.skipped,
        seconds={"attack": found.attack_seconds, "all": seconds},
        doubts=(
            *doubts(
                model,
                classes,
                found.labels,
                found.predictions,
                found.extent,
                bounds,
                outputs,
                probabilities=found.nearest.settings["outputs"] == "probabilities",
            ),
            *found.own_doubts(),
        ),
        sweep_folder=None if result is not None else done.folder,
        kept_result=result,
    )


def _images(
    model: keras.Model,
    data: Any,
    labels: Any,
    bounds: tuple[float, float],
    class_names: Sequence[str] | None,
    number: int | None,
) -> ImageSet:
    """Returns the images that `data` are or name, pictures within the bounds."""
    named = isinstance(data, (str, os.PathLike)) or (
        isinstance(data, (list, tuple)) and data and isinstance(data[0], (str, os.PathLike))
    )
    names = None if class_names is None else tuple(class_names)
    if named:
        if labels is not None:
            raise TypeError("Named data bring their own labels. Received: `labels` as well.")
        found = load_data(
            str(data) if isinstance(data, os.PathLike) else data,
            input_shape(model),
            number=number,
            bounds=bounds,
            class_names=names,
            outputs=units_of(model),
        )
    elif number is not None:
        check_positive_integer("number", number)
        raise ValueError(f"`number` is for named data; cut arrays. Received: {number}.")
    elif isinstance(data, ImageSet):
        if labels is not None:
            raise TypeError("An ImageSet brings its own labels. Received: `labels` as well.")
        found = data if names is None else dataclasses.replace(data, class_names=names)
    elif isinstance(data, tf.data.Dataset):
        found = ImageSet(data, labels, names)
    else:
        check_unmasked("labels", labels)
        found = ImageSet(data, None if labels is None else np.asarray(labels), names)
    return dataclasses.replace(found, images=_of_a_known_type(found.images))


def _are_finite(bounds: Any) -> bool:
    return not isinstance(bounds, str) and bool(np.isfinite(np.concatenate(bounds, None)).all())


def _of_a_known_type(images: Any) -> Any:
    """Returns lists, tensors and tables of pandas as arrays, in a type that the attack takes."""
    check_unmasked("data", images)
    images = images.to_numpy() if hasattr(images, "to_numpy") else images
    if isinstance(images, (list, tuple, np.ma.MaskedArray)) or tf.is_tensor(images):
        try:
            images = np.asarray(images)
        except ValueError as error:
            raise TypeError(
                "`data` must be one array [n, ...], and labels the argument behind it: "
                f"evaluate(model, images, labels). Received: a {type(images).__name__} of "
                f"{len(images)} parts that differ in shape."
            ) from error
    if isinstance(images, np.ndarray) and images.dtype.name == "bfloat16":
        return images.astype(np.float32)
    if isinstance(images, np.ndarray) and images.dtype.kind == "f" and images.dtype.itemsize > 8:
        return images.astype(np.float64)
    return images


def _check_radii(radii: Any) -> np.ndarray:
    values = np.atleast_1d(real_numbers("radii", radii))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"`radii` must be finite numbers of at least 0. Received: {radii!r}.")
    return np.unique(values)


def _radii(distances: np.ndarray) -> np.ndarray:
    """Returns radii that show the curve: equal round steps up to where it has fallen.

    Where a few distances are far larger than most, those of most are shown.
    """
    finite = distances[np.isfinite(distances) & (distances > 0)]
    if not len(finite):
        return np.zeros(1)
    last = min(float(np.quantile(finite, 0.95)), 4 * float(np.median(finite)))
    power = 10.0 ** np.floor(np.log10(last / (_RADII - 1)))
    step = power * next(digit for digit in _DIGITS if power * digit * (_RADII - 1) >= last)
    return np.array([float(f"{i * step:.12g}") for i in range(math.ceil(last / step) + 1)])


def _layers(model: keras.Model, verbose: bool | str) -> tuple[LipschitzReport | None, str]:
    """Returns the bounds of the layers, or why there are none."""
    try:
        return bound(model, "quick", "inf", verbose=verbose), ""
    except (ValueError, TypeError) as error:
        return None, str(error)
