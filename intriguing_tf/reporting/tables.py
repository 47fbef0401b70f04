"""Tables as text, Markdown or HTML."""

from __future__ import annotations

import dataclasses
import html
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from tabulate import tabulate

from intriguing_tf.checks import check_between, check_kind, check_kinds
from intriguing_tf.text import markdown, printable


@dataclasses.dataclass(frozen=True)
class Table:
    """A titled table; `str()` gives it as text.

    Args:
        title: one line above the table; may be empty.
        columns: the headers; all of them empty for a table of names and values, without a head.
        rows: one sequence of cells per row, as many as columns. Strings and integers stay as they
            are, but for what would not print (see `intriguing_tf.text`); other real numbers are
            rounded to `digits` significant digits; `None` is an empty cell.
        notes: lines below the table.
        digits: significant digits of floats, 1 to 17.

    Raises:
        TypeError, ValueError: anything else than these, or a row with fewer or more cells than
            columns.

    Example:

        print(Table("Errors", ("model", "test error"), [("FC10", 0.075)]))
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()
    digits: int = 4

    def __post_init__(self) -> None:
        check_kind("title", self.title, str, "a str")
        check_kinds("columns", self.columns, str, "str")
        check_kinds("notes", self.notes, str, "str")
        check_kind("rows", self.rows, Sequence, "a sequence of rows")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(
                f"Each row must have {len(self.columns)} cells, one for each column. Received "
                f"rows of {sorted({len(row) for row in self.rows})}."
            )
        check_between("digits", self.digits, 0, 18)

    def text(self) -> str:
        """Returns the table aligned with spaces, for terminals."""
        return self._render("simple", "{}\n")

    def markdown(self) -> str:
        """Returns the table as GitHub-flavoured Markdown."""
        return self._render("github", "**{}**\n")

    def html(self) -> str:
        """Returns a `<table>` element with its cells escaped, without title and notes."""
        return self._aligned("html")

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """What a notebook shows: title, table and notes."""
        title = [f"<p><b>{html.escape(printable(self.title))}</b></p>"] if self.title else []
        notes = [f"<p>{html.escape(printable(note))}</p>" for note in self.notes]
        return "\n".join([*title, self.html(), *notes])

    def _render(self, style: str, heading: str) -> str:
        shown = markdown if style == "github" else printable
        lines = [heading.format(shown(self.title))] if self.title else []
        lines.append(self._aligned(style))
        if self.notes:
            lines += ["", *map(shown, self.notes)]
        return "\n".join(lines)

    def _aligned(self, style: str) -> str:
        """The cells below their headers; GitHub's Markdown has no table without a head."""
        of_markdown = style == "github"
        shown = markdown if of_markdown else printable
        headers = [*map(shown, self.columns)] if any(self.columns) or of_markdown else ()
        cells = [[self._cell(cell, shown) for cell in row] for row in self.rows]
        sides = [self._side(i) for i in range(len(self.columns) if cells else 0)]
        return tabulate(cells, headers, style, missingval="", disable_numparse=True, colalign=sides)

    def _cell(self, value: Any, shown: Callable[[str], str]) -> str | None:
        """Returns what stands in a cell, each number written as its kind is."""
        if value is None:
            return None
        if not _is_number(value):
            return shown(str(value))
        return (
            str(value) if isinstance(value, numbers.Integral) else f"{float(value):.{self.digits}g}"
        )

    def _side(self, column: int) -> str:
        """Returns on what a column is aligned: numbers alone on their points."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return "decimal" if cells and all(map(_is_number, cells)) else "left"


class ShownAsTable:
    """What prints as its `table()`, in a terminal as in a notebook."""

    def table(self) -> Table:
        """Returns the table."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
