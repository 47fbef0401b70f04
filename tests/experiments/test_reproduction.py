"""The whole report from the zoo's weights, on the bundled images standing for MNIST."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.experiments import (
    Estimate,
    Figure7,
    ImageSet,
    Reproduction,
    Seeds,
    Table3,
    Workspace,
    paper,
    reproduce,
)
from intriguing_tf.experiments.figure7 import Figure7Result, Panel
from intriguing_tf.experiments.reproduction import experiments

NUMBER = 8
ONE = Estimate(0.5, 0.4, 0.6, NUMBER)

SCRIPT = """
import sys
import intriguing_tf as itf
from intriguing_tf.experiments import Table3, Workspace
sample = itf.datasets.mnist_sample()
with Workspace(sys.argv[1], load_images=lambda *which: sample, verbose=False) as workspace:
    workspace.result(Table3(int(sys.argv[2])))
"""


def load_images(*which):
    return itf.datasets.mnist_sample()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduction")
    with Workspace(folder, load_images=load_images, verbose=False) as workspace:
        yield workspace, reproduce(workspace, number=NUMBER)


@pytest.mark.slow
def test_every_part_of_the_report_is_there(done):
    workspace, reproduction = done
    titles = [section.title for section in reproduction.report.sections]
    assert titles[1:-1] == [
        "Table 1",
        "Table 2",
        "Table 3",
        "Table 4",
        "Figures 1 and 2",
        "Figure 7",
    ]
    page = (workspace.folder / "report.html").read_text()
    assert all(f'id="{s.anchor}"' in page for s in reproduction.report.sections)
    assert {p.stem for p in (workspace.folder / "figures").iterdir()} >= {
        "figure1",
        "figure2",
        "figure7_linear",
        "table2",
    }


@pytest.mark.slow
def test_numbers_are_those_of_the_adversarial_images(done):
    workspace, reproduction = done
    which = ImageSet("train", NUMBER)
    images, labels = workspace.images(which)
    matrix = reproduction.results["Table2"].matrix
    for row in ("FC10(1)", "FC100-100-10"):
        attacked = workspace.attack(row, which)
        assert (attacked.targets[~np.equal(attacked.status, "already")] != labels[0]).any()
        assert not (attacked.targets == labels).any()
        for column in ("FC10(1e-4)", "AE400-10"):
            model = workspace.model(column)
            wrong = np.asarray(model(attacked.images)).argmax(axis=1) != labels
            assert matrix.error(row, column).value == pytest.approx(wrong.mean())
        distortion = np.sqrt(np.mean((attacked.images - images) ** 2, axis=(1, 2, 3)))
        assert matrix.row(row).distortion.value == pytest.approx(distortion.mean(), rel=1e-4)
    for row in reproduction.results["Table1"].rows:
        assert row.found == 1
        assert matrix.error(row.model, row.model).value == 1
        assert row.nearest_distortion.value <= row.random_distortion_of_the_same.value * 1.01
        model = workspace.model(row.model)
        sample, truth = itf.datasets.mnist_sample()
        wrong = np.asarray(model(sample)).argmax(axis=1) != truth
        assert row.test_error.value == pytest.approx(wrong.mean())


@pytest.mark.slow
def test_scalars_name_every_estimate(done):
    _, reproduction = done
    scalars = reproduction.scalars()
    row = reproduction.results["Table1"].rows[0]
    assert scalars["Table1/rows/FC10(1e-4)/distortion"] == row.distortion.value
    assert len(scalars) > 100 and all(np.isfinite(v) for v in scalars.values())


@pytest.mark.slow
def test_a_second_run_makes_nothing_again(done):
    workspace, _ = done
    before = {p: p.stat().st_mtime_ns for p in workspace.folder.glob("*/*/made.json")}
    results = (workspace.folder / "results.json").read_bytes()
    reproduce(workspace, number=NUMBER)
    assert before == {p: p.stat().st_mtime_ns for p in workspace.folder.glob("*/*/made.json")}
    assert (workspace.folder / "results.json").read_bytes() == results


@pytest.mark.slow
def test_killed_and_started_again_it_ends_the_same(done, tmp_path):
    _, whole = done
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, os.fspath(tmp_path), str(NUMBER)])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("attacks/*/made.json")):  # in the middle of Table 3
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = set(tmp_path.glob("attacks/*/result.npz"))
    assert len(kept) < 3 and not list(tmp_path.glob("results/[!.]*"))
    with Workspace(tmp_path, load_images=load_images, verbose=False) as workspace:
        results = {"Table3": workspace.result(Table3(NUMBER))}
    found = dataclasses.replace(whole, results=results).scalars()
    # This process may round otherwise than the killed one, after what other tests set in it.
    for name, value in found.items():
        tolerance = {"rel": 0.01} if "distortion" in name else {"abs": 1.5 / NUMBER}
        assert whole.scalars()[name] == pytest.approx(value, **tolerance), name
    assert sum(name.startswith("Table3/") for name in whole.scalars()) == len(found) > 10
    assert {p.name for p in tmp_path.rglob(".*")} == {".lock"}


@pytest.mark.slow
def test_the_papers_models_are_all_in_it(done):
    _, reproduction = done
    assert {row.model for row in reproduction.results["Table3"].rows} == set(paper.TABLE_3)


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


@pytest.mark.parametrize("file", ["report.html", "report.md", "results.json", "figures/own.svg"])
def test_files_of_others_are_not_replaced_by_a_report(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text('{"mine": 1}')
    for _ in range(2):  # the second time in a folder that a workspace was in
        with (
            Workspace(tmp_path, load_model=None) as workspace,
            pytest.raises(ValueError, match=f"are of no known run: .* Received: {file}"),
        ):
            reproduce(workspace, number=8)
    assert (tmp_path / file).read_text() == '{"mine": 1}'


def test_an_earlier_report_is_replaced(tmp_path):
    """Measurements are the first that is written, so half a report has them too."""

    def load_images(*which):
        raise KeyError("the work has begun")

    (tmp_path / "results.json").write_text('{"Table1": {}, "Figures1And2": {}}')
    (tmp_path / "report.html").touch()
    with (
        Workspace(tmp_path, load_model=None, load_images=load_images) as workspace,
        pytest.raises(KeyError, match="the work has begun"),
    ):
        reproduce(workspace, number=8)


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
