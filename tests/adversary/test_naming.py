"""Names of classes, of any length."""

import collections

import pytest

from intriguing_tf.adversary.naming import clear_name, file_name, name_of, whole_name
from intriguing_tf.datasets import imagenet_class_names

LONG = ["german_shepherd_long_hair", "german_shepherd_long_coat", "tench, Tinca tinca", "1,000 m"]


@pytest.mark.parametrize(
    "name, expected",
    [
        (whole_name, LONG),
        (clear_name, [*LONG[:2], "tench", "1,000 m"]),
        (name_of, ["german_shephe… (0)", "german_shephe… (1)", "tench", "1,000 m"]),
        (file_name, [*LONG[:2], "tench", "1-000-m"]),
    ],
    ids=["data", "table", "picture", "file"],
)
def test_names_tell_classes_apart(name, expected):
    assert [name(i, LONG) for i in range(4)] == expected
    assert name(5, LONG) == "5" and name(-1, LONG) == "-1" and name(3, None) == "3"


def test_control_characters_are_escapes_and_letters_of_the_length():
    names = ["a\x1b[31m", "b\x00", "\ud800" * 9]
    assert [clear_name(i, names) for i in range(3)] == [r"a\x1b[31m", r"b\x00", r"\ud800" * 9]
    assert name_of(2, names) == (r"\ud800" * 3)[:17] + "…"
    assert file_name(0, names).isascii() and file_name(2, names).isascii()
    assert whole_name(0, names) == names[0]


def test_what_says_nothing_is_a_number():
    names = ["", " ", "???", ", x"]
    assert [clear_name(i, names) for i in range(4)] == ["0", "1", "???", ", x"]
    assert [file_name(i, names) for i in range(4)] == ["0", "1", "2", "x"]


@pytest.mark.parametrize("name", [clear_name, name_of, file_name])
def test_each_class_of_imagenet_has_its_own(name):
    """Two are called "crane", and two "maillot"."""
    names = imagenet_class_names()
    count = collections.Counter(name(i, names) for i in range(1000))
    assert count.most_common(1)[0][1] == 1
    assert name is clear_name or all(len(each) <= 36 for each in count)


def test_a_file_of_any_name_can_be_written(tmp_path):
    part = file_name(0, ["\U00020000" * 99 + "/.." * 99])
    assert (tmp_path / f"0000_{part}_as_{part}.png").write_bytes(b"") == 0
