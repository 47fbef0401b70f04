"""Results are saved whole, read back equal, and are data only."""

import contextlib
import dataclasses
import json
import os
import sys
import zipfile
from pickle import dumps, loads

import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import files
from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.adversary.bounds import describe_bound
from tests.adversary.networks import points

ARRAYS = [
    "images", "originals", "targets", "predictions", "original_predictions", "status",
    "distortion", "l2", "c", "nfev",
]  # fmt: skip


@pytest.fixture(scope="module")
def result(network, adversary):
    x = points(6)
    labels = network.predict(x, verbose=0).argmax(1)
    labels[0] = (labels[0] + 1) % 4
    return adversary(x, labels)


@pytest.mark.slow
def test_a_result_without_rows_is_kept_whatever_its_bounds(network, tmp_path):
    x = points(3)
    bounds = np.maximum(x - 0.3, 0), np.minimum(x + 0.3, 1)
    none = itf.LBFGSAdversary(network, bounds=bounds, jit_compile=False, maxfun=5)(x)[:0]
    none.save(tmp_path / "none")
    assert len(AdversarialResult.load(tmp_path / "none")) == 0


@pytest.mark.filterwarnings("error")
def test_infinite_bounds_are_saved_without_a_warning(result, tmp_path):
    dataclasses.replace(result, bounds=(np.array(-np.inf), np.array(np.inf))).save(tmp_path / "r")


@pytest.mark.parametrize("index", [np.zeros((2, 2), int), None], ids=["two dimensions", "None"])
def test_an_index_has_one_dimension(result, index):
    with pytest.raises(IndexError, match="Received: one that gives shape"):
        result[index]


def test_round_trip(result, tmp_path):
    path = result.save(tmp_path / "deep" / "adversarial")
    assert path == tmp_path / "deep" / "adversarial.npz"
    assert sorted(os.listdir(path.parent)) == ["adversarial.json", "adversarial.npz"]
    for name in ("adversarial", "adversarial.npz", "adversarial.json"):
        again = AdversarialResult.load(path.parent / name)
        for array in ARRAYS:
            np.testing.assert_array_equal(getattr(again, array), getattr(result, array))
            assert getattr(again, array).dtype == getattr(result, array).dtype
        assert again.settings == result.settings
    assert str(again) == str(result)


@pytest.mark.parametrize(
    ("bounds", "mask"),
    [
        ((-np.inf, np.inf), None),
        ((0.0, np.linspace(1, 2, 8)), np.arange(8) > 2),
        ((np.zeros((6, 8)), 1 + np.arange(48).reshape(6, 8)), np.arange(48).reshape(6, 8) > 9),
    ],
)
def test_bounds_and_mask_come_back_with_their_rows(bounds, mask, result, tmp_path):
    lower, upper = (np.asarray(bound, np.float64) for bound in bounds)
    described = [describe_bound(bound) for bound in (lower, upper)]
    settings = {**result.settings, "bounds": described}
    held = dataclasses.replace(result, settings=settings, bounds=(lower, upper), mask=mask)
    held.save(tmp_path / "held")
    shape = result.images.shape
    for each, rows in ((held, slice(None)), (held[[4, 1]], [4, 1])):
        each.save(tmp_path / "held")
        for same in (each, AdversarialResult.load(tmp_path / "held")):
            for bound, expected in zip(same.bounds, (lower, upper), strict=True):
                whole = np.broadcast_to(expected, shape)[rows]
                np.testing.assert_array_equal(np.broadcast_to(bound, whole.shape), whole)
            if mask is not None:
                whole = np.broadcast_to(mask, shape)[rows]
                np.testing.assert_array_equal(np.broadcast_to(same.mask, whole.shape), whole)


