from intriguing_tf.experiments import Estimate, Table4, Workspace
from intriguing_tf.experiments.matrices import SetErrors, SetRow
from intriguing_tf.experiments.table4 import Table4Result

ONE = Estimate(0.5, 0.4, 0.6, 8)


def test_a_matrix_is_drawn_in_the_rows_that_the_paper_has_too(tmp_path):
    names = ("Gaussian noise 0.06", "FC100-100-10 (P1), amplified to 0.2", "undistorted")
    rows = tuple(SetRow(name, ONE, (ONE,) * 3) for name in names)
    result = Table4Result(Table4(amplified=0.2), SetErrors(Table4.models, rows))
    section = result.section(Workspace(tmp_path))
    assert [row[0] for row in section.tables[0].rows] == list(names)
    labels = [each.get_text() for each in section.pictures[0].figure.axes[0].get_yticklabels()]
    assert labels == ["Gaussian noise 0.06"]
