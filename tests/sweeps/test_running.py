"""A sweep against the adversary itself; what it refuses."""

import json

import filelock
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.sweeps import Sweep
from tests.sweeps.small_sweep import FAST, files, run

ARRAYS = ("images", "originals", "targets", "predictions", "status", "distortion", "l2")


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["random", "least_likely", "nearest"])
def test_shards_hold_what_one_call_of_the_adversary_finds(done, model, data, targets):
    whole = itf.LBFGSAdversary(model, **FAST["fast"])(*data, targets=targets, seed=0)
    swept = done.result(targets=targets)
    assert (whole.status == "found").any() and (whole.status == "already").any()
    for name in ARRAYS:
        expected, actual = getattr(whole, name), getattr(swept, name)
        if actual.dtype.kind == "f":
            np.testing.assert_allclose(actual, expected, atol=1e-4)
        else:
            np.testing.assert_array_equal(actual, expected)
    assert swept.settings["targets"] == targets


@pytest.mark.slow
@pytest.mark.parametrize("size", [3])
def test_results_do_not_depend_on_how_they_are_cut(done, model, data, tmp_path, size):
    other = run(model, data, tmp_path, shard_size=size)
    for name in ("targets", "status"):
        expected = getattr(done.result(targets="random"), name)
        np.testing.assert_array_equal(getattr(other.result(), name), expected)


@pytest.mark.slow
def test_without_labels_random_targets_avoid_the_predictions(model, data, tmp_path):
    result = run(model, (data[0], None), tmp_path).result()
    assert (result.targets != result.original_predictions).all()
    assert (result.status == "found").all()


def test_numbers_may_be_numpys(model, data, folder):
    before = files(folder)
    run(model, data, folder, shard_size=np.int64(4), seed=np.int32(0))
    assert files(folder) == before


def test_a_second_process_is_refused(model, data, folder):
    with filelock.FileLock(folder / ".lock"), pytest.raises(RuntimeError, match="at work"):
        run(model, data, folder)
    run(model, data, folder)


