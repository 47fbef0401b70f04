"""The paper's numbers beside those measured here: the one layout of all tables that have both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from intriguing_tf.experiments.records import Estimate
from intriguing_tf.reporting import Table

FALLS = "where the paper's value falls"


class PaperComparison(NamedTuple):
    """A number of the paper and the same measured here.

    Attributes:
        what: the cells that say which number it is, such as a model and a quantity.
        paper: the paper's value; `None` where it has none.
        here: with its interval, or a number without one; `None` where it was not measured.
        percent: the values are fractions, shown in percent.
    """

    what: tuple[Any, ...]
    paper: float | None
    here: Estimate | float | None
    percent: bool = False

    def cells(self) -> tuple[Any, ...]:
        """Returns what it is, paper, here, difference, and where the paper's value falls."""
        paper, here = self.paper, self.here
        if not isinstance(here, Estimate):
            if paper is None or here is None:
                return *self.what, paper, here, None, None
            return *self.what, paper, here, here - paper, None
        measured = here.percent() if self.percent else here.decimal()
        if paper is None:
            return *self.what, None, measured, None, None
        scale, digits = (100, ".3g") if self.percent else (1, ".4f")
        difference = f"{scale * (here.value - paper):+{digits}}"
        return *self.what, f"{scale * paper:.3g}", measured, difference, here.where(paper)


def beside(
    title: str,
    what: Sequence[str],
    comparisons: Iterable[PaperComparison],
    notes: Sequence[str] = (),
) -> Table:
    """Returns the table: what, paper, here, difference, and where the paper's value falls.

    Args:
        title, notes: of the table.
        what: heads of the columns that say which number it is.
        comparisons: one per row. The last column is left out where no row has an interval.
    """
    head = [*what, "paper", "here", "difference", FALLS]
    rows = [comparison.cells() for comparison in comparisons]
    if all(row[-1] is None for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table(title, head, rows, notes)
