"""What experiments may be asked for, before any of them has run."""

import dataclasses

import numpy as np
import pytest

from intriguing_tf.experiments import (
    Estimate,
    Figure7,
    Figures1And2,
    Reproduction,
    Seeds,
    Table1,
    Table2,
    Table3,
    Table4,
    Workspace,
    paper,
    reproduce,
)
from intriguing_tf.experiments.figure7 import Figure7Result, Panel
from intriguing_tf.experiments.matrices import SetErrors, SetRow
from intriguing_tf.experiments.records import from_json, to_json
from intriguing_tf.experiments.reproduction import experiments
from intriguing_tf.experiments.table4 import Table4Result

ALL = (Table1, Table2, Table3, Table4, Figures1And2, Figure7, Seeds)
ONE = Estimate(0.5, 0.4, 0.6, 8)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (kind, field.name, value)
        for kind in ALL
        for field in dataclasses.fields(kind)
        if field.type == "int"
        for value in (-1, 8.5, True)
    ],
)
def test_numbers_are_positive_integers_and_seeds_are_seeds(kind, field, value):
    with pytest.raises((TypeError, ValueError), match=f"`{field}` must be .*Received: {value}"):
        kind(**{field: value})


@pytest.mark.parametrize("kind", [Table1, Table2, Table3, Table4, Figures1And2, Figure7, Seeds])
def test_no_images_are_no_experiment(kind):
    with pytest.raises(ValueError, match=r"`number` must be a positive integer. Received: 0"):
        kind(number=0)


def test_nothing_is_drawn_of_no_digits():
    with pytest.raises(ValueError, match=r"`shown` must be a positive integer. Received: 0"):
        Figure7(shown=0)


def test_the_nearest_classes_are_sought_for_no_more_images_than_there_are():
    assert [Table1(n).nearest_number for n in (128, 200, 1000)] == [128, 200, 200]
    assert to_json(Table1()) == {"number": 1000, "nearest_number": 200, "seed": 0}  # a kept key
    assert from_json(Table1, to_json(Table1(128))) == Table1(128, 128)
    with pytest.raises(ValueError, match=r"at most `number`, 128. Received: 129"):
        Table1(128, 129)


@pytest.mark.parametrize("seeds", [(), (1,), (1, 1), (1, 2, 1)])
def test_one_network_is_no_spread(seeds):
    with pytest.raises(ValueError, match="at least 2 different seeds"):
        Seeds(training_seeds=seeds)
    if seeds:
        with pytest.raises(ValueError, match="at least 2 different seeds"):
            experiments(training_seeds=seeds)


def test_other_seeds_and_numbers_of_a_reproduction_are_refused():
    with pytest.raises(ValueError, match=r"`seed` must be at least 0"):
        Seeds(training_seeds=(1, -1))
    with pytest.raises(TypeError, match="`training_seeds` must be a tuple"):
        Seeds(training_seeds=3)
    for number in (8.5, 7, "8"):
        with pytest.raises(ValueError, match="`number` must be"):
            experiments(number)
    assert len(experiments(8)) == 6 and len(experiments(8, training_seeds=[1, 2])) == 7


@pytest.mark.parametrize("which", [("train", None), ("train", "p2"), ("test", None)])
def test_every_split_is_counted_before_the_work(which, tmp_path):
    """Figures 1 and 2 take ten times as many test images as the tables."""
    taken = 80 if which == ("test", None) else 8

    def load_images(*asked):
        number = taken - 1 if asked == which else 80
        return np.zeros((number, 28, 28, 1), "float32"), np.zeros(number, "int64")

    words = f"takes {taken} images of '{which[1] or which[0]}'. Received: a split of {taken - 1}"
    with (
        Workspace(tmp_path, load_model=None, load_images=load_images) as workspace,
        pytest.raises(ValueError, match=words),
    ):
        reproduce(workspace, number=8)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_name_that_the_paper_lacks_is_told_those_that_it_has(tmp_path):
    with pytest.raises(ValueError, match=r"one of 'FC10\(1e-4\)', .*Received: 'fc10'"):
        Workspace(tmp_path).model("fc10")


def test_scalars_have_one_path_for_each_estimate():
    panels = tuple(
        Panel(name, model, clipped, ONE, ONE)
        for name in paper.FIGURE_7
        for model in ("FC10(1e-4)", "Conv")
        for clipped in (True, False)
    )
    twice = Figure7Result(Figure7(), panels + panels[:1])
    for result, number in ((Figure7Result(Figure7(), panels), 24), (twice, 26)):
        scalars = Reproduction({"Figure7": result}, None).scalars()
        assert len(scalars) == number
    scalars = Reproduction({"Figure7": Figure7Result(Figure7(), panels)}, None).scalars()
    assert "Figure7/panels/linear/Conv/not clipped/stddev" in scalars


def test_a_matrix_is_drawn_in_the_rows_that_the_paper_has_too(tmp_path):
    names = ("Gaussian noise 0.06", "FC100-100-10 (P1), amplified to 0.2", "undistorted")
    rows = tuple(SetRow(name, ONE, (ONE,) * 3) for name in names)
    result = Table4Result(Table4(amplified=0.2), SetErrors(Table4.models, rows))
    section = result.section(Workspace(tmp_path))
    assert [row[0] for row in section.tables[0].rows] == list(names)
    labels = [each.get_text() for each in section.pictures[0].figure.axes[0].get_yticklabels()]
    assert labels == ["Gaussian noise 0.06"]
