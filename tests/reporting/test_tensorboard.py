import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.reporting import Report, Section, Table, image_rows, log_to_tensorboard


@pytest.mark.slow
def test_scalars_tables_and_pictures_are_read_back(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    table = Table("Errors", ("model", "error"), [("FC10", "7.5")])
    picture = image_rows("figure1", "Digits", np.ones((1, 2, 8, 8, 1)), ["a"])
    report = Report("Title", [], [Section("Table 1", [], [table], [picture])])
    log_to_tensorboard(report, {"table1/FC10": 0.075}, tmp_path, step=3)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {"table1/FC10", "table-1/Errors", "figure1"}
    (scalar,) = events.Tensors("table1/FC10")
    assert scalar.step == 3
    assert tf.make_ndarray(scalar.tensor_proto) == pytest.approx(0.075)
    (text,) = events.Tensors("table-1/Errors")
    assert b"| FC10" in text.tensor_proto.string_val[0]
    (image,) = events.Tensors("figure1")
    assert image.tensor_proto.string_val[2].startswith(b"\x89PNG")
