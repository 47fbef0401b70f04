"""What determines a sweep, and its manifest: data, models, targets, settings, seed, versions."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.adversary.inputs import check_images, check_logits
from intriguing_tf.adversary.losses import Loss
from intriguing_tf.adversary.targets import check_differ, class_array
from intriguing_tf.checks import of_model
from intriguing_tf.fingerprints import (
    array_fingerprint,
    function_fingerprint,
    json_fingerprint,
    model_fingerprint,
    own_code,
    plain,
    plain_values,
    versions,
)
from intriguing_tf.store import MANIFEST, read_manifest
from intriguing_tf.sweeps.manifests import check_manifest
from intriguing_tf.sweeps.source import Source

FORMAT = 2
_LOOKED_AT = 32  # images whose logits are checked before the work


class Cell(NamedTuple):
    """One model with one choice of targets and one group of settings."""

    model: str
    targets: str
    settings: str

    @property
    def folder(self) -> str:
        """Name of the cell's folder: unique, since no name has a comma or a plus sign."""
        return ",".join(self).replace("/", "+")

    def __str__(self) -> str:
        return ", ".join(self)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that determines the results of a sweep.

    Attributes:
        data: number of "images", their "shape" and "dtype", whether there are "labels", and the
            sha256 of each slice ("slices").
        models: by name, "sha256", number of "classes", and the places among the "layers" of those
            that the settings name.
        targets: "random", "least_likely", "nearest" or the sha256 of given classes, by name.
        settings: the adversary's settings by name.
        seed: of random targets.
        shard_size: images in a shard.
        versions: of the packages that compute; in a checkout its "source" as well.
        format: of the manifest.
        extends: sha256 of the plans of the same sweep with fewer images, whose shards count too.
    """

    data: dict[str, Any]
    models: dict[str, dict[str, Any]]
    targets: dict[str, Any]
    settings: dict[str, dict[str, Any]]
    seed: int
    shard_size: int
    versions: dict[str, str]
    format: int = FORMAT
    extends: tuple[str, ...] = ()

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Models x targets x settings."""
        return tuple(Cell(*c) for c in itertools.product(self.models, self.targets, self.settings))

    @functools.cached_property
    def sha256(self) -> str:
        """Identifies the plan in each of its shards."""
        content = dataclasses.asdict(self)
        del content["extends"]
        if self.format == 1:
            del content["format"]
        return json_fingerprint(content)

    @property
    def images(self) -> int:
        """How many images each cell has."""
        return self.data["images"]

    @property
    def slices(self) -> int:
        """How many shards each cell has."""
        return len(self.data["slices"])

    def rows(self, index: int) -> range:
        """Rows of the data set that are in a slice."""
        start = index * self.shard_size
        return range(start, min(start + self.shard_size, self.images))

    def manifest(self) -> dict[str, Any]:
        """Returns the manifest's content.

        Raises:
            ValueError: it is one that could not be read again, such as of too many cells.
        """
        content = {"kind": "sweep", **dataclasses.asdict(self), "extends": list(self.extends)}
        if not self.extends:
            del content["extends"]
        try:
            check_manifest(content)
        except ValueError as error:
            raise ValueError(f"A sweep must be one that can be read again: {error}") from None
        return content

    def continuing(self, earlier: Plan, targets: Mapping[str, Any]) -> Plan:
        """Returns this plan as the continuation of an earlier one, if it is that.

        It may have more images, provided that the first ones are those of the earlier plan, with
        their targets, and all else is equal. Another plan is returned as it is.

        Args:
            earlier: the other.
            targets: of this one, as they were given.
        """
        known = dataclasses.replace(self, extends=earlier.extends)
        whole = earlier.images // earlier.shard_size
        shards = {"images": earlier.images, "slices": earlier.data["slices"]}
        shorter = dataclasses.replace(
            known,
            data={**self.data, **shards},
            targets=_described(targets, earlier.images),
        )
        first = self.data["slices"][:whole] == earlier.data["slices"][:whole]
        if first and self.images > earlier.images and shorter == earlier:
            return dataclasses.replace(self, extends=(*earlier.extends, earlier.sha256))
        return known

    @classmethod
    def from_manifest(cls, manifest: dict[str, Any]) -> Plan:
        """Returns the plan that a manifest describes.

        Raises:
            ValueError: it is of something else, of another format, or damaged.
        """
        check_manifest(manifest)
        content = {name: value for name, value in manifest.items() if name != "kind"}
        if unknown := set(content) - {field.name for field in dataclasses.fields(cls)}:
            raise ValueError(
                f"A sweep's manifest has no other entries than its plan. Received: {len(unknown)}, "
                f"such as {min(unknown)[:60]!r}."
            )
        return cls(**{**content, "extends": tuple(content.get("extends", ()))})


def read_plan(folder: Path) -> Plan:
    """Returns the plan of the sweep in a folder.

    Raises:
        ValueError: its manifest is of something else, of another format, or damaged.
        FileNotFoundError: it has none.
    """
    manifest = read_manifest(folder)
    try:
        return Plan.from_manifest(manifest)
    except ValueError as error:
        raise ValueError(f"{folder / MANIFEST}: {error}") from None


