"""Keras models as bytes, for processes that have not made them: the same models, or an error."""

from __future__ import annotations

import contextlib
import inspect
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from intriguing_tf.fingerprints import model_fingerprint, plain_values
from intriguing_tf.keras_graph import layers_in
from intriguing_tf.origins import is_of
from intriguing_tf.sweeps.plan import Plan
from intriguing_tf.text import words

_PACKAGES = ("keras", "tensorflow")


class PackedModel:
    """A Keras model as bytes, which workers unpack.

    Classes and functions of the user's own in its layers travel along: those of a script as they
    are, those of modules by name, so workers must be able to import these.

    Raises:
        ValueError: two classes go by one name.
    """

    def __init__(self, model: keras.Model):
        own: dict[str, Any] = {}
        held = [(layer, code) for layer in [model, *layers_in(model)] for code in _own_code(layer)]
        with tempfile.TemporaryDirectory() as folder, _distinct_names(code for _, code in held):
            for layer, code in held:
                name = keras.saving.get_registered_name(code)
                if own.setdefault(name, code) is not code:
                    raise ValueError(
                        f"Classes of your own must have names of their own. Received: two that are "
                        f"called {name!r}, one of them of layer {layer.name!r}"
                    )
            path = Path(folder) / "model.keras"
            model.save(path, include_optimizer=False)
            self._content = path.read_bytes()
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json").decode()
        self._own = {name: code for name, code in own.items() if json.dumps(name) in config}

    def __len__(self) -> int:
        return len(self._content)

    def unpack(self) -> keras.Model:
        """Returns the model."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(self._content)
            # The bytes come from the process that started the sweep, not from a file of others.
            return keras.models.load_model(path, self._own, compile=False, safe_mode=False)


def pack(models: Mapping[str, keras.Model], plan: Plan) -> dict[str, PackedModel]:
    """Returns the models of a plan as bytes.

    Raises:
        ValueError: a model that cannot be saved and loaded, or is another one afterwards.
    """
    return {name: _packed(name, model, plan) for name, model in models.items()}


def _packed(name: str, model: keras.Model, plan: Plan) -> PackedModel:
    try:
        packed = PackedModel(model)
        with _nothing_registered():
            copy = packed.unpack()
    except Exception as error:  # what the code of anyone does is not foreseen
        raise ValueError(
            f"Model {name!r} must be one that Keras saves and loads, to be sent to Ray's workers. "
            f"Received: {words(_first(error))}."
        ) from error
    if model_fingerprint(copy, plan.data["shape"]) != plan.models[name]["sha256"]:
        raise ValueError(
            f"Model {name!r} must be the same one after Keras saved and loaded it, to be sent to "
            "Ray's workers: what a layer of your own computes with is a weight, or in its "
            f"`get_config`. Received: another model{_changed(model, copy)}."
        )
    return packed


def _own_code(layer: keras.layers.Layer) -> list[Any]:
    """Returns the classes and functions of the user's own that a layer is made with."""
    found: dict[Any, None] = {type(layer): None}
    waiting: list[Any] = [layer]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, keras.Model):  # holds what it was compiled with
            continue
        held = [value for name, value in vars(holder).items() if not hasattr(type(holder), name)]
        for each in keras.tree.flatten(held):
            if inspect.isfunction(each):
                found[each] = None
            elif _is_saved(each) and type(each) not in found:
                found[type(each)] = None
                waiting.append(each)
    return [code for code in found if not is_of(code, _PACKAGES)]


@contextlib.contextmanager
def _distinct_names(codes: Iterable[Any]) -> Iterator[None]:
    """Gives each function a name of its own: Keras saves functions by name, and no others."""
    names = {code: code.__name__ for code in codes if inspect.isfunction(code)}
    for number, function in enumerate(names):
        function.__name__ = f"function {number} of {__name__}"
    try:
        yield
    finally:
        for function, name in names.items():
            function.__name__ = name


@contextlib.contextmanager
def _nothing_registered() -> Iterator[None]:
    """Hides what this process has registered with Keras: workers may not have."""
    registered = keras.saving.get_custom_objects()
    hidden = dict(registered)
    registered.clear()
    try:
        yield
    finally:
        registered.update(hidden)


def _is_saved(held: Any) -> bool:
    """Whether Keras saves an object with the layer that holds it, and not as a layer."""
    return hasattr(held, "get_config") and not isinstance(held, (type, keras.layers.Layer))


def _first(error: BaseException) -> BaseException:
    """Returns the error that others followed, such as Keras's with a whole configuration."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _changed(model: keras.Model, copy: keras.Model) -> str:
    """Says which layer of the user's own keeps something else than its copy, if one does."""
    for layer, other in zip(layers_in(model), layers_in(copy), strict=False):
        kept, other_kept = plain_values(vars(layer)), plain_values(vars(other))
        names = [n for n in kept if n[0] != "_" and kept[n] != other_kept.get(n)]
        names = [n for n in names if n != "name"]  # which not every layer saves
        if names and _own_code(layer):
            return f", whose layer {layer.name!r} has another {names[0]!r}"
    return ""
