"""What is given to a sweep, by name: models, targets, and settings of the adversary."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from intriguing_tf.adversary.settings import check_arguments
from intriguing_tf.adversary.targets import KINDS
from intriguing_tf.checks import check_unmasked
from intriguing_tf.sweeps.source import as_int64

_LONGEST = 64
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._/-]{{0,{_LONGEST - 1}}}")


def valid_names(names: Sequence[str]) -> list[str]:
    """Returns a valid name for each of different names: underscores for what a name may not have.

    Names that are valid stay. Where two would be the same, a hash of the name sets them apart.
    """
    found = [re.sub(r"[^A-Za-z0-9._/-]", "_", name).lstrip("._/-")[:_LONGEST] for name in names]
    hashed = [hashlib.sha256(name.encode()).hexdigest()[:8] for name in names]
    return [
        new
        if name == new or (new and found.count(new) == 1)
        else f"{(new or 'model')[: _LONGEST - 9]}-{code}"
        for name, new, code in zip(names, found, hashed, strict=True)
    ]


def named_models(models: Any) -> dict[str, keras.Model]:
    """Returns models by name; a model or a sequence of them goes by `model.name`, made valid."""
    if isinstance(models, keras.Model):
        models = [models]
    if isinstance(models, Sequence) and all(isinstance(m, keras.Model) for m in models):
        names = [m.name for m in models]
        if len(set(names)) != len(names):
            raise ValueError(
                f"Each model needs its own name. Received: {names}. Pass a dictionary to name them."
            )
        models = dict(zip(valid_names(names), models, strict=True))
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
        check_unmasked("targets", value)
    return {
        name: value if isinstance(value, str) else as_int64(value)
        for name, value in _named("targets", targets).items()
    }


def settings_of(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a group of settings as they are for one model: `outputs` may be given by model."""
    outputs = settings.get("outputs")
    own = {"outputs": outputs.get(model, "auto")} if isinstance(outputs, Mapping) else {}
    return {**settings, **own}


def named_settings(settings: Any, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns the adversary's settings by name; `None` is its defaults, called "default".

    Args:
        settings: as `sweep` takes them. models: names of its models.
    """
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
        outputs = value.get("outputs")
        if isinstance(outputs, Mapping) and not {*outputs} <= {*models}:
            raise ValueError(
                f"settings[{name!r}]['outputs'] must be of {', '.join(models)}. Received: "
                f"{outputs}."
            )
        for model in models:
            check_arguments(f"settings[{name!r}]", settings_of(model, value))
    return {name: dict(value) for name, value in settings.items()}


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
