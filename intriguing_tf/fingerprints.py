"""What identifies data, a model, settings and code: SHA-256 that every process computes alike.

Equal content gives equal fingerprints on every platform; nothing here depends on Python's `hash`,
on addresses, on byte order or on the names that Keras counts up through a session.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import scipy
import tensorflow as tf

import intriguing_tf
from intriguing_tf.keras_graph import (
    call_arguments,
    is_functional,
    layers_in,
    named_tensors,
    nodes_of,
)
from intriguing_tf.lambda_code import compiled, compiled_lambdas, is_lambda, without_code
from intriguing_tf.origins import is_of
from intriguing_tf.traced_structure import structure

_PACKAGE = Path(__file__).parent
_REFERENCES = ("keras_history", "input_layers", "output_layers")  # [a layer's name, node, tensor]
_NO_SETTINGS = {"self", "name", "trainable", "args", "kwargs"}  # of how a layer computes
_PACKAGES = ("builtins", "abc", "keras", "tensorflow", "intriguing_tf")
_NOT_COMPUTING = ("compile_config", "build_config")
_EPSILON = 1e-7  # unless `keras.config.set_epsilon` was called
# Functions of a model may be those it was compiled with; a Lambda's is in its configuration, and
# among `compiled_lambdas`.
_HOLD_OTHERS = (keras.Model, keras.layers.Lambda)
# Callables that have a configuration, and no part in computing outputs or weights of their own.
_DECLARED = (
    type,
    keras.layers.Layer,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)


def array_fingerprint(*arrays: Any, chunk: int = 2**26) -> str:
    """Returns the SHA-256 of arrays, with their shapes and dtypes.

    Args:
        *arrays: of any shape and dtype of numbers or strings. Of a `numpy.memmap` a part at a time
            is read.
        chunk: bytes that are hashed, and copied if they must be, at a time.

    Returns:
        64 hexadecimal digits. The byte order and the layout in memory do not count.

    Raises:
        TypeError: an array of objects.
    """
    digest = hashlib.sha256()
    for array in arrays:
        array = np.asanyarray(array)
        if array.dtype.hasobject:
            raise TypeError(f"Arrays must hold numbers or strings. Received: dtype {array.dtype}.")
        array = np.atleast_1d(array)
        digest.update(f"{array.dtype.name}{array.shape}".encode())
        rows = max(1, chunk // max(1, array[:1].nbytes))
        for start in range(0, len(array) if array.size else 0, rows):
            digest.update(_little_endian(array[start : start + rows]))
    return digest.hexdigest()


def json_fingerprint(content: Any) -> str:
    """Returns the SHA-256 of JSON's types; the order of keys does not count."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Returns settings as JSON's types.

    Dataclasses and named tuples become dictionaries, arrays of more than one number their
    fingerprint, and numbers that are not finite their name.

    Raises:
        TypeError: a value of another kind.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return plain(value.item())
    if isinstance(value, np.ndarray):
        return array_fingerprint(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    raise TypeError(
        "Settings must be numbers, strings, arrays, or dataclasses, dictionaries and sequences of "
        f"them. Received: {value!r}."
    )


def model_fingerprint(model: keras.Model, shape: Sequence[int] | None = None) -> str:
    """Returns the SHA-256 of a model's architecture and weights.

    Names of layers do not count, since Keras numbers them through a session, nor does how the model
    was compiled, nor which layers are frozen, nor where a lambda stands. `keras.config.epsilon()`
    counts if it is not 1e-7, for layers compute with it. Where code of the user's own takes part,
    in layers, activations, models or a SavedModel, its source counts as far as Python finds it; so
    do attributes that are named as an argument of `__init__`, and the operations and constants of
    the graph that the model's call traces, which tell what it makes of globals, closures and
    settings that no `get_config` has.
    What a `py_function` runs, and gradients of one's own (`custom_gradient`), count by their source
    alone, if it is that of a layer or model; so does a model that cannot be traced.

    Args:
        model: of any kind.
        shape: of one input, for a model that does not say it (subclassed models). Otherwise it is
            traced for inputs as those it was built on, and not at all if these are not known.
    """
    return model_content(model, shape).sha256


class ModelContent(NamedTuple):
    """What a model's fingerprint is of, as JSON's types.

    Attributes:
        configuration: without names, of layers that are not frozen.
        source: of the user's own code; of lambdas, what they were compiled to.
        weights: their fingerprint.
        outputs: for a model with code of the user's own, what its layers keep of their arguments,
            and what it computes in the graph that it traces; nothing for others. Keras's epsilon
            if it was set.
    """

    configuration: Any
    source: list[str]
    weights: str
    outputs: list[Any]

    @property
    def sha256(self) -> str:
        """The model's fingerprint."""
        return json_fingerprint([self.configuration, self.source, self.weights, *self.outputs])


def model_content(model: keras.Model, shape: Sequence[int] | None = None) -> ModelContent:
    """Returns what `model_fingerprint` is of, for the same arguments."""
    parts = [model, *layers_in(model)]
    lambdas = compiled_lambdas(parts)
    try:
        configuration = _without_names(json.loads(model.to_json()), {}, {})
        loaded = any(isinstance(each, keras.layers.TFSMLayer) for each in parts)  # by its path
        own = bool(loaded or lambdas or any(map(_is_own, _code_of(parts))))
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        configuration = _without_names(list(map(_config, parts)), {}, {})
        own = True
    weights = (weight.numpy() for weight in model.weights)
    outputs = [list(filter(None, map(_own_values, parts))), _traced(model, shape)] if own else []
    if keras.config.epsilon() != _EPSILON:
        outputs.append({"epsilon": keras.config.epsilon()})
    source = own_code(parts) + lambdas
    return ModelContent(configuration, source, array_fingerprint(*weights), outputs)


def function_fingerprint(function: Callable[..., Any], *specs: tf.TensorSpec) -> str:
    """Returns the SHA-256 of the operations and constants that a function of tensors traces."""
    return json_fingerprint(_structure(lambda *tensors: function(*tensors), specs))


def own_code(objects: Iterable[Any]) -> list[str]:
    """Returns the source, as far as Python finds it, of what no package here brings.

    That are the classes of the objects, and functions that they hold, such as activations; of
    lambdas it is what they were compiled to, wherever they stand.
    """
    found: set[Any] = set()
    for each in objects:
        found.update(type(each).__mro__)
        if not isinstance(each, _HOLD_OTHERS):
            found.update(filter(inspect.isfunction, getattr(each, "__dict__", {}).values()))
    return sorted(map(_source, filter(_is_own, found)))


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those values that are settings, as JSON's types: see `plain`; tensors as arrays."""
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError, NotImplementedError):  # a layer, say
            kept[name] = plain(keras.tree.map_structure(_as_array, value))
    return kept


