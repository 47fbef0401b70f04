"""Errors that say which model they are about."""

import pytest

from intriguing_tf.checks import of_model
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
