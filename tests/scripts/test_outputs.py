"""Results of two runs are never mixed in one folder, and nothing of others' goes."""

import ast
import importlib
import json
import re
import sys
import types
from pathlib import Path

import absl.flags
import keras
import numpy as np
import pytest
import tensorflow as tf
from intriguing_tf.scripts.outputs import alone_in, holds_something, results

from intriguing_tf.evaluation.result import _remove_figures
from intriguing_tf.reporting import Report
from intriguing_tf.store import locked

SCRIPTS = Path(__file__).parents[2] / "scripts"
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


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Makes the files that commands are tried with, and goes where they are."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, shape in (("images", (12, 12, 3)), ("series", (6, 2))):
        classes = 1000 if name == "images" else 3
        last = keras.layers.Dense(classes, name="last")
        model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), last])
        weights = random.normal(size=(np.prod(shape), classes))
        model.set_weights([weights, np.zeros(classes)])
        model.save(f"{name}.keras")
        values = random.random((20, *shape), "float32")
        np.savez(f"{name}.npz", images=values, labels=np.arange(20) % 3)
    for name in ("a", "b"):
        pixels = random.integers(60, 200, (20, 30, 3)).astype("uint8")
        (tmp_path / f"{name}.png").write_bytes(tf.io.encode_png(pixels).numpy())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more", "fewer"),
    [
        ("lipschitz", "--model=mnist/fc10-1 --number=2", "--model=mnist/fc10-1"),
        ("ostrich", "--model=images.keras --data=a.png,b.png", "--model=images.keras --data=a.png"),
        (
            "transfer",
            "--models=mnist/fc10-1,mnist/fc10-1e-2 --number=2",
            "--models=mnist/fc10-1e-2 --number=2",
        ),
        (
            "units",
            "--model=images.keras --data=images.npz --layer=last --random=9 --units=9 --k=4",
            "--model=series.keras --data=series.npz --layer=last --random=9 --k=4",
        ),
    ],
)
@pytest.mark.drawn(2)
def test_commands_keep_others_out_and_nothing_of_their_earlier_runs(
    name, more, fewer, inputs, tmp_path, capsys
):
    run = importlib.import_module(f"intriguing_tf.scripts.{name}").run
    assert run.main([*fewer.split(), "--output=fresh"]) == 0
    assert run.main([*more.split(), "--output=used"]) == 0
    used = tmp_path / "used"
    assert files(used) > files(tmp_path / "fresh")
    (used / "mine").write_text("")
    assert run.main([*fewer.split(), "--output=used", "--overwrite"]) == 0
    assert files(used) == files(tmp_path / "fresh") | {"mine"}
    with locked(used):
        assert run.main([*fewer.split(), "--output=used", "--overwrite"]) == 1
    assert "Another process is at work in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arguments", "file"),
    [
        ("evaluate", ["--output=own"], "report.html"),
        ("evaluate", ["--output=own"], "images.csv"),
        ("evaluate", ["--output=own"], "figures/classes.svg"),
        ("reproduce", ["--output=own", "--quick"], "results.json"),
        ("reproduce", ["--output=own", "--quick"], "figures/own.svg"),
        ("adversarial_training", ["--output=own", "--methods=decay"], "table.md"),
        ("zoo", ["site", "own", "mnist/fc10-1"], "index.html"),
    ],
)
def test_files_of_others_are_not_replaced_by_work(
    name, arguments, file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / file).parent.mkdir(parents=True)
    (tmp_path / "own" / file).write_text("mine")
    (tmp_path / "own" / ".lock").touch()  # of a command that made others
    run = importlib.import_module(f"intriguing_tf.scripts.{name}").run
    assert run.main(arguments) == 1
    error = capsys.readouterr().err
    assert "be replaced, and are of no known run" in error and f"Received: {file}." in error
    assert files(tmp_path / "own") == {file}
    assert (tmp_path / "own" / file).read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "file", "work"),
    [
        ("evaluate", "report.html", "work/sweep/manifest.json"),
        ("adversarial_training", "table.md", "measurements/decay__seed_0-1/made.json"),
        ("adversarial_training", "table.md", "corrupted/manifest.json"),
    ],
)
def test_what_a_command_wrote_itself_is_replaced(name, file, work, tmp_path, monkeypatch):
    run, line = importlib.import_module(f"intriguing_tf.scripts.{name}").run, ["", "--output=here"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / work).parent.mkdir(parents=True)
    (tmp_path / "here" / file).touch()
    with pytest.raises(absl.flags.Error, match="no known run"):
        run.define_flags()(line)
    (tmp_path / "here" / work).touch()
    assert run.define_flags()(line) == [""]


