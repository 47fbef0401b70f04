"""Results of two runs are never mixed in one folder, and nothing of others' goes."""

import json
import re
import types

import pytest
from intriguing_tf.scripts.outputs import alone_in, holds_something, results

from intriguing_tf.store import locked

FIXED, OTHERS = ("a.npz", "a.png", "a.md"), r"images/\d+\.png"


def flags(folder, overwrite=True):
    return types.SimpleNamespace(output=str(folder), overwrite=overwrite)


def run(folder, *names, written=None, **options):
    """Writes files as a command does, all that it announces or some."""
    with results(flags(folder, **options), FIXED, OTHERS) as found:
        found.begin(["a.npz"], names)
        for name in ("a.npz", *(names if written is None else written)):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(str(names))


def files(folder):
    there = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix() for each in there if each.name[0] != "."}


def test_what_an_earlier_run_wrote_goes(tmp_path):
    run(tmp_path, "a.png", "images/0.png", "images/1.png")
    (tmp_path / "images" / "mine.png").write_text("")
    (tmp_path / "notes").write_text("")
    run(tmp_path, "a.md", "images/0.png", "images/2.png", written=["a.md", "images/2.png"])
    others = {"images/mine.png", "notes"}
    assert files(tmp_path) == {"a.npz", "a.md", "images/2.png"} | others
    run(tmp_path)
    assert files(tmp_path) == {"a.npz"} | others


def test_what_a_killed_run_wrote_goes_too(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        results(flags(tmp_path), FIXED, OTHERS) as found,
    ):
        found.begin(["a.npz"], ["images/0.png"])
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "0.png").write_text("")
        raise KeyboardInterrupt
    run(tmp_path)
    assert files(tmp_path) == {"a.npz"}


def test_what_no_run_recorded_is_refused_or_left(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_text("another's")
    with pytest.raises(ValueError, match="1 files that may be results of another run"):
        run(tmp_path)
    (tmp_path / "images" / "0.png").unlink()
    (tmp_path / "a.md").write_text("another's")
    run(tmp_path)
    assert files(tmp_path) == {"a.npz", "a.md"}  # without a.npz it was no result
    (tmp_path / ".written.json").unlink()  # as earlier releases left their results
    run(tmp_path)
    assert files(tmp_path) == {"a.npz"}


@pytest.mark.parametrize("text", ['{"files": ["../out", "/out", 3, "a.png"]}', "[", "[]", "{}"])
def test_a_record_of_anyone_removes_nothing_outside(tmp_path, text):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "out").write_text("")
    (folder / ".written.json").write_text(text)
    run(folder)
    assert files(tmp_path) == {"out", "in/a.npz"}
    assert json.loads((folder / ".written.json").read_text()) == {"files": ["a.npz"]}


def test_two_processes_do_not_share_a_folder(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(RuntimeError, match="Another process is at work in"),
        results(flags(tmp_path), FIXED, OTHERS),
    ):
        pass


def test_a_folder_that_was_filled_meanwhile_is_left_alone(tmp_path):
    run(tmp_path, overwrite=False)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} is not empty")):
        run(tmp_path, overwrite=False)


def test_a_folder_that_stays_empty_goes(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(ValueError, match="wrong"), alone_in(folder):
        assert folder.is_dir() and not holds_something(folder)
        raise ValueError("wrong")
    assert not (tmp_path / "a").exists()
    folder.mkdir(parents=True)
    with alone_in(folder):
        pass
    assert not [*folder.iterdir()]
    with alone_in(folder):
        (folder / "result").write_text("")
    assert holds_something(folder)
