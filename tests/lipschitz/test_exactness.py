"""Every argument of every layer and operation that has a rule: read, harmless, or refused."""

from __future__ import annotations

import inspect
import re

import keras
import pytest
from keras import layers, ops

from intriguing_tf.lipschitz import NoBoundError, bound, exactness, registry, rules
from intriguing_tf.lipschitz.rules.calls import RULES

# What each argument of an operation is to its rule; every one not read refuses the call
# (`OperationCall.check_all_read`), unless it is the tensor itself.
TENSORS = {"x", "x1", "x2", "xs", "a", "arrays", "inputs"}


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def arguments(kind) -> list[str]:
    """Those of the constructor, and those that it takes out of its keywords without naming them."""
    hidden = re.findall(r"kwargs\.(?:pop|get)\(\s*[\"'](\w+)", inspect.getsource(kind.__init__))
    older = {"alpha"}  # becomes LeakyReLU's negative_slope
    return [*parameters(kind.__init__), *(set(hidden) - older)]


@pytest.mark.parametrize(
    "kind", sorted(registry.known_arguments(), key=str), ids=lambda k: k.__name__
)
def test_every_argument_of_a_layer_is_listed(kind):
    assert rules.linear  # the table is filled by importing the rules
    known = registry.known_arguments()[kind].known | set(exactness.EVERY_LAYER)
    names = arguments(kind)
    unknown = [
        name
        for name in names
        if name not in known and not name.endswith(tuple(exactness.EVERY_ENDING))
    ]
    assert not unknown, f"{kind.__name__} has arguments that no rule knows: {unknown}"
    first, *others = parameters(kind.call)
    assert first in ("inputs", "data", "x")
    assert set(others) <= set(exactness.EVERY_CALL)


def test_no_argument_is_listed_that_no_release_has():
    """Names of arguments are spelled as Keras spells them."""
    new = {"output_padding", "renorm", "renorm_clipping", "renorm_momentum"}  # since 3.10
    named = set().union(*(each.known for each in registry.known_arguments().values()))
    every = {name for kind in registry.known_arguments() for name in arguments(kind)}
    assert named - every <= new | {"lora_rank", "lora_alpha"}


def test_an_argument_that_a_rule_does_not_read_refuses_the_operation():
    x = keras.Input((4, 4))
    for y in (ops.max(x, axis=1, initial=3.0), ops.sum(x, axis=1, keepdims=True) * 1.0):
        if "initial" in str(vars(y._keras_history.operation)):
            with pytest.raises(NoBoundError, match="initial"):
                bound(keras.Model(x, y))


@pytest.mark.parametrize("name", sorted(RULES))
def test_operations_with_rules_exist_or_existed(name):
    known = (ops.relu, ops.add, ops.cast, ops.logsumexp, ops.norm)
    exists = any(hasattr(inspect.getmodule(each), name) for each in known)
    if not exists and not hasattr(ops, "dstack"):
        pytest.skip("this release of Keras is an older one")
    assert exists or name in {"Abs", "Amax", "Amin", "HardTanh", "TanhShrink"}


def test_layers_without_a_rule_are_refused():
    x = keras.Input((4, 4))
    with pytest.raises(NoBoundError, match="No Lipschitz rule"):
        bound(keras.Model(x, layers.SimpleRNN(2)(x)))


def test_an_argument_that_no_signature_names_is_refused_too():
    x = keras.Input((4,))
    layer = layers.LayerNormalization(epsilon=1e-3, rms_scaling=True)
    with pytest.raises(NoBoundError, match="rms_scaling=True"):
        bound(keras.Model(x, layer(x)))


@pytest.mark.parametrize("axis", [1, (1, 2), -2])
def test_a_normalization_over_an_axis_of_unknown_size_is_refused(axis):
    x = keras.Input((None, 3))
    layer = layers.LayerNormalization(axis=axis, scale=False, center=False)
    with pytest.raises(NoBoundError, match="size"):
        bound(keras.Model(x, layer(x)))


@pytest.mark.parametrize("kind", [layers.Concatenate, layers.Add, layers.Average, layers.Maximum])
def test_a_list_of_one_tensor_may_be_merged(kind):
    inputs = keras.Input((4,))
    dense = layers.Dense(2)
    model = keras.Model(inputs, dense(kind()([inputs])))
    alone = keras.Sequential([keras.Input((4,)), dense])
    assert bound(model).total == pytest.approx(bound(alone).total)


def test_activations_that_have_no_hash_or_are_equal_to_others_are_refused():
    class Clipped:
        def __call__(self, x):
            return ops.clip(x, 0, 5)

        def __eq__(self, other):
            return True

    class Disguised(Clipped):
        def __hash__(self):
            return hash(keras.activations.tanh)

    for kind in (Clipped, Disguised):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=kind())])
        with pytest.raises(NoBoundError, match=r"is not one of keras.activations"):
            bound(model)


def test_the_advice_is_for_the_kind_of_tensor():
    narrow = keras.Sequential([keras.Input((3,), dtype="float16"), layers.Dense(2)])
    with pytest.raises(NoBoundError, match="Build the model in float32"):
        bound(narrow)
    numbers = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(9, 2)])
    with pytest.raises(NoBoundError, match="such as an Embedding"):
        bound(numbers)


@pytest.mark.parametrize(
    "function", [lambda x: ops.where(x > 0, x, 0.1 * x), lambda x: ops.argmax(x, axis=1)]
)
def test_a_model_that_begins_with_floats_is_not_told_that_it_begins_with_integers(function):
    x = keras.Input((3,))
    with pytest.raises(NoBoundError, match="compares or chooses"):
        bound(keras.Model(x, function(x)))


def test_a_model_within_that_begins_with_integers_is_advised_by_what_it_is_called_on():
    inner = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(9, 2)])
    numbers = keras.Input((3,), dtype="int32")
    with pytest.raises(NoBoundError, match="such as an Embedding"):
        bound(keras.Model(numbers, inner(numbers)))
    x = keras.Input((3,))
    with pytest.raises(NoBoundError, match="compares or chooses"):
        bound(keras.Model(x, inner(ops.cast(x, "int32"))))
