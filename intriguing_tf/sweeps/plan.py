"""What determines a sweep, and its manifest: data, models, targets, settings, seed, versions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import intriguing_tf
from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.adversary.inputs import check_images, describe_bound
from intriguing_tf.adversary.targets import KINDS, class_array

from .fingerprints import array_fingerprint, model_fingerprint
from .source import Source

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_SETTINGS = ("solver", "loss", "maxcor", "maxfun", "xtol", "jit_compile", "memory")


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
        models: "sha256" and number of "classes" by name.
        targets: "random", "least_likely", "nearest" or the sha256 of given classes, by name.
        settings: the adversary's settings by name.
        seed: of random targets.
        shard_size: images in a shard.
        versions: of the packages that compute.
    """

    data: dict[str, Any]
    models: dict[str, dict[str, Any]]
    targets: dict[str, Any]
    settings: dict[str, dict[str, Any]]
    seed: int
    shard_size: int
    versions: dict[str, str]

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Models x targets x settings."""
        return tuple(Cell(*c) for c in itertools.product(self.models, self.targets, self.settings))

    @functools.cached_property
    def sha256(self) -> str:
        """Identifies the plan in each of its shards."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

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

    def to_json(self) -> str:
        """Returns the manifest's text."""
        content = {"format": FORMAT, "kind": "sweep", **dataclasses.asdict(self)}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Reads a manifest.

        Raises:
            ValueError: it is not one, or of another format.
        """
        try:
            content = json.loads(text)
            if content.pop("kind") != "sweep" or content.pop("format") != FORMAT:
                raise ValueError("another kind or format")
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"Not the manifest of a sweep, format {FORMAT}: {error}.") from error

    def differences(self, other: Plan) -> list[str]:
        """Returns where another plan differs, one line each."""
        lines: list[str] = []
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        _compare("", mine, theirs, lines)
        return lines


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
    first_of_model = {cell.model: adversary for cell, adversary in adversaries.items()}
    classes: dict[str, int] = {}
    fingerprints, count, shape, dtype, labelled = [], 0, (), "", False
    for piece in source.slices():
        for adversary in dict.fromkeys(adversaries.values()):
            check_images(piece.images, adversary.classifier, adversary.bounds)
        if not classes:
            classes = {
                name: adversary.classifier.predict_logits(piece.images[:1]).shape[1]
                for name, adversary in first_of_model.items()
            }
            shape, dtype = piece.images.shape[1:], piece.images.dtype.name
            labelled = piece.labels is not None
        if piece.images.shape[1:] != shape or piece.images.dtype.name != dtype:
            raise ValueError(
                f"All images must have shape {shape} and dtype {dtype}. Received: "
                f"{piece.images.shape[1:]} and {piece.images.dtype.name} from image {count} on."
            )
        if piece.labels is not None:
            class_array("labels", piece.labels, len(piece.images), min(classes.values()))
        count += len(piece.images)
        fingerprints.append(piece.fingerprint())
    if not count:
        raise ValueError("At least one image is needed. Received: an empty data set.")
    for name, value in targets.items():
        if not isinstance(value, str):
            class_array(f"targets[{name!r}]", value, count, min(classes.values()))
    return Plan(
        data={
            "images": count,
            "shape": list(shape),
            "dtype": dtype,
            "labels": labelled,
            "slices": fingerprints,
        },
        models={
            name: {"sha256": model_fingerprint(model), "classes": classes[name]}
            for name, model in models.items()
        },
        targets={
            name: value if isinstance(value, str) else array_fingerprint(value)
            for name, value in targets.items()
        },
        settings={
            name: _describe(next(a for c, a in adversaries.items() if c.settings == name), given)
            for name, given in settings.items()
        },
        seed=seed,
        shard_size=source.size,
        versions={
            "intriguing_tf": intriguing_tf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    )


def named_models(models: Any) -> dict[str, keras.Model]:
    """Returns models by name; a model or a sequence of them goes by `model.name`."""
    if isinstance(models, keras.Model):
        models = [models]
    if isinstance(models, Sequence) and all(isinstance(m, keras.Model) for m in models):
        named = {m.name: m for m in models}
        if len(named) != len(models):
            raise ValueError(
                "Each model needs its own name. Received: "
                f"{[m.name for m in models]}. Pass a dictionary to name them."
            )
        models = named
    if not isinstance(models, Mapping):
        raise TypeError(
            "`models` must be a Keras model, a sequence of them, or a dictionary of them by name. "
            f"Received: {type(models).__name__}."
        )
    return _named("models", models)


def named_targets(targets: Any) -> dict[str, Any]:
    """Returns targets by name; a kind of target is its own name, an array is called "given"."""
    if isinstance(targets, str):
        targets = [targets]
    if isinstance(targets, Sequence) and all(isinstance(t, str) for t in targets):
        targets = {t: t for t in targets}
    if not isinstance(targets, Mapping):
        targets = {"given": targets}
    for value in targets.values():
        if isinstance(value, str) and value not in KINDS:
            raise ValueError(
                f"Targets must be {', '.join(map(repr, KINDS))} or integers, one class for each "
                f"image. Received: {value!r}."
            )
    return {
        name: value if isinstance(value, str) else np.asarray(value)
        for name, value in _named("targets", targets).items()
    }


def named_settings(settings: Any) -> dict[str, dict[str, Any]]:
    """Returns the adversary's settings by name; `None` is its defaults, called "default"."""
    if settings is None:
        return {"default": {}}
    if not isinstance(settings, Mapping) or not all(
        isinstance(value, Mapping) for value in settings.values()
    ):
        raise TypeError(
            "`settings` must map names to dictionaries of LBFGSAdversary's arguments, such as "
            "{'margin': {'loss': 'margin'}}. Received: " + repr(settings)
        )
    for name, value in _named("settings", settings).items():
        if not isinstance(value.get("layer"), (str, type(None))):
            raise TypeError(
                f"In a sweep a layer goes by its name. Received: settings[{name!r}]['layer'] = "
                f"{value['layer']!r}."
            )
    return {name: dict(value) for name, value in settings.items()}


def _describe(adversary: LBFGSAdversary, given: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: getattr(adversary, name) for name in _SETTINGS}
    described = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
    described["layer"] = given.get("layer")
    described["bounds"] = [
        describe_bound(b) if b.ndim == 0 else array_fingerprint(b) for b in adversary.bounds
    ]
    return described


def _named(argument: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    if not values:
        raise ValueError(f"`{argument}` must hold at least one. Received: none.")
    for name in values:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"Names in `{argument}` must be letters, digits, '.', '_', '-' and '/', at most "
                f"64 of them, beginning with a letter or digit. Received: {name!r}."
            )
    return dict(values)


def _compare(path: str, mine: Any, theirs: Any, lines: list[str]) -> None:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in {**mine, **theirs}:
            _compare(f"{path}.{key}" if path else key, mine.get(key), theirs.get(key), lines)
    elif mine != theirs:
        if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
            first = next(i for i in range(len(mine)) if mine[i] != theirs[i])
            path, mine, theirs = f"{path}[{first}]", mine[first], theirs[first]
        lines.append(f"{path}: {_short(mine)} in the folder, {_short(theirs)} now")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
