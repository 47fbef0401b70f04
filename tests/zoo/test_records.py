"""Records: one definition gives the class, the check with its words, and the JSON Schema."""

import copy
import pickle
from typing import Annotated, Any

import pytest
from msgspec import Meta, field

from intriguing_tf.zoo.records import Facts, Record, read


class Part(Record, frozen=True):
    count: Annotated[int, Meta(ge=1)]


class Whole(Record, frozen=True):
    name: str
    parts: tuple[Part, ...]
    facts: Facts = field(default_factory=Facts)

    def __post_init__(self):
        if len(self.parts) > 2:
            raise ValueError("`parts` must be two at most")


VALUES: dict[str, Any] = {
    "name": "x",
    "parts": [{"count": 1}, {"count": 2}],
    "facts": {"a": [1, {"b": None}]},
}


def test_json_comes_back_as_it_was():
    whole = read(VALUES, Whole, "a whole")
    assert whole.json() == VALUES
    assert whole.facts["a"] == (1, Facts({"b": None}))
    assert whole.parts == (Part(1), Part(2))


def test_records_are_values():
    whole = read(VALUES, Whole, "a whole")
    for twin in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert twin == whole and hash(twin) == hash(whole)
    assert whole.replace(name="y").json() == VALUES | {"name": "y"}
    with pytest.raises(AttributeError):
        whole.name = "y"
    with pytest.raises(TypeError):
        whole.facts["a"] = 1


@pytest.mark.parametrize(
    "change, words",
    [
        ({"parts": [{"count": 1}, {"count": 0}]}, r"parts\[1\]\.count: .* >= 1\. Received: 0\."),
        ({"name": None}, r"name: Expected `str`, got `null`\. Received: None\."),
        ({"parts": [{}]}, r"parts\[0\]: .*required field `count`\. Received: {}\."),
        ({"parts": [{"count": 1}] * 3}, r"a whole: `parts` must be two at most\. Received: {"),
        ({"facts": 3}, r"facts: Expected `object`.*Received: 3\."),
    ],
    ids=["a part's number", "no text", "a missing field", "several fields", "facts that are none"],
)
def test_what_is_wrong_is_said_with_its_place(change, words):
    with pytest.raises(ValueError, match=words):
        read(VALUES | change, Whole, "a whole")


def test_the_kind_of_error_is_the_callers():
    class Damaged(ValueError):
        pass

    with pytest.raises(Damaged, match="not a whole"):
        read([], Whole, "a whole", Damaged)


def test_long_values_are_cut_short():
    with pytest.raises(ValueError) as caught:
        read(VALUES | {"parts": "x" * 10_000}, Whole, "a whole")
    assert len(str(caught.value)) < 400


def test_the_schema_says_the_same():
    schema = Whole.schema()["$defs"]
    assert schema["Part"]["properties"]["count"] == {"type": "integer", "minimum": 1}
    assert schema["Whole"]["required"] == ["name", "parts"]
    assert schema["Whole"]["properties"]["facts"]["type"] == "object"
