"""What is wrong with a table's file is told before there is a sweep."""

import importlib.util

import numpy as np
import pytest
from intriguing_tf.scripts import sweep as script

from intriguing_tf.sweeps.tables import check_table, write_table


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()


WRONG = {
    "t.xls": "must|is a .csv or .parquet",
    "t": "is a .csv or .parquet",
    "folder.csv": "is a folder",
    "file/t.csv": "is a file",
}


@pytest.mark.parametrize("path", WRONG)
def test_a_table_that_cannot_be_written(path):
    with pytest.raises((ValueError, OSError), match=WRONG[path]):
        check_table(path)
    with pytest.raises((ValueError, OSError), match=WRONG[path]):
        write_table(path, ["a"], iter([{"a": np.zeros(3)}]))


@pytest.mark.parametrize("path", [*WRONG, "t.parquet"])
def test_the_command_says_it_before_tensorflow_is_imported(path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("intriguing_tf.scripts.command.import_tensorflow", None)
    assert script.run.main([f"--table={path}", "--models=mnist/conv"]) == 1
    assert f"--table={path}" in capsys.readouterr().err


def test_a_table_is_written_whole(tmp_path):
    parts = [{"a": np.arange(2), "b": np.array(["x", "y"])}, {"a": np.arange(1), "b": ["z"] * 1}]
    parts[1]["b"] = np.array(parts[1]["b"])
    assert write_table("T.CSV", ["a"], iter(parts)).read_text() == "a\n0\n1\n0\n"
    path = write_table("new/t.csv", ["b", "a"], iter(parts))
    assert path.read_text().splitlines() == ["b,a", "x,0", "y,1", "z,0"]
    with pytest.raises(KeyError):
        write_table("new/t.csv", ["c"], iter(parts))
    assert path.read_text().startswith("b,a") and len([*path.parent.iterdir()]) == 1
