"""The stack machine for pickles against Python's own, on what both read."""

import collections
import io
import pickle

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo.foreign import Budget
from intriguing_tf.zoo.importers import pickles
from intriguing_tf.zoo.importers.pickles import Call, Name, Outside

VALUES = {
    "texts": {"a": "b", "ä": "\n", "": "x" * 1000},
    "numbers": [0, 1, -1, 255, 256, 2**31, -(2**31), 2**76, 1.5, -0.0],
    "constants": (None, True, False),
    "empty": [(), [], {}, ""],
    "tuples": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "in one another": {"a": {"b": [{"c": ((1, [2]), "d")}]}},
    "the same twice": [("x",)] * 2,
    "many": list(range(3000)),
    "many names": {str(n): n for n in range(3000)},
}


@pytest.mark.parametrize("what", VALUES)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values(what, protocol):
    content = pickle.dumps(VALUES[what], protocol)
    stream = io.BytesIO(content + b"behind")
    assert pickles.read(stream) == VALUES[what]
    assert stream.read() == b"behind"


@pytest.mark.parametrize("protocol", [2, 4])
def test_ordered_dictionaries(protocol):
    value = collections.OrderedDict(a=1, b=collections.OrderedDict(c=2))
    assert pickles.read(io.BytesIO(pickle.dumps(value, protocol))) == {"a": 1, "b": {"c": 2}}


def test_ordered_dictionaries_of_python_2():
    content = b"\x80\x02ccollections\nOrderedDict\n](](U\1aK\1e](U\1bK\2ee\x85R."
    assert pickles.read(io.BytesIO(content)) == {"a": 1, "b": 2}


def test_names_calls_and_records_are_only_described():
    found = pickles.read(io.BytesIO(b"\x80\x02cos\nsystem\n(U\4trueK\1tR."))
    assert found == Call(Name("os", "system"), ("true", 1))
    assert pickles.read(io.BytesIO(b"\x80\x02(K\1K\2tQ.")) == Outside((1, 2))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"K\1K\2.", "leaves values"),
        (b".", "none"),
        (b"(.", "none"),
        (b"K\1a.", "none"),
        (b"t.", "mark"),
        (b"K\1K\2R.", "not a name"),
        (b"cos\nsystem\nK\1R.", "not a name"),
        (b"cos\nsystem\n)R)R.", "not a name"),
        (b"K\1}b.", "no dictionary"),
        (b"cos\nsystem\n}b.", "no dictionary"),
        (b"}K\1K\2s.", "not texts"),
        (b"})K\2s.", "not texts"),
        (b"](K\1u.", "no open dictionary"),
        (b"}K\1a.", "no open list"),
        (b"]q\0h\0a.", "no open list"),
        (b"]q\0\x85h\0K\1a\x86.", "no open list"),
        (b"}(U\1au.", "not texts"),
        (b"I1\n.", "opcode INT"),
        (b"(ios\nsystem\n.", "opcode INST"),
        (b"\x8a\xff" + b"\x7f" * 255 + b".", "bits"),
        (b"K\1", ""),
        (b"", ""),
    ],
)
def test_other_programs_are_refused(content, words):
    with pytest.raises((zoo.IntegrityError, ValueError), match=words or None):
        pickles.read(io.BytesIO(b"\x80\x02" + content))


@pytest.mark.parametrize(
    "budget, words",
    [
        (Budget(opcodes=30), "opcodes"),
        (Budget(pickle=100), "bytes"),
        (Budget(memo=3), "numbers"),
        (Budget(depth=4), "depth"),
    ],
)
def test_budgets(budget, words):
    value = [[[[["x" * 50, "y" * 50]]]], list(range(30))]
    content = pickle.dumps(value, 2)
    assert pickles.read(io.BytesIO(content)) == value
    with pytest.raises(zoo.IntegrityError, match=words):
        pickles.read(io.BytesIO(content), budget)