def _is_own(code: Any) -> bool:
    """Whether a class, function or callable object is brought by no package here."""
    return not is_of(code, _PACKAGES)


def _code_of(parts: Iterable[Any]) -> Iterator[Any]:
    """Yields the classes of layers and operations, and what they hold and call."""
    for part in parts:
        yield from type(part).__mro__
        if isinstance(part, keras.Model):  # it also holds what it was compiled with
            held = [vars(part).get("call")]
        else:
            held = list(vars(part).values())
        if is_functional(part):
            held += keras.tree.flatten([call_arguments(node) for node in nodes_of(part)])
            operations = {id(node.operation): node.operation for node in nodes_of(part)}
            yield from _code_of(
                each for each in operations.values() if not isinstance(each, keras.layers.Layer)
            )
        yield from (each for each in held if callable(each) and not isinstance(each, _DECLARED))


def _config(part: keras.layers.Layer) -> dict[str, Any]:
    """Returns the class of a layer or model, and its configuration if JSON can hold it."""
    described: dict[str, Any] = {"class_name": f"{type(part).__module__}.{type(part).__qualname__}"}
    with contextlib.suppress(Exception):  # code of anyone's
        described["config"] = json.loads(json.dumps(part.get_config()))
    return described


def _traced(model: keras.Model, shape: Sequence[int] | None) -> Any:
    """Returns what a model's call computes, in the graph that it traces; `None` if not known."""
    specs = _specs(model, shape)
    if specs is None:
        return None

    def call(*tensors: tf.Tensor) -> list[tf.Tensor]:
        inputs = keras.tree.pack_sequence_as(specs, list(tensors))
        return keras.tree.flatten(model(inputs, training=False))

    weights = [w if isinstance(w, tf.Variable) else w.value for w in model.weights]
    try:
        return _structure(call, keras.tree.flatten(specs), weights)
    except Exception:  # code of anyone's, of which it is not known how it is called
        return None


def _structure(
    function: Callable[..., Any],
    specs: Sequence[tf.TensorSpec],
    known: Sequence[tf.Variable] = (),
) -> Any:
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return plain(structure(traced, known))


def _specs(model: keras.Model, shape: Sequence[int] | None) -> Any:
    """Returns the kind of a model's inputs, or of one of that shape; `None` if it is not known."""
    inputs = named_tensors(model, "inputs")
    if inputs is None and getattr(model, "inputs", None):  # a Sequential model
        inputs = model.inputs[0]
    if inputs is not None:
        return keras.tree.map_structure(lambda x: _batch_of(x.shape[1:], x.dtype), inputs)
    if shape is None and model.built:
        batch = (model.get_build_config() or {}).get("input_shape")
        shape = batch[1:] if isinstance(batch, list | tuple) else None
    if not shape or not all(isinstance(size, int | None) for size in shape):
        return None  # several inputs, say
    return _batch_of(shape, "float64" if model.compute_dtype == "float64" else "float32")


