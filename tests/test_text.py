"""Text that is printed does to a terminal what it seems to do."""

from intriguing_tf.text import cut, printable


def test_text_that_prints_stays_as_it_is():
    text = "naïve 28 × 28 — “1\u202f000”\nand ☃"
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_shown():
    assert printable("\x1b[31m\x9b\t\u202e\x00\r") == r"\x1b[31m\x9b\t\u202e\x00\r"


def test_only_the_beginning_of_long_text():
    assert cut("x" * 200) == "x" * 200
    assert cut("abcdefgh", 6) == "abc..."
