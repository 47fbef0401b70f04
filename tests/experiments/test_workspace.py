import dataclasses
import os
import subprocess
import sys
from typing import ClassVar

import keras
import numpy as np
import pytest

from intriguing_tf.experiments import (
    Estimate,
    Figure7,
    Figures1And2,
    ImageSet,
    Seeds,
    Table1,
    Table2,
    Table3,
    Table4,
    Workspace,
    paper,
)

pytestmark = pytest.mark.filterwarnings("error::UserWarning:intriguing_tf")

EXPERIMENTS = (Table1, Table2, Table3, Table4, Figures1And2, Figure7, Seeds)


@dataclasses.dataclass(frozen=True)
class Result:
    settings: "Brightness"
    brightness: Estimate


@dataclasses.dataclass(frozen=True)
class Brightness:
    """A small experiment that counts its runs and may be told to fail."""

    number: int = 10
    record = Result
    models: ClassVar[tuple[str, ...]] = ("FC10(1)",)
    runs: ClassVar[list[int]] = []
    fails: ClassVar[bool] = False

    @property
    def image_sets(self):
        return (ImageSet("test", self.number),)

    def run(self, workspace) -> Result:
        self.runs.append(self.number)
        if self.fails:
            raise KeyboardInterrupt
        images, _ = workspace.images(self.image_sets[0])
        return Result(self, Estimate.of_mean(images.mean(axis=(1, 2, 3))))


@pytest.fixture
def parts():
    Brightness.runs.clear()
    Brightness.fails = False
    rng = np.random.default_rng(0)
    images = rng.random((20, 4, 4, 1)).astype(np.float32)
    labels = rng.integers(0, 3, 20)
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)], name="small"
    )
    asked = []

    def load_model(name):
        asked.append(name)
        return model

    return {"load_model": load_model, "load_images": lambda *which: (images, labels)}, model, asked


def open_workspace(folder, parts):
    return Workspace(folder, verbose=False, **parts[0])


def test_a_result_is_made_once_and_read_back_equal(tmp_path, parts):
    with open_workspace(tmp_path, parts) as workspace:
        first = workspace.result(Brightness())
    with open_workspace(tmp_path, parts) as workspace:
        again = workspace.result(Brightness())
        assert workspace.seconds.keys() == {p.name for p in (tmp_path / "results").iterdir()}
    assert first == again and isinstance(again, Result)
    assert Brightness.runs == [10]
    assert first.brightness.value == pytest.approx(0.5, abs=0.1)


def test_other_settings_weights_or_images_are_another_result(tmp_path, parts):
    arguments, model, _ = parts
    with open_workspace(tmp_path, parts) as workspace:
        workspace.result(Brightness())
        workspace.result(Brightness(5))
    model.set_weights([w + 1 for w in model.get_weights()])
    with open_workspace(tmp_path, parts) as workspace:
        workspace.result(Brightness())
    images, labels = arguments["load_images"]("test", None)
    arguments["load_images"] = lambda *which: (images[::-1], labels[::-1])
    with open_workspace(tmp_path, parts) as workspace:
        workspace.result(Brightness())
    assert Brightness.runs == [10, 5, 10, 10]
    assert len(list((tmp_path / "results").iterdir())) == 4


def test_a_run_that_stops_leaves_nothing_that_counts(tmp_path, parts):
    with open_workspace(tmp_path, parts) as workspace:
        Brightness.fails = True
        with pytest.raises(KeyboardInterrupt):
            workspace.result(Brightness())
        assert [p for p in (tmp_path / "results").iterdir() if not p.name.startswith(".")] == []
    Brightness.fails = False
    with open_workspace(tmp_path, parts) as workspace:
        assert list((tmp_path / "results").iterdir()) == []
        workspace.result(Brightness())
    assert Brightness.runs == [10, 10]


def test_files_that_are_not_the_workspaces_are_left_alone(tmp_path, parts):
    (tmp_path / "results").mkdir()
    for name in ("results/.gitignore", ".git", "models"):
        (tmp_path / name).touch()
    with open_workspace(tmp_path, parts) as workspace:
        workspace.result(Brightness())
    assert all((tmp_path / n).exists() for n in ("results/.gitignore", ".git", "models"))


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({"x": 1}, TypeError, r"load_model\('mnist/fc10-1'\)` must be a keras.Model.*: dict"),
        (keras.Sequential([keras.layers.Dense(3)], name="own"), ValueError, "'own' is not built"),
    ],
)
def test_what_is_loaded_must_be_a_model(model, error, message, tmp_path, parts):
    parts[0]["load_model"] = lambda name: model
    with open_workspace(tmp_path, parts) as workspace, pytest.raises(error, match=message):
        workspace.result(Brightness())
    assert Brightness.runs == []


def test_a_second_process_is_refused(tmp_path, parts):
    code = (
        "import sys, filelock; "
        "lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('locked', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, os.fspath(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(RuntimeError, match="Another process"):
            open_workspace(tmp_path, parts).__enter__()
        other.kill()
    with open_workspace(tmp_path, parts):
        pass


def test_models_are_loaded_once_by_their_zoo_name(tmp_path, parts):
    with open_workspace(tmp_path, parts) as workspace:
        assert workspace.model("FC10(1)") is workspace.model("FC10(1)")
    assert parts[2] == [paper.ZOO["FC10(1)"]]


def test_too_many_images_are_refused(tmp_path, parts):
    with open_workspace(tmp_path, parts) as workspace:
        assert len(workspace.images(ImageSet("test"))[0]) == 20
        with pytest.raises(ValueError, match="between 1 and 20"):
            workspace.images(ImageSet("test", 21))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (kind, field.name, value)
        for kind in EXPERIMENTS
        for field in dataclasses.fields(kind)
        if field.type == "int"
        for value in (-1, 8.5, True)
    ],
)
def test_numbers_are_positive_integers_and_seeds_are_seeds(kind, field, value):
    with pytest.raises((TypeError, ValueError), match=f"`{field}` must be .*Received: {value}"):
        kind(**{field: value})


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_no_images_are_no_experiment(kind):
    with pytest.raises(ValueError, match=r"`number` must be a positive integer. Received: 0"):
        kind(number=0)


def test_a_name_that_the_paper_lacks_is_told_those_that_it_has(tmp_path):
    with pytest.raises(ValueError, match=r"one of 'FC10\(1e-4\)', .*Received: 'fc10'"):
        Workspace(tmp_path).model("fc10")
