"""Keras models as bytes, for processes that have not made them: the same models, or an error."""

from __future__ import annotations

import contextlib
import inspect
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.fingerprints import ModelContent, json_fingerprint, model_content, plain_values
from intriguing_tf.keras_graph import is_functional, layers_in, nodes_of
from intriguing_tf.origins import is_of
from intriguing_tf.sweeps.plan import Plan
from intriguing_tf.text import words

_PACKAGES = ("keras", "tensorflow")


class PackedModel:
    """A Keras model as bytes, which workers unpack.

    Classes and functions of the user's own that its configuration names travel along: those of a
    script as they are, those of modules by name, so workers must be able to import these. How the
    model and those within it were compiled does not.

    Args:
        model: that Keras saves and loads.
        shape: of one input.

    Raises:
        ValueError: two classes go by one name.
        Exception: what Keras, Ray's pickler or the code of anyone raises where it cannot.
    """

    def __init__(self, model: keras.Model, shape: Sequence[int]):
        from ray import cloudpickle

        parts = _parts(model)
        held = [(part, code) for part in parts for code in _own_code(part)]
        with (
            tempfile.TemporaryDirectory() as folder,
            _distinct_names(code for _, code in held),
            _not_compiled(parts),
        ):
            path = Path(folder) / "model.keras"
            model.save(path, include_optimizer=False)
            self._content = path.read_bytes()
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json").decode()
            self._own = _named_in(config, held)
        cloudpickle.dumps(self._own)  # raises here, and not when the work has begun
        self._shape = tuple(shape)
        self._weights: dict[int, np.ndarray] = {}
        with _nothing_registered():
            copy = self.unpack()
        self._weights = _other_weights(model, copy)
        _assign(copy, self._weights)
        content = model_content(copy, self._shape)
        self.sha256, self._computed = content.sha256, _computed(content)

    def __len__(self) -> int:
        return len(self._content) + sum(value.nbytes for value in self._weights.values())

    def unpack(self) -> keras.Model:
        """Returns the model, in this process or another."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(self._content)
            with keras.saving.custom_object_scope(self._own):
                # The bytes come from the process that started the sweep, not from others' files.
                model = keras.models.load_model(path, compile=False, safe_mode=False)
        _assign(model, self._weights)
        return model

    def computes(self, model: keras.Model) -> bool:
        """Whether a model that was unpacked computes what it does where it was packed.

        Its source does not count, which is not to be found everywhere.
        """
        return _computed(model_content(model, self._shape)) == self._computed


def pack(
    models: Mapping[str, keras.Model], settings: Mapping[str, Any], plan: Plan
) -> dict[str, PackedModel]:
    """Returns the models of a plan as bytes, and checks that its settings can be sent, too.

    Raises:
        ValueError: a model that cannot be saved and loaded, or is another one afterwards; settings
            that cannot be pickled.
        ImportError: Ray is not installed.
    """
    try:
        from ray import cloudpickle
    except ImportError as error:
        raise ImportError("Ray is not installed: pip install 'ray >= 2.9'.") from error
    for name, given in settings.items():
        try:
            cloudpickle.dumps(given)
        except Exception as error:  # what the code of anyone does is not foreseen
            raise ValueError(
                f"`settings[{name!r}]` must be of code that can be pickled, to be sent to Ray's "
                f"workers. Received: {words(error)}."
            ) from error
    return {name: _packed(name, model, plan) for name, model in models.items()}


def _packed(name: str, model: keras.Model, plan: Plan) -> PackedModel:
    try:
        packed = PackedModel(model, plan.data["shape"])
    except Exception as error:  # what the code of anyone does is not foreseen
        raise ValueError(
            f"Model {name!r} must be one that Keras saves and loads, of code that can be pickled, "
            f"to be sent to Ray's workers. Received: {words(_first(error))}."
        ) from error
    if packed.sha256 != plan.models[name]["sha256"]:
        raise ValueError(
            f"Model {name!r} must be the same one after Keras saved and loaded it, to be sent to "
            "Ray's workers: what its layers compute with is a weight, or in their `get_config`. "
            f"Received: another model, {_changed(model, packed.unpack(), plan.data['shape'])}."
        )
    return packed


def _parts(model: keras.Model) -> list[Any]:
    """Returns a model, its layers, and the operations of its graphs."""
    layers = [model, *layers_in(model)]
    nodes = [node for layer in layers if is_functional(layer) for node in nodes_of(layer)]
    return list(dict.fromkeys([*layers, *(node.operation for node in nodes)]))


def _own_code(part: Any) -> list[Any]:
    """Returns the classes and functions of the user's own that a layer or operation holds."""
    found: dict[Any, None] = {}
    seen: set[int] = set()
    waiting: list[Any] = [part]
    while waiting:
        holder = waiting.pop()
        found[type(holder)] = None
        seen.add(id(holder))
        for each in _flat(list(vars(holder).values())):
            if inspect.isfunction(each):
                found[each] = None
            elif _is_saved(each) and id(each) not in seen:
                waiting.append(each)
    return [code for code in found if not is_of(code, _PACKAGES)]


