"""Which parts of a configuration are a lambda's code."""

import keras
import pytest

from intriguing_tf.lambda_code import without_code

FACTOR = 2.0


def closure(factor):
    return lambda x: x * factor


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: 2 * x, [None, None]),
        (lambda x, factor=FACTOR: factor * x, [[FACTOR], None]),
        (closure(FACTOR), [None, [FACTOR]]),
    ],
    ids=["plain", "defaults", "closure"],
)
def test_an_activation_is_left_without_its_code(function, left):
    found = without_code(keras.activations.serialize(function))["value"]
    assert [each if each is None else list(each) for each in found] == left


@pytest.mark.parametrize("value", [["relu", 1, 2], ["relu", None, None], ["a\n", 1, None], ["a\n"]])
def test_other_values_stay(value):
    assert without_code({"value": value}) == {"value": value}
