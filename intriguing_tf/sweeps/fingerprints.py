"""The sha256 of arrays and of models."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import numpy as np


def array_fingerprint(*arrays: np.ndarray) -> str:
    """Returns the sha256 of arrays with their shapes and types."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def model_fingerprint(model: keras.Model) -> str:
    """Returns the sha256 of a model's weights and architecture.

    Names of layers do not count, because Keras numbers them through a session. Of a subclassed
    model that has no `get_config` only the class and the weights count.
    """
    try:
        architecture = json.loads(model.to_json())
        architecture.pop("compile_config", None)
    except (NotImplementedError, TypeError):
        architecture = f"{type(model).__module__}.{type(model).__qualname__}"
    numbers: dict[str, str] = {}
    _number_layers(architecture, numbers)
    text = json.dumps(_renamed(architecture, numbers), sort_keys=True)
    weights = array_fingerprint(*model.get_weights())
    return hashlib.sha256(f"{text}{weights}".encode()).hexdigest()


def _number_layers(config: Any, numbers: dict[str, str]) -> None:
    """Gives each layer's name a number, in the order in which they appear."""
    if isinstance(config, dict):
        inner = config.get("config")
        is_policy = str(config.get("class_name")).endswith("Policy")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str) and not is_policy:
            numbers.setdefault(inner["name"], f"layer {len(numbers)}")
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            _number_layers(each, numbers)


def _renamed(config: Any, numbers: dict[str, str]) -> Any:
    if isinstance(config, dict):
        return {key: _renamed(value, numbers) for key, value in config.items()}
    if isinstance(config, list):
        return [_renamed(value, numbers) for value in config]
    return numbers.get(config, config) if isinstance(config, str) else config
