"""What layers say of arguments and inputs that they cannot have, and take of NumPy's numbers."""

import json

import keras
import numpy as np
import pytest

from intriguing_tf import layers

PAIRS = [
    (layers.CeilMaxPooling2D, "pool_size"),
    (layers.CeilAveragePooling2D, "pool_size"),
    (layers.CeilMaxPooling2D, "strides"),
    (layers.CeilMaxPooling2D, "padding"),
    (layers.L2Pooling2D, "pool_size"),
    (layers.L2Pooling2D, "strides"),
    (layers.LocallyConnected2D, "kernel_size"),
    (layers.LocallyConnected2D, "strides"),
]
NEEDED = {layers.LocallyConnected2D: {"filters": 2, "kernel_size": 3}}


def made(kind, **arguments):
    return kind(**NEEDED.get(kind, {}) | arguments)


@pytest.mark.parametrize("value", [2.0, True, "ab", (2, 2.5), (2, True), (1, 2, 3), (), -1, {2: 3}])
@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_what_is_no_pair_of_integers_is_refused(kind, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least .* or two"):
        made(kind, **{name: value})


@pytest.mark.parametrize("kind", [layers.CeilMaxPooling2D, layers.L2Pooling2D])
def test_no_size_of_windows_is_refused(kind):
    with pytest.raises(ValueError, match=r"`pool_size` must be .*Received: None"):
        kind(None)


@pytest.mark.parametrize("value", [np.int64(2), [2, 2], np.array([2, 2]), (np.int32(2), 2)])
@pytest.mark.parametrize(("kind", "name"), [pair for pair in PAIRS if pair[1] != "padding"])
def test_integers_may_be_numpys(kind, name, value):
    layer = made(kind, **{name: value})
    assert getattr(layer, name) == (2, 2)
    assert json.loads(json.dumps(layer.get_config()))[name] == [2, 2]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (layers.LocallyConnected2D, "filters"),
        (layers.LocalResponseNormalization, "size"),
        (layers.LocalContrastNormalization, "size"),
        (layers.GroupSort, "group_size"),
    ],
)
@pytest.mark.parametrize("value", [None, True, 3.0, "a", 0])
def test_what_is_no_count_is_refused(kind, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received"):
        made(kind, **{name: value})


@pytest.mark.parametrize("kind", [layers.LocallyConnected2D, layers.GroupSort])
def test_counts_may_be_numpys(kind):
    name = "filters" if kind is layers.LocallyConnected2D else "group_size"
    assert json.loads(json.dumps(made(kind, **{name: np.int64(4)}).get_config()))[name] == 4


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (layers.LocalResponseNormalization, "alpha"),
        (layers.LocalResponseNormalization, "beta"),
        (layers.LocalResponseNormalization, "k"),
        (layers.LocalContrastNormalization, "floor"),
        (layers.LocalContrastNormalization, "stddev"),
        (layers.L2Pooling2D, "epsilon"),
    ],
)
@pytest.mark.parametrize("value", ["a", True, [0.1], {}, -1.0, np.nan, np.inf])
def test_what_is_no_number_in_range_is_refused(kind, name, value):
    kinds = ValueError if isinstance(value, float) else TypeError
    with pytest.raises(kinds, match=f"`{name}`.*Received"):
        kind(**{name: value})


@pytest.mark.parametrize("shape", [(8, 8), (8,), (8, 8, 8, 3)], ids=str)
@pytest.mark.parametrize(
    "kind", [*dict.fromkeys(kind for kind, _ in PAIRS), layers.LocalContrastNormalization]
)
def test_inputs_of_other_ranks_are_refused(kind, shape):
    with pytest.raises(ValueError, match="expected ndim=4, found ndim"):
        made(kind)(np.zeros((2, *shape)))
    with pytest.raises(ValueError, match="expected ndim=4, found ndim"):
        made(kind)(keras.Input(shape))