def test_paths_begin_at_home(result, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert result.save("~/a/result") == tmp_path / "a" / "result.npz"
    assert len(AdversarialResult.load("~/a/result")) == len(result)


def test_a_name_with_a_dot_keeps_it(result, tmp_path):
    result.save(tmp_path / "fc10-1e-4.v2")
    assert AdversarialResult.load(tmp_path / "fc10-1e-4.v2").settings == result.settings


def test_the_files_hold_no_pickle(result, tmp_path):
    path = result.save(tmp_path / "result")
    with np.load(path, allow_pickle=False) as stored:
        assert sorted(stored) == sorted(ARRAYS)
    summary = json.loads((tmp_path / "result.json").read_text())
    assert summary["success"] == 1.0 and summary["images"] == 6


def test_an_error_while_writing_loses_nothing(result, tmp_path, monkeypatch):
    path = result.save(tmp_path / "result")
    before = path.read_bytes(), (tmp_path / "result.json").read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        result.save(tmp_path / "result")
    assert (path.read_bytes(), (tmp_path / "result.json").read_bytes()) == before
    assert sorted(os.listdir(tmp_path)) == ["result.json", "result.npz"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_a_kill_at_any_time_leaves_one_result_or_none(result, tmp_path, monkeypatch, renames):
    """Never the settings of one attack with the arrays of another."""
    path = result.save(tmp_path / "result")
    other = dataclasses.replace(result[::-1], settings={**result.settings, "seed": 7})
    replace, done = os.replace, []

    def rename(*names):
        if len(done) == renames:
            raise Killed
        done.append(replace(*names))

    monkeypatch.setattr(os, "replace", rename)
    with contextlib.suppress(Killed):
        other.save(path)
    assert len(done) == renames
    if renames == 2:
        with pytest.raises(ValueError, match="belongs to other arrays; saving was interrupted"):
            AdversarialResult.load(path)
        return
    there = AdversarialResult.load(path)
    expected = other if renames == 3 else result
    np.testing.assert_array_equal(there.images, expected.images)
    assert there.settings["seed"] == expected.settings["seed"]


def test_a_full_disk_loses_nothing(result, tmp_path, monkeypatch):
    path = result.save(tmp_path / "result")
    write = files.write_atomically

    def full(path, content):
        if len(content) > 1000 and isinstance(content, str):
            raise OSError("No space left on device")
        return write(path, content)

    monkeypatch.setattr("intriguing_tf.adversary.result.write_atomically", full)
    settings = {**result.settings, "model": "m" * 1000}
    with pytest.raises(OSError, match="No space"):
        dataclasses.replace(result[::-1], settings=settings).save(path)
    np.testing.assert_array_equal(AdversarialResult.load(path).images, result.images)
    assert sorted(os.listdir(tmp_path)) == ["result.json", "result.npz"]


def without_sha256(folder):
    """As earlier releases saved results."""
    summary = json.loads((folder / "result.json").read_text())
    del summary["sha256"]
    (folder / "result.json").write_text(json.dumps(summary))


def test_results_of_earlier_releases_are_read(result, tmp_path):
    result.save(tmp_path / "result")
    without_sha256(tmp_path)
    assert AdversarialResult.load(tmp_path / "result").settings == result.settings


def truncate(folder):
    path = folder / "result.npz"
    path.write_bytes(path.read_bytes()[:-100])


def drop_an_array(folder):
    with np.load(folder / "result.npz") as stored:
        kept = {name: stored[name] for name in ARRAYS[1:]}
    np.savez(folder / "result.npz", **kept)


def pickle(folder):
    with np.load(folder / "result.npz") as stored:
        values = {name: stored[name] for name in ARRAYS}
    values["status"] = values["status"].astype(object)
    np.savez(folder / "result.npz", **values)


def flip_bytes(folder):
    with zipfile.ZipFile(folder / "result.npz") as archive:
        offset = archive.getinfo("images.npy").header_offset + 80
    data = bytearray((folder / "result.npz").read_bytes())
    data[offset : offset + 8] = bytes(255 - b for b in data[offset : offset + 8])
    (folder / "result.npz").write_bytes(data)


def with_array(name, array):
    def damage(folder):
        with np.load(folder / "result.npz") as stored:
            values = dict(stored) | {name: array}
        np.savez(folder / "result.npz", **values)

    return damage


def with_setting(**changes):
    def damage(folder):
        summary = json.loads((folder / "result.json").read_text())
        settings = {**summary["settings"], **changes}
        summary["settings"] = {k: v for k, v in settings.items() if v is not None}
        (folder / "result.json").write_text(json.dumps(summary))

    return damage


DAMAGE = {
    "a row too few": with_array("targets", np.zeros(5, np.int64)),
    "a number for rows": with_array("l2", np.array(1.0)),
    "a second axis": with_array("c", np.zeros((6, 2))),
    "another dtype": with_array("nfev", np.zeros(6)),
    "complex images": with_array("images", np.zeros((6, 4), complex)),
    "images of another shape": with_array("images", np.zeros((6, 7))),
    "an unknown status": with_array("status", np.array(["lost"] * 6, "<U7")),
    "a distortion below 0": with_array("distortion", np.full(6, -1.0)),
    "a distortion of NaN": with_array("distortion", np.full(6, np.nan)),
    "a target below 0": with_array("targets", np.full(6, -7)),
    "a prediction below -1": with_array("predictions", np.full(6, -2)),
    "an original prediction below -1": with_array("original_predictions", np.full(6, -2)),
    "evaluations below 0": with_array("nfev", np.full(6, -3)),
    "found images of NaN": with_array("images", np.full((6, 4), np.nan)),
    "found images without end": with_array("images", np.full((6, 4), np.inf)),
    "a mask of numbers": with_array("mask", np.zeros((6, 8))),
    "a mask of another shape": with_array("mask", np.zeros((3, 5), bool)),
    "bounds in words": with_setting(bounds=["a", "b"]),
    "bounds upside down": with_setting(bounds=[1, 0]),
    "no solver": with_setting(solver=None),
    "seconds in words": with_setting(seconds="long"),
    "no finite seconds": with_setting(seconds=float("inf")),
    "seconds of 400 digits": with_setting(seconds=10**400),
    "nested JSON": lambda folder: (folder / "result.json").write_text("[" * 99_999),
    "a number of another encoding": lambda folder: (folder / "result.json").write_bytes(b"\xff"),
    "truncated": truncate,
    "an array is missing": drop_an_array,
    "pickled objects": pickle,
    "flipped bytes": flip_bytes,
    "an empty archive": lambda folder: (folder / "result.npz").write_bytes(b""),
    "not JSON": lambda folder: (folder / "result.json").write_text("{"),
    "a list": lambda folder: (folder / "result.json").write_text("[]"),
    "a later format": lambda folder: (folder / "result.json").write_text('{"format": 2}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_refused_by_name(result, tmp_path, damage):
    result.save(tmp_path / "result")
    without_sha256(tmp_path)  # each fault is seen by itself
    damage(tmp_path)
    with pytest.raises(ValueError, match=r"result.npz is not a saved AdversarialResult"):
        AdversarialResult.load(tmp_path / "result")


def test_a_missing_file_is_missing(result, tmp_path):
    result.save(tmp_path / "result")
    (tmp_path / "result.json").unlink()
    with pytest.raises(FileNotFoundError):
        AdversarialResult.load(tmp_path / "result")


def test_it_prints_as_a_table_of_what_it_holds(result):
    text = str(result)
    for word in ("100.0%", "distortion found, mean", "evaluations per image", "compiled, margin"):
        assert word in text
    found = result.status == "found"
    assert result.mean_distortion == pytest.approx(result.distortion[found].mean())
    assert f"{result.mean_distortion:.4g}" in text
    assert len(result) == 6 and result.success.all()


@pytest.mark.parametrize(
    ("targets", "why"),
    [("given", "classified as their target as they are"), ("random", "misclassified as they are")],
)
def test_its_note_says_what_already_means(result, targets, why):
    settings = result.settings | {"targets": targets}
    status = np.full(len(result), "already")
    already = dataclasses.replace(result, settings=settings, status=status)
    assert f"{len(result)} of {len(result)} images are {why}" in str(already)


def test_success_is_all_only_where_nothing_failed(result):
    rows = result[np.arange(3000) % len(result)]
    status = rows.status.copy()
    status[0] = "failed"
    assert dict(dataclasses.replace(rows, status=status).table().rows)["success"] == "99.9%"


def test_rows_of_a_result_are_results(result):
    assert len(result[2]) == 1 and result[2].l2[0] == result.l2[2]
    assert result[-1].targets[0] == result.targets[5]
    np.testing.assert_array_equal(result[1:3].images, result.images[1:3])
    found = result[result.status == "found"]
    assert set(found.status) == {"found"} and 0 < len(found) < len(result)
    np.testing.assert_array_equal(result[[4, 1]].originals, result.originals[[4, 1]])
    assert found.settings == result.settings and found.classifier is result.classifier
    with pytest.raises(IndexError):
        result[6]
    with pytest.raises(IndexError):
        result[np.ones(5, bool)]


def test_a_pickled_result_leaves_the_model_behind(result):
    again = loads(dumps(result))
    assert again.classifier is None and result.classifier is not None
    np.testing.assert_array_equal(again.images, result.images)


def test_a_data_frame_has_a_row_per_image(result):
    pandas = pytest.importorskip("pandas")
    frame = result.to_dataframe(["a", "b", "c", "d"])
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 6
    np.testing.assert_array_equal(frame.l2, result.l2)
    assert frame.predictions[1] == "abcd"[result.predictions[1]]
    names = [f"a_class_of_a_long_name, {i}" for i in range(4)]
    assert result.to_dataframe(names).predictions[1] == names[result.predictions[1]]
    with pytest.raises(TypeError, match="`class_names` must be"):
        result.to_dataframe("abcd")


@pytest.mark.filterwarnings("error")
def test_no_rows_are_a_result(result, tmp_path):
    path = result[:0].save(tmp_path / "none")
    text = path.with_suffix(".json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["success"] is None
    assert len(AdversarialResult.load(path)) == 0 and "nan" not in str(result[:0])


def test_without_pandas_the_error_says_so(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        result.to_dataframe()


def test_notebooks_show_the_table(result):
    assert "<table>" in result._repr_html_() and "Adversarial examples" in result._repr_html_()
