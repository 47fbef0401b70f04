"""Text that is printed does to a terminal what it seems to do."""

import pytest

from intriguing_tf.text import cut, is_integer, markdown, one_line, printable, words


def test_text_that_prints_stays_as_it_is():
    text = "naïve 28 × 28 — “1\u202f000”\nand ☃"
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_shown():
    assert printable("\x1b[31m\x9b\t\u202e\x00\r") == r"\x1b[31m\x9b\t\u202e\x00\r"


def test_only_the_beginning_of_long_text():
    assert cut("x" * 200) == "x" * 200
    assert cut("abcdefgh", 6) == "abc..."


def test_one_line_of_what_anyone_wrote():
    assert one_line("a\n  b\t\x1b[2J c") == r"a b \x1b[2J c"
    assert one_line("x" * 10_000, 100) == "x" * 97 + "..."


def test_integers_are_what_int_takes_and_python_writes():
    assert all(map(is_integer, ["0", "7", "-5", "9" * 18]))
    others = ["", "-", "--5", "+5", " 5", "5\n", "²", "٣", "1_000", "1.0", "9" * 19, "9" * 5000]
    assert not any(map(is_integer, others))


class Bomb:
    def __repr__(self):
        raise AssertionError("it was formatted")

    __str__ = __repr__


def test_the_words_of_an_error_hold_no_objects():
    assert words(ValueError("too  deep.\n")) == "ValueError: too deep"
    assert words(KeyError(Bomb(), "a text")) == "KeyError: a text"
    assert words(KeyError(Bomb())) == "KeyError"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>x</b>", r"\<b>x\</b>"),
        ("[k](http://e)", r"[k\](http://e)"),
        ("[k][0]", r"[k\][0]"),
        ("[0, 1] < 2, 1 <= x", "[0, 1] < 2, 1 <= x"),
        ("\x1b[0m", r"\x1b[0m"),
    ],
)
def test_markdown_shows_text_of_anyone_as_it_is(text, shown):
    assert markdown(text) == shown
