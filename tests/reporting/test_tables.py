from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from intriguing_tf.reporting import Table

TABLE = Table("Errors", ("model", "error", "n"), [("<FC10>", 0.074999, 3), ("AE", None, 20)], ["a"])


def test_text_has_title_rounded_cells_and_notes():
    assert TABLE.text().splitlines() == [
        "Errors",
        "",
        "model      error    n",
        "-------  -------  ---",
        "<FC10>     0.075    3",
        "AE                 20",
        "",
        "a",
    ]
    assert str(TABLE) == TABLE.text()


def test_markdown_has_a_bold_title_and_bars():
    lines = TABLE.markdown().splitlines()
    assert lines[0] == "**Errors**" and lines[-1] == "a"
    assert [cell.strip() for cell in lines[4].strip("|").split("|")] == [r"\<FC10>", "0.075", "3"]


def test_html_is_escaped_and_has_only_the_cells():
    html = TABLE.html()
    assert "&lt;FC10&gt;" in html and "Errors" not in html and html.count("<tr>") == 3


def test_names_and_values_need_no_head():
    table = Table("Cost", ("", ""), [("seconds", 2.5), ("images", 10)])
    rule, first = table.text().splitlines()[2:4]
    assert set(rule) == {" ", "-"} and first.split() == ["seconds", "2.5"]
    assert "<th" not in table.html() and table.html().count("<tr>") == 2
    assert table.markdown().splitlines()[2].strip("| ") == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": 3}, "`title` must be a str. Received: int"),
        ({"columns": ["a", 1]}, "`columns` must be a sequence of str"),
        ({"rows": [("a",)]}, "must have 3 cells"),
        ({"rows": [("a", 1, 2), ("a", 1, 2, 3)]}, r"must have 3 cells.*Received rows of \[3, 4\]"),
        ({"digits": 0}, r"`digits` must be in \(0, 18\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_arguments_are_refused(change, words):
    given = {"title": "", "columns": ("a", "b", "c"), "rows": []} | change
    with pytest.raises((TypeError, ValueError), match=words):
        Table(**given)


@pytest.mark.parametrize("beside", [None, "text", 0.5, 7])
@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (123456, "123456"),
        (np.int64(123456), "123456"),
        (2**70, str(2**70)),
        (1 / 3, "0.3333"),
        (np.float32(1 / 3), "0.3333"),
        (np.float16(1 / 3), "0.3333"),
        (Fraction(1, 3), "0.3333"),
        (123456.0, "1.235e+05"),
        (True, "True"),
    ],
)
def test_a_number_is_written_the_same_whatever_is_below_it(number, shown, beside):
    table = Table("", ("n",), [(number,), (beside,)])
    assert table.text().splitlines()[2].strip() == shown
    assert table.markdown().splitlines()[2].strip("| ") == shown
    assert f">{shown}</td>" in table.html().replace(" ", "")


def test_numbers_alone_stand_below_one_another_on_their_points():
    table = Table("", ("n",), [(10.25,), (123456,), (None,), (0.5,)])
    lines = table.text().splitlines()[2:]
    assert [line.rstrip() for line in lines] == ["    10.25", "123456", "", "     0.5"]


def test_nothing_in_a_table_drives_the_terminal():
    evil = "\x1b]0;owned\x07\x9b31m\u202e\x00"
    table = Table(evil, (evil,), [(evil,), (Path(f"/{evil}"),)], [evil])
    for text in (table.text(), table.markdown(), table.html()):
        assert text.replace("\n", "").isprintable()
    assert table.text().count(r"\x1b]0;owned\x07\x9b31m\u202e\x00") == 5


def test_notebooks_show_title_and_notes():
    shown = Table("A & B", ("x",), [("<b>",)], ["a note"])._repr_html_()
    assert "A &amp; B" in shown and "&lt;b&gt;" in shown and "<p>a note</p>" in shown
