"""A layer of a model, also of a model within it."""

from __future__ import annotations

from typing import Any

import keras

from intriguing_tf.keras_graph import given_tensors, graph_of, is_functional, nodes_of, up_to


def output_of(model: keras.Model, layer: keras.layers.Layer | str) -> Any:
    """Returns what a layer gives, in the graph of the model; of layers of one name the outermost.

    Raises:
        ValueError: no such layer, several in the models within, one that is not called once, or a
            model without a graph of layers.
    """
    if _is_among(model.layers, layer):
        return up_to(model, layer).output
    holding = [each for each in _models_in(model) if _is_within(each, layer)]
    if len(holding) != 1:
        name = getattr(layer, "name", layer)
        raise ValueError(
            f"Layer {name!r} is {'several' if holding else 'not one'} of the layers of model "
            f"{model.name!r}. Valid: {', '.join(_names(model))}."
        )
    inner = holding[0]
    calls = [node for node in nodes_of(graph_of(model)) if node.operation is inner]
    if len(calls) != 1:
        raise ValueError(
            f"Model {inner.name!r} in {model.name!r} must be called once. Received: {len(calls)} "
            "calls."
        )
    given = given_tensors(model, calls[0])
    part = keras.Model(inner.inputs, output_of(inner, layer))
    return part(given if len(given) > 1 else given[0])


def _is_among(layers: list[keras.layers.Layer], layer: keras.layers.Layer | str) -> bool:
    return any(each.name == layer if isinstance(layer, str) else each is layer for each in layers)


def _is_within(model: Any, layer: keras.layers.Layer | str) -> bool:
    return _is_among(model.layers, layer) or any(_is_within(m, layer) for m in _models_in(model))


def _models_in(model: Any) -> list[Any]:
    """Returns the built models among a model's layers."""
    return [
        each
        for each in model.layers
        if is_functional(each) or (isinstance(each, keras.Sequential) and each.built)
    ]


def _names(model: Any) -> list[str]:
    """Returns the names of all layers, those within models in the place of their model's."""
    inner = _models_in(model)
    return [
        name for each in model.layers for name in (_names(each) if each in inner else [each.name])
    ]
