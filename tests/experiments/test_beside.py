import pytest

from intriguing_tf.experiments.beside import FALLS, PaperComparison, beside
from intriguing_tf.experiments.records import Estimate

ERROR = Estimate(0.25, 0.19, 0.31, 200)
DISTORTION = Estimate(0.0621, 0.06, 0.0642, 200)


@pytest.mark.parametrize(
    ("comparison", "cells"),
    [
        (PaperComparison((), 0.2, ERROR, percent=True), ("20", "25 [19, 31]", "+5", "inside")),
        (
            PaperComparison((), 0.1, DISTORTION),
            ("0.1", "0.0621 [0.0600, 0.0642]", "-0.0379", "above"),
        ),
        (PaperComparison((), None, ERROR, percent=True), (None, "25 [19, 31]", None, None)),
        (PaperComparison((), 2.75, 3.0), (2.75, 3.0, 0.25, None)),
        (PaperComparison((), 2.75, None), (2.75, None, None, None)),
    ],
    ids=["error", "distortion", "not in the paper", "no interval", "not measured"],
)
def test_cells_are_paper_here_difference_and_where(comparison, cells):
    assert comparison.cells() == cells


def test_every_table_has_the_same_columns():
    table = beside("Title", ("model",), [PaperComparison(("FC10",), 0.1, DISTORTION)], ["A note."])
    assert table.columns == ["model", "paper", "here", "difference", FALLS]
    assert table.rows[0][0] == "FC10" and table.notes == ["A note."]
    bounds = beside("Title", ("layer",), [PaperComparison(("Conv 1",), 2.75, 3.0)])
    assert bounds.columns == ["layer", "paper", "here", "difference"]
    assert bounds.rows == [("Conv 1", 2.75, 3.0, 0.25)]
