"""What the configuration of a network may say, found before Keras makes anything of it.

Every object that it names is a layer or a part of one, as data; every layer is part of the network,
and so among those whose weights are counted; and a few bytes neither ask for billions of anything
nor call one network within another millions of times.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from typing import Any

import keras

from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.errors import IntegrityError
from intriguing_tf.zoo.foreign import BUDGET, Budget

# Layers that run foreign code, or read files that the configuration names, and all kinds of them.
FOREIGN = {
    "FlaxLayer",
    "IndexLookup",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "StringLookup",
    "TextVectorization",
    "TFSMLayer",
    "TorchModuleWrapper",
}
# What Keras writes for plain values: tensors' places in the graph, slices and the like.
PLAIN = {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
MODULES = re.compile(r"(keras|intriguing_tf\.layers)(\.[a-z0-9_]+)*")
PARTS = (
    keras.Operation,  # layers and models are operations
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.dtype_policies.DTypePolicy,
)
# How often at most a layer makes a layer in it: Bidirectional its own, and one for each way.
COPIES = 3
NO_SIZES = {"mask_value", "salt", "seed", "value"}

Named = dict[str, Any]  # what Keras would make an object of


def check(configuration: Any, budget: Budget = BUDGET) -> None:
    """Checks the JSON values that Keras writes for a network.

    Raises:
        IntegrityError: what was found that does not belong there, or is more than the budget.
            What else may be wrong leaves as another exception: call it within `foreign.reading`.
    """
    found = list(_objects(configuration))
    numbers = functools.partial(_check_numbers, budget=budget)
    for rule in (_check_name, _check_place_of_layers, _check_nodes, numbers, _check_graph):
        for named in found:
            rule(named)
    calls = sum(map(_calls, _layers(configuration)))
    foreign.within(budget.calls, calls, "calls of layers while the network is made")


def _objects(values: Any) -> Iterator[Named]:
    """Yields every mapping that Keras would make an object of."""
    todo = [values]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _parts(values: Any) -> Iterator[Named]:
    """Yields the objects in JSON values, without those in them."""
    todo = [values]
    while todo:
        value = todo.pop()
        if isinstance(value, dict) and "class_name" in value:
            yield value
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _layers(values: Any) -> list[Named]:
    return [part for part in _parts(values) if _is_a(part, keras.Operation)]


def _check_name(named: Named) -> None:
    """The object is a layer, or a part of a layer, as data."""
    name, module = named["class_name"], named.get("module")
    what = f"it names {foreign.shown(name)} of {foreign.shown(module)}"
    if type(name) is not str or type(module) not in (str, type(None)):
        raise IntegrityError(f"{what}, which are not names")
    if name in PLAIN and module is None:
        return
    if name == "function":
        _check_function(module, named.get("config"))
        return
    if module is None or not MODULES.fullmatch(module) or name in FOREIGN:
        raise IntegrityError(f"{what}, which may run foreign code")
    registered = named.get("registered_name")
    if registered not in (None, name, f"intriguing_tf>{name}"):
        raise IntegrityError(f"{what}, registered as {foreign.shown(registered)}")
    if not _is_a(named, PARTS):
        raise IntegrityError(f"{what}, which is no part of a network")
    if FOREIGN & {kind.__name__ for kind in _class(module, name).__mro__}:
        raise IntegrityError(f"{what}, which may run foreign code")


def _check_function(module: str | None, name: Any) -> None:
    known = type(name) is str and hasattr(keras.activations, name)
    if module not in ("builtins", "keras.activations") or not known:
        raise IntegrityError(
            f"it names the function {foreign.shown(name)} of {foreign.shown(module)}"
        )


@functools.lru_cache(maxsize=1000)
def _class(module: str, name: str) -> type:
    """Returns the class of that name in a module of Keras or ours; `object` if there is none."""
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return object
    return found if isinstance(found, type) else object


def _is_a(named: Named, kinds: type | tuple[type, ...]) -> bool:
    module = named.get("module")
    return module is not None and issubclass(_class(module, named["class_name"]), kinds)


def _check_place_of_layers(named: Named) -> None:
    """Layers are in the configuration of layers: there Keras counts their weights."""
    for key, value in named.items():
        if not (key == "config" and _is_a(named, keras.Layer)) and (strays := _layers(value)):
            raise IntegrityError(
                f"it names {foreign.shown(strays[0]['class_name'])} where no layer belongs: in "
                f"{foreign.shown(key)} of {foreign.shown(named['class_name'])}"
            )


def _check_nodes(named: Named) -> None:
    """A layer is called on tensors of the network: on others Keras computes at once."""
    for node in _nodes(named):
        if not _tensors(node):
            raise IntegrityError(
                f"{foreign.shown(named['class_name'])} is called on no tensor of the network"
            )


def _nodes(named: Named) -> list[Any]:
    """Returns the calls of a layer."""
    return named.get("inbound_nodes") or []


def _tensors(node: Any) -> list[str]:
    """Returns the names of the layers whose outputs a layer is called on."""
    if isinstance(node, list):  # as Keras 2 wrote it
        return [name for name, *_ in node]
    calls = [node["args"], node["kwargs"]]
    tensors = (part for part in _parts(calls) if part["class_name"] == "__keras_tensor__")
    return [part["config"]["keras_history"][0] for part in tensors]


def _check_numbers(named: Named, budget: Budget) -> None:
    """Units, sizes and shapes are numbers that a network may have."""
    todo = [("", named.get(key)) for key in ("config", "build_config")]
    if named["class_name"] in PLAIN:
        return
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict) and "class_name" not in value:
            todo += value.items()
        elif isinstance(value, list):
            todo += [(name, each) for each in value]
        elif type(value) is int and name not in NO_SIZES:
            what = f"{foreign.shown(name)} of {foreign.shown(named['class_name'])}"
            foreign.within(budget.number, abs(value), what)


def _is_graph(named: Named) -> bool:
    config = named.get("config")
    return isinstance(config, dict) and {"layers", "output_layers"} <= config.keys()


def _check_graph(named: Named) -> None:
    """Each layer has its own name and leads to an output: others would be made all the same."""
    if not _is_graph(named):
        return
    config = named["config"]
    sources = {
        layer["name"]: {name for node in _nodes(layer) for name in _tensors(node)}
        for layer in config["layers"]
    }
    if len(sources) < len(config["layers"]):
        raise IntegrityError("two layers of a network have the same name")
    todo = [name for key in ("input_layers", "output_layers") for name in _texts(config[key])]
    while todo:
        todo += sources.pop(todo.pop(), ())
    if sources:
        raise IntegrityError(f"the layer {foreign.shown(min(sources))} leads to no output")


def _texts(values: Any) -> Iterator[str]:
    """Yields the names in `[name, node, tensor]`, or in lists and mappings of such."""
    todo = [values]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            todo += value.values() if isinstance(value, dict) else value


def _calls(layer: Named) -> int:
    """Returns how many calls of layers Keras tries to make one layer with all in it."""
    config = layer["config"]
    if _is_a(layer, keras.Sequential):  # made again with each layer that is added
        layers = [_calls(each) for each in config["layers"]]
        within = sum((len(layers) - place) * calls for place, calls in enumerate(layers))
    elif _is_graph(layer):
        within = sum(map(_calls, _layers(config))) + _attempts(config["layers"])
    else:
        within = COPIES * sum(map(_calls, _layers(config)))
    return max(1, len(_nodes(layer))) * (1 + within)


def _attempts(layers: list[Named]) -> int:
    """Returns how many calls fail at most: those on layers that are listed later are put off."""
    listed: set[str] = set()
    early = 0
    for layer in layers:
        listed.add(layer["name"])
        early += sum(not listed.issuperset(_tensors(node)) for node in _nodes(layer))
    return early * len(layers)