def make_plan(
    source: Source,
    adversaries: Mapping[Cell, LBFGSAdversary],
    models: Mapping[str, keras.Model],
    targets: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> Plan:
    """Reads the data once, checks it against every adversary, and returns the plan.

    Raises:
        TypeError, ValueError: images, labels or targets that do not fit a model or its bounds.
    """
    data, classes, labels = _read(source, {each: cell.model for cell, each in adversaries.items()})
    for name, value in targets.items():
        if not isinstance(value, str):
            count = data["images"]
            class_array(f"targets[{name!r}]", value, count, min(classes.values()))
            if np.shape(value) != (count,):
                raise ValueError(
                    f"`targets[{name!r}]` must have shape ({count},). Received: shape "
                    f"{np.shape(value)}."
                )
            if labels is not None:
                check_differ(f"targets[{name!r}]", value, labels)
    return Plan(
        data=data,
        models={
            name: {"sha256": model_fingerprint(model, data["shape"]), "classes": classes[name]}
            | _places(model, settings)
            for name, model in models.items()
        },
        targets=_described(targets),
        settings={name: _described_settings(name, adversaries, classes) for name in settings},
        seed=seed,
        shard_size=source.size,
        versions=versions(),
    )


def _described(targets: Mapping[str, Any], rows: int | None = None) -> dict[str, str]:
    """Returns the targets of a sweep, or of its first rows, as its plan has them."""
    return {
        name: value if isinstance(value, str) else array_fingerprint(value[:rows])
        for name, value in targets.items()
    }


def _described_settings(
    name: str, adversaries: Mapping[Cell, LBFGSAdversary], classes: Mapping[str, int]
) -> dict[str, Any]:
    """Returns a group of settings as a plan has it: `outputs` by model where they differ."""
    of_models = {cell.model: each for cell, each in adversaries.items() if cell.settings == name}
    outputs = {model: each.settings.outputs for model, each in of_models.items()}
    last = [*of_models][-1]
    described = adversary_settings(of_models[last], classes[last])
    return described | ({"outputs": outputs} if len({*outputs.values()}) > 1 else {})


def adversary_settings(adversary: LBFGSAdversary, classes: int | None = None) -> dict[str, Any]:
    """Returns the settings that an adversary's results depend on, as JSON's types.

    Args:
        adversary: whose.
        classes: number of them, for a loss of one's own that asks for it.
    """
    settings = adversary.settings
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    values["loss"] = str(settings.loss)
    if code := own_code([settings.loss]):
        values["loss"] = settings.loss.name
        computed = _own_loss(settings.loss, adversary.classifier.dtype, classes)
        values["own_loss"] = {"code": code, **computed}
    return plain(values)


def _own_loss(loss: Loss, dtype: tf.DType, classes: int | None) -> dict[str, Any]:
    """Returns what a loss of one's own computes, and what it keeps."""
    return {
        "parameters": plain_values(vars(loss)),
        "adapts_weights": loss.adapts_weights,
        "value": function_fingerprint(loss.value, tf.TensorSpec([None, classes], dtype)),
        "sharpness": function_fingerprint(loss.sharpness, tf.TensorSpec([None], dtype)),
    }


def _read(
    source: Source, models: Mapping[LBFGSAdversary, str]
) -> tuple[dict[str, Any], dict[str, int], np.ndarray | None]:
    """Returns what describes the data, the number of classes of each model, and the labels.

    Args:
        source: of the data.
        models: names of those that the adversaries attack.
    """
    classes: dict[str, int] = {}
    labels: list[np.ndarray] = []
    fingerprints, count, shape, dtype, labelled = [], 0, (), "", False
    for piece in source.slices():
        for adversary, name in models.items():
            with of_model(name):
                _check_shared(adversary.bounds, piece.images)
                check_images(piece.images, adversary.classifier, adversary.bounds)
        if not classes:
            for adversary, name in models.items():
                with of_model(name):
                    logits = adversary.classifier.predict_logits(piece.images[:_LOOKED_AT])
                    classes[name] = check_logits(logits, adversary.classifier).shape[1]
            shape, dtype = piece.images.shape[1:], piece.images.dtype.name
            labelled = piece.labels is not None
        if piece.images.shape[1:] != shape or piece.images.dtype.name != dtype:
            raise ValueError(
                f"All images must have shape {shape} and dtype {dtype}. Received: "
                f"{piece.images.shape[1:]} and {piece.images.dtype.name} from image {count} on."
            )
        if piece.labels is not None:
            fewest = min(classes.values())
            labels.append(class_array("labels", piece.labels, len(piece.images), fewest))
        count += len(piece.images)
        fingerprints.append(piece.fingerprint())
    if not count:
        raise ValueError("At least one image is needed. Received: an empty data set.")
    data = {
        "images": count,
        "shape": list(shape),
        "dtype": dtype,
        "labels": labelled,
        "slices": fingerprints,
    }
    return data, classes, np.concatenate(labels) if labels else None


def _check_shared(bounds: tuple[np.ndarray, np.ndarray], images: np.ndarray) -> None:
    """Raises if each image has bounds of its own: every shard would take those of the first."""
    if any(bound.ndim == images.ndim and len(bound) > 1 for bound in bounds):
        raise ValueError(
            "All images of a sweep have the same bounds: numbers, or arrays of the shape of one "
            f"image, {images.shape[1:]}. Received: shapes {bounds[0].shape} and {bounds[1].shape}."
        )


def _places(model: keras.Model, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns where the layers stand that settings name: a model's sha256 leaves names out."""
    names = [layer.name for layer in model.layers]
    wanted = {given["layer"] for given in settings.values() if given.get("layer") is not None}
    return {"layers": {name: names.index(name) for name in sorted(wanted)}} if wanted else {}