def _flat(held: Any) -> Iterator[Any]:
    """Yields what lists and dictionaries hold, whatever their keys."""
    if isinstance(held, dict):
        held = list(held.values())
    if not isinstance(held, (list, tuple, set, frozenset)):
        yield held
        return
    for each in held:
        yield from _flat(each)


def _named_in(config: str, held: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Returns the code that a configuration names: what layers hold, or else what is registered."""
    own: dict[str, Any] = {}
    for part, code in held:
        name = keras.saving.get_registered_name(code)
        if json.dumps(name) in config and own.setdefault(name, code) is not code:
            raise ValueError(
                f"Classes of your own must have names of their own. Received: two that are "
                f"called {name!r}, one of them of layer {part.name!r}"
            )
    registered = keras.saving.get_custom_objects()
    return {name: code for name, code in registered.items() if json.dumps(name) in config} | own


def _other_weights(model: keras.Model, copy: keras.Model) -> dict[int, np.ndarray]:
    """Returns the weights that a copy has otherwise: Keras merges those of LoRA as it saves."""
    if [each.name for each in model.weights] != [each.name for each in copy.weights]:
        return {}  # in another order, say
    pairs = zip(model.get_weights(), copy.get_weights(), strict=True)
    return {
        index: value
        for index, (value, other) in enumerate(pairs)
        if value.shape == other.shape and value.tobytes() != other.tobytes()
    }


def _assign(model: keras.Model, values: Mapping[int, np.ndarray]) -> None:
    weights = model.weights  # a list that is made at each access
    for index, value in values.items():
        weights[index].assign(value)


def _computed(content: ModelContent) -> str:
    return json_fingerprint([content.weights, content.outputs])


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
def _not_compiled(parts: Iterable[Any]) -> Iterator[None]:
    """Has models count as not compiled: Keras saves losses and optimizers of those within, too."""
    compiled = [part for part in parts if isinstance(part, keras.Model) and part.compiled]
    for model in compiled:
        model.compiled = False
    try:
        yield
    finally:
        for model in compiled:
            model.compiled = True


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


def _changed(model: keras.Model, copy: keras.Model, shape: Sequence[int]) -> str:
    """Says in what a copy differs, and which layer of the user's own keeps something else."""
    one, another = (model_content(each, shape)._asdict() for each in (model, copy))
    said = f"with other {', '.join(kind for kind in one if one[kind] != another[kind])}"
    for layer, other in zip(layers_in(model), layers_in(copy), strict=False):
        kept, other_kept = plain_values(vars(layer)), plain_values(vars(other))
        names = [n for n in kept if n[0] != "_" and kept[n] != other_kept.get(n)]
        names = [n for n in names if n != "name"]  # which not every layer saves
        if names and _own_code(layer):
            return f"{said}, whose layer {layer.name!r} has another {names[0]!r}"
    return said