SAVED = [
    ("attack", "--model=mnist/fc10-1 --number=1 --save_images", "attack.npz attack.png images"),
    ("lipschitz", "--model=mnist/fc10-1", "bounds.md bounds.json"),
    ("transfer", "--models=mnist/fc10-1 --number=1", "errors.json errors.svg adversarial"),
]


@pytest.mark.parametrize("name, arguments, saved", SAVED, ids=[each[0] for each in SAVED])
def test_results_are_saved_where_they_cannot_be_shown(
    name, arguments, saved, tmp_path, monkeypatch, capsys
):
    """As where the terminal was closed meanwhile."""

    def write(text):
        raise OSError(5, "Input/output error")

    run = importlib.import_module(f"intriguing_tf.scripts.{name}").run
    with monkeypatch.context() as patched:
        patched.setattr(sys.stdout, "write", write)
        assert run.main([*arguments.split(), f"--output={tmp_path}"]) == 1
    assert capsys.readouterr().err == "error: [Errno 5] Input/output error\n"
    assert {*saved.split()} <= {each.name for each in tmp_path.iterdir()}


@pytest.mark.parametrize("file", sorted(SCRIPTS.glob("*.py")), ids=lambda file: file.stem)
def test_commands_save_before_they_print(file):
    """A print that a `return` follows in the next line ends a run by itself."""
    for function in ast.walk(ast.parse(file.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        ends = {each.lineno for each in ast.walk(function) if isinstance(each, ast.Return)}
        calls = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
        names = {each: getattr(each.func, "attr", getattr(each.func, "id", "")) for each in calls}
        saved = [c.lineno for c in calls if re.match("_?save|write_|begin", names[c])]
        said = [c.lineno for c in calls if names[c] in ("print", "say")]
        told = {c.lineno for c in calls if any(each.arg == "file" for each in c.keywords)}
        shown = {line for line in said if line + 1 not in ends} - told
        assert max(saved, default=0) <= min(shown, default=10**6), function.name


OCCUPIED = [
    ("attack", "--model=mnist/fc10-1", "attack.npz/"),
    ("attack", "--model=mnist/fc10-1", "images"),
    ("units", "--model=mnist/fc10-1", "figures"),
    ("transfer", "--models=mnist/fc10-1", "adversarial"),
    ("evaluate", "--model=mnist/fc10-1", "figures"),
]


@pytest.mark.parametrize("name, arguments, occupied", OCCUPIED)
def test_a_name_that_a_folder_or_a_file_has_is_told_before_the_work(
    name, arguments, occupied, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("intriguing_tf.scripts.inputs.load_model", None)
    place = tmp_path / occupied
    place.mkdir() if occupied[-1] == "/" else place.write_text("mine")
    run = importlib.import_module(f"intriguing_tf.scripts.{name}").run
    overwrite = [] if name == "evaluate" else ["--overwrite"]
    assert run.main([arguments, f"--output={tmp_path}", *overwrite]) == 1
    kind = "file" if occupied[-1] == "/" else "folder"
    assert f"{place} must be a {kind}, or not be there" in capsys.readouterr().err


def test_a_page_of_others_names_no_figure_to_be_removed(tmp_path):
    page = tmp_path / "report.md"
    page.write_text("![x](figures/layers.svg)")
    _remove_figures(tmp_path, Report("", [], []))
    figure = tmp_path / "figures" / "layers.svg"
    figure.parent.mkdir()
    figure.write_text("mine")
    _remove_figures(tmp_path, Report("", [], []))
    assert figure.exists()
    (tmp_path / "evaluation.json").write_text("{}")
    _remove_figures(tmp_path, Report("", [], []))
    assert not figure.exists()
