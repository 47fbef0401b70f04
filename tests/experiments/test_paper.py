"""The figures are the paper's: relations that a slip of the pen would break."""

import pytest

from intriguing_tf.experiments import paper


@pytest.mark.parametrize("table", [paper.TABLE_2, paper.TABLE_4])
def test_transfer_tables_are_whole(table):
    assert set(table.errors) == set(table.distortions)
    for name, errors in table.errors.items():
        assert len(errors) == len(table.columns)
        assert all(0 <= error <= 1 for error in errors)
        # What was distorted for a model is misclassified by it.
        model = name.split(",")[0]
        if model in table.columns:
            assert errors[table.columns.index(model)] == 1


def test_tables_agree_with_each_other():
    for name, row in paper.TABLE_1.items():
        assert paper.TABLE_2.distortions[name] == row.distortion
    for name, half in paper.TABLE_3.items():
        assert paper.TABLE_4.distortions[name] == half.distortion
        assert min(half.p1_error, half.p2_error) == 0


def test_sums_of_the_printed_numbers():
    assert sum(sum(e) for e in paper.TABLE_2.errors.values()) == pytest.approx(14.636)
    assert sum(sum(e) for e in paper.TABLE_4.errors.values()) == pytest.approx(10.1115)
    assert sum(sum(row) for row in paper.TABLE_1.values()) == pytest.approx(1.3145)
    assert sum(row.upper_bound for row in paper.TABLE_5.values()) == pytest.approx(49.37)


def test_most_errors_are_multiples_of_a_256th():
    errors = [
        error
        for table in (paper.TABLE_2, paper.TABLE_4)
        for row in table.errors.values()
        for error in row
        if 0 < error < 1
    ]
    near = [
        abs(e * paper.IMAGES - round(e * paper.IMAGES)) / paper.IMAGES <= 5.5e-4 for e in errors
    ]
    assert sum(near) / len(errors) > 0.7


def test_every_model_has_its_entry_in_the_zoo():
    named = {*paper.TABLE_1, *paper.TABLE_3}
    named |= {panel.model for panel in paper.FIGURE_7.values() if panel.model}
    assert named <= set(paper.ZOO)
