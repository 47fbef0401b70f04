"""Results read back: data sets, tables, one cell in memory."""

import csv
import json

import numpy as np
import pytest

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.reporting import Report
from intriguing_tf.store import Store
from intriguing_tf.sweeps import Sweep
from intriguing_tf.transfer import amplify, rms
from tests.sweeps.small_sweep import FAST, run


@pytest.mark.slow
def test_results_are_read_back_as_a_data_set(done, data):
    dataset = done.dataset(targets="nearest")
    rows = list(dataset.as_numpy_iterator())
    whole = done.result(targets="nearest")
    assert [row["row"] for row in rows] == list(range(10))
    np.testing.assert_array_equal([row["image"] for row in rows], whole.images)
    np.testing.assert_array_equal([row["label"] for row in rows], data[1])
    assert {row["targets"] for row in rows} == {b"nearest"}
    batch = next(iter(dataset.batch(7)))
    assert batch["image"].shape == (7, 4)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_hold_a_row_for_each_image_and_cell(done, tmp_path, suffix):
    if suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = done.write_table(tmp_path / f"table{suffix}")
    if suffix == ".csv":
        with path.open() as file:
            rows = list(csv.DictReader(file))
    else:
        rows = parquet.read_table(path).to_pylist()
    assert len(rows) == 30
    distortions = [float(row["distortion"]) for row in rows if row["targets"] == "random"]
    np.testing.assert_array_equal(distortions, done.result(targets="random").distortion)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_printing_counts_what_was_found(done):
    text = str(done)
    nearest = next(line for line in text.splitlines() if "nearest" in line).split()
    result = done.result(targets="nearest")
    assert nearest[3:7] == [
        str(n) for n in (10, *((result.status == s).sum() for s in ("found", "already", "failed")))
    ]


def test_the_manifest_says_what_the_sweep_is(done):
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert manifest["data"]["images"] == 10 and len(manifest["data"]["slices"]) == 3
    assert manifest["settings"]["fast"]["loss"] == "margin"
    with pytest.raises(FileNotFoundError, match="no sweep"):
        Sweep(done.folder / "shards")


@pytest.mark.parametrize("upper", [1.5, np.linspace(1, 2, 4)], ids=["number", "of each pixel"])
def test_a_result_has_the_bounds_that_it_was_made_with(model, data, tmp_path, upper):
    settings = {"a": {**FAST["fast"], "bounds": (-0.5, upper)}}
    result = run(model, data, tmp_path, targets="nearest", settings=settings).result()
    np.testing.assert_array_equal(result.bounds[0], -0.5)
    np.testing.assert_allclose(result.bounds[1], upper, rtol=1e-6)
    result.save(tmp_path / "result")
    again = AdversarialResult.load(tmp_path / "result")
    np.testing.assert_array_equal(amplify(again), amplify(result))
    found = result.status == "found"
    distortion = rms(result.images, result.originals, result.bounds)
    np.testing.assert_allclose(distortion[found], result.distortion[found], rtol=1e-5)


def test_names_are_checked_when_results_are_read(done):
    with pytest.raises(ValueError, match="no targets 'nearset'"):
        done.result(targets="nearset")
    with pytest.raises(ValueError, match="fit 3 cells"):
        done.result()
    with pytest.raises(ValueError, match=r"csv or \.parquet"):
        done.write_table("table.xls")


def test_a_reader_of_a_sweep_that_was_extended_since_says_so(model, data, folder):
    reader = Sweep(folder)
    images, labels = (np.concatenate([each, each[:3]]) for each in data)
    run(model, (images, labels), folder)
    for read in (reader.result, lambda: str(reader), lambda: list(reader.shards())):
        with pytest.raises(ValueError, match=r"extended to more images\. Open it again"):
            read()
    next((folder / "shards").rglob("000002-*.npz")).unlink()
    with pytest.raises(ValueError, match="Open it again"):
        reader.result()
    assert len(next(Sweep(folder).shards()).result) == 4


def test_folders_and_tables_begin_at_home(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert Sweep("~/sweep").write_table("~/new/t.csv") == tmp_path / "new" / "t.csv"
    with Store("~/store") as store:
        assert store.folder == tmp_path / "store"
    assert Report("", (), ()).save("~/page") == tmp_path / "page" / "report.html"
    assert not [*(tmp_path / "here").iterdir()]