def _batch_of(shape: Sequence[int | None], dtype: str) -> tf.TensorSpec:
    return tf.TensorSpec([None, *shape], dtype)


def _own_values(part: keras.layers.Layer) -> dict[str, Any]:
    """Returns what a layer or model of the user's own keeps of the arguments that it was made with.

    Numbers, strings, arrays and tensors, and lists of them. Other attributes may change in a run.
    """
    own = [vars(kind) for kind in type(part).__mro__ if _is_own(kind)]
    makers = [each["__init__"] for each in own if "__init__" in each]
    names = {name for maker in makers for name in inspect.signature(maker).parameters}
    kept = vars(part)
    return plain_values(
        {name: kept.get(name, kept.get(f"_{name}")) for name in names - _NO_SETTINGS}
    )


def _as_array(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value


def versions() -> dict[str, str]:
    """Returns the versions of what computes: this package, TensorFlow, Keras, NumPy and SciPy.

    In a checkout, whose version stays the same between commits, there is the package's "source"
    as well.
    """
    packages = {"tensorflow": tf, "keras": keras, "numpy": np, "scipy": scipy}
    found = {"intriguing_tf": intriguing_tf.__version__}
    found |= {name: package.__version__ for name, package in packages.items()}
    source = source_fingerprint()
    return found if source is None else found | {"source": source}


@functools.cache
def source_fingerprint(package: Path = _PACKAGE) -> str | None:
    """Returns the SHA-256 of a package's Python files, read once; `None` where it is installed.

    Args:
        package: folder of the package. In a checkout there is a `pyproject.toml` beside it.
    """
    if not (package.parent / "pyproject.toml").is_file():
        return None
    digest = hashlib.sha256()
    files = {file.relative_to(package).as_posix(): file for file in package.rglob("*.py")}
    for name in sorted(files):
        content = files[name].read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _little_endian(array: np.ndarray) -> memoryview:
    """Returns an array's bytes, without a copy where they lie in order."""
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _without_names(config: Any, layers: dict[str, int], objects: dict[int, int]) -> Any:
    """Returns a model's configuration with its layers and shared objects numbered as they come.

    Only what names a layer is replaced: "relu" may be the name of one and the activation of
    another. Every layer counts as trainable, for frozen ones compute the same.

    Args:
        config: of the model, or a part of it.
        layers: numbers by name, of the model that the part belongs to.
        objects: numbers by the address that Keras writes as "shared_object_id".
    """
    if isinstance(config, list):
        return [_without_names(each, layers, objects) for each in config]
    if not isinstance(config, dict):
        return config
    config = {k: value for k, value in without_code(config).items() if k not in _NOT_COMPUTING}
    if "layers" in config:
        layers = {}
    inner = config.get("config")
    if isinstance(inner, dict) and "trainable" in inner:
        config["config"] = inner = inner | {"trainable": True}
    is_policy = str(config.get("class_name")).endswith("Policy")  # their names say how to compute
    if isinstance(inner, dict) and isinstance(inner.get("name"), str) and not is_policy:
        config["name"] = layers.setdefault(inner["name"], len(layers))
        config["config"] = {key: value for key, value in inner.items() if key != "name"}
    elif "inbound_nodes" in config and isinstance(config.get("name"), str):  # an operation's
        config["name"] = layers.setdefault(config["name"], len(layers))
    if "shared_object_id" in config:
        address = config["shared_object_id"]
        config["shared_object_id"] = objects.setdefault(address, len(objects))
    return {
        key: _renumbered(value, layers)
        if key in _REFERENCES
        else _without_names(value, layers, objects)
        for key, value in config.items()
    }


def _renumbered(reference: Any, layers: dict[str, int]) -> Any:
    """Returns what refers to layers, by their numbers."""
    if isinstance(reference, dict):
        return {key: _renumbered(value, layers) for key, value in reference.items()}
    if isinstance(reference, list):
        if reference and isinstance(reference[0], str):
            return [layers.setdefault(reference[0], len(layers)), *reference[1:]]
        return [_renumbered(each, layers) for each in reference]
    return reference


def _wraps_a_packages(function: Any) -> bool:
    return not _is_own(function.__wrapped__)


def _source(own: Any) -> str:
    if inspect.isfunction(own):
        own = inspect.unwrap(own, stop=_wraps_a_packages)
    if is_lambda(own):  # its lines hold more than it
        return compiled(own)
    try:
        return inspect.getsource(getattr(own, "__code__", own))
    except (OSError, TypeError):  # typed in at a prompt
        return own.__qualname__
