"""Errors that say which model they are about, and arrays that are refused."""

import numpy as np
import pytest

from intriguing_tf.checks import array_of_numbers, of_model, real_numbers
from intriguing_tf.lipschitz.steps import NoBoundError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NoBoundError("why"), NoBoundError),
        (TypeError("why"), TypeError),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "why"), ValueError),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_names_its_model_and_keeps_its_class(error, kind):
    with pytest.raises(kind, match=r"^'m': .*why") as raised, of_model("m"):
        raise error
    assert type(raised.value) is kind and raised.value.__cause__ is error


@pytest.mark.parametrize("read", [array_of_numbers, real_numbers])
def test_masked_elements_are_refused_rather_than_unmasked(read):
    values = np.ma.masked_array([[0.25, 0.75]], mask=[[False, True]])
    with pytest.raises(TypeError, match=r"1\. Fill them: images\.filled\(0\).*`mask`"):
        read("images", values)
    with pytest.raises(TypeError, match=r"Received: one with 1\."):
        read("images", list(values))
    whole = np.ma.masked_array(values.data, mask=False)
    np.testing.assert_array_equal(read("images", whole), values.data)