def test_a_folder_of_something_else_is_left_alone(model, data, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        run(model, data, tmp_path)


@pytest.mark.slow
def test_a_failed_write_leaves_nothing_and_can_be_repeated(model, data, tmp_path, monkeypatch):
    import os

    replace, calls = os.replace, []

    def full_disk(source, target):
        calls.append(target)
        if len(calls) == 3:  # the manifest, a shard, and then no more
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        run(model, data, tmp_path)
    monkeypatch.undo()
    assert not list((tmp_path / "shards").glob("*/.*"))
    assert Sweep(tmp_path).missing == 2
    assert run(model, data, tmp_path).missing == 0


BAD = {
    "bounds": ({"images": 2 * np.ones((3, 4), np.float32)}, ValueError, "bounds"),
    "bounds of each image": (
        {"settings": {"a": {"bounds": (np.zeros((3, 4)), 1)}}},
        ValueError,
        "the same bounds",
    ),
    "nan": ({"images": np.full((3, 4), np.nan, np.float32)}, ValueError, "finite"),
    "none": ({"images": np.zeros((0, 4), np.float32)}, ValueError, "At least one image"),
    "scalar": ({"images": 3}, TypeError, "must be an array"),
    "labels": ({"labels": [0, 1]}, ValueError, "one for each image"),
    "classes": ({"labels": [0, 1, 7]}, ValueError, "between 0 and 2"),
    "targets": ({"targets": "hardest"}, ValueError, "least_likely"),
    "given targets": ({"targets": [0, 1, 3]}, ValueError, "between 0 and 2"),
    "labels as targets": (
        {"labels": [0, 1, 2], "targets": [0, 1, 2]},
        ValueError,
        r"`targets\['given'\]` must differ from `labels`",
    ),
    "name": ({"models": {"../m": None}}, ValueError, "Names in `models`"),
    "settings": ({"settings": {"loss": "margin"}}, TypeError, "must map names"),
    "loss": ({"settings": {"a": {"loss": "hinge"}}}, ValueError, "`loss` must be one of"),
    "seed": ({"seed": -1}, ValueError, "`seed`"),
    "large seed": ({"seed": 2**31, "targets": "nearest"}, ValueError, r"`seed` .* below 2\*\*31"),
    "shard size": ({"shard_size": 0}, ValueError, "`shard_size`"),
    "large shard size": ({"shard_size": 2**49}, ValueError, "`shard_size` must be at most"),
    "workers": ({"workers": 2}, ValueError, "ray='local'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_before_anything_is_written(model, tmp_path, case):
    changes, kind, message = BAD[case]
    arguments = {"models": model, "images": np.full((3, 4), 0.5, np.float32), **changes}
    with pytest.raises(kind, match=message):
        itf.sweep(**arguments, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_sweep_is_extended_to_more_images(model, tmp_path):
    """Of 10 images in shards of 4 two shards are whole; the third is made again, with the new."""
    random = np.random.default_rng(5)
    more = random.uniform(size=(18, 4)).astype(np.float32), random.integers(0, 3, 18)
    first = [each[:10] for each in more]
    run(model, first, tmp_path / "sweep")
    kept = {p: t for p, t in files(tmp_path / "sweep").items() if not p.name.startswith("000002")}
    extended = run(model, more, tmp_path / "sweep")
    assert kept.items() <= files(tmp_path / "sweep").items() and len(kept) == 2
    whole = run(model, more, tmp_path / "whole").result()
    np.testing.assert_array_equal(extended.result().images, whole.images)
    np.testing.assert_array_equal(extended.result().targets, whole.targets)
    before = files(tmp_path / "sweep")
    assert run(model, more, tmp_path / "sweep").missing == 0
    assert files(tmp_path / "sweep") == before and len(before) == 5
    with pytest.raises(ValueError, match="holds another sweep"):
        run(model, first, tmp_path / "sweep")
    with pytest.raises(ValueError, match="holds another sweep"):
        run(model, [1 - more[0], more[1]], tmp_path / "sweep")


@pytest.mark.slow
def test_a_sweep_towards_given_targets_is_extended_with_them(model, tmp_path):
    images = np.random.default_rng(5).uniform(size=(11, 4)).astype(np.float32)
    targets = np.arange(11) % 3
    run(model, (images[:6], None), tmp_path / "sweep", targets=targets[:6])
    kept = files(tmp_path / "sweep").items()
    with pytest.raises(ValueError, match="holds another sweep"):
        run(model, (images, None), tmp_path / "sweep", targets=2 - targets)
    extended = run(model, (images, None), tmp_path / "sweep", targets=targets)
    assert set(kept) & set(files(tmp_path / "sweep").items())
    whole = run(model, (images, None), tmp_path / "whole", targets=targets)
    np.testing.assert_array_equal(extended.result().images, whole.result().images)


@pytest.mark.slow
def test_a_sweep_that_was_stopped_at_once_begins_again(model, data, tmp_path):
    """Whatever else is in the folder by then, a cell's folder without a shard for one."""
    done = run(model, data, tmp_path, shard_size=3)
    for file in files(tmp_path):
        (tmp_path / file).unlink()
    (tmp_path / "log.txt").write_text("mine")
    assert done.folder == tmp_path and not files(tmp_path)
    run(model, data, tmp_path, seed=7, shard_size=None)
    assert _manifest(Sweep(tmp_path))["shard_size"] != 3


@pytest.mark.slow
def test_a_folder_in_which_nothing_was_finished_is_free(model, data, tmp_path):
    images = data[0].copy()
    images[-1] = 0.5
    dataset = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(4)
    with pytest.raises(ValueError, match="no shuffling"):
        run(model, (dataset, None), tmp_path, seed=7)
    with pytest.raises(ValueError, match=r"`seed` must be .* below 2\*\*31"):
        run(model, data, tmp_path, seed=2**31)
    assert run(model, data, tmp_path).missing == 0
    with pytest.raises(ValueError, match="holds another sweep"):
        run(model, data, tmp_path, seed=7)


@pytest.mark.slow
def test_a_shard_is_a_batch_and_a_folder_keeps_its_size(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(itf.LBFGSAdversary, "batch_size", lambda self, shape: 9 - len(shape))
    assert _manifest(run(model, data, tmp_path / "new", shard_size=None))["shard_size"] == 8
    run(model, data, tmp_path / "old", shard_size=3)
    before = files(tmp_path / "old")
    assert run(model, data, tmp_path / "old", shard_size=None).missing == 0
    assert files(tmp_path / "old") == before and len(before) == 4


@pytest.mark.slow
def test_progress_is_shown_within_a_shard(model, data, tmp_path, capsys):
    run(model, data, tmp_path, verbose=True)
    shown = capsys.readouterr().err
    assert "sweep:" in shown and "adversary:" in shown


def _manifest(done):
    return json.loads((done.folder / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"settings": {"a": {"maxfn": 3}}}, r"settings\['a'\]` may have .*maxfun.*'maxfn'"),
        ({"settings": {"a": {"maxfun": 0}}}, "maxfun"),
        ({"folder": "file"}, "is a file, where a folder is needed"),
        ({"folder": "file/below"}, "is a file, where a folder is needed"),
    ],
)
def test_what_cannot_be_swept_is_told_before_the_data_are_read(
    changed, message, model, data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("intriguing_tf.sweeps.running.Source", None)
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        run(model, data, **{"folder": tmp_path / "new", **changed})
    assert not (tmp_path / "new").exists()
