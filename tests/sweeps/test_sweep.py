"""A sweep's shards against the adversary itself, resumed, refused, damaged and read back."""

import csv
import json
import shutil

import filelock
import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.sweeps import Sweep
from intriguing_tf.sweeps.fingerprints import model_fingerprint

FAST = {"fast": {"maxfun": 25, "jit_compile": False, "solver": "scipy"}}
ARRAYS = ("images", "originals", "targets", "predictions", "status", "distortion", "l2")


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="scores")], name="m")
    model.set_weights([4 * random.normal(size=(4, 3)), random.normal(size=3)])
    return model


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(1)
    return random.uniform(size=(10, 4)).astype(np.float32), random.integers(0, 3, 10)


@pytest.fixture(scope="module")
def done(model, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    targets = ["random", "least_likely", "nearest"]
    return run(model, data, folder, targets=targets)


@pytest.fixture(scope="module")
def template(model, data, tmp_path_factory):
    return run(model, data, tmp_path_factory.mktemp("template")).folder


@pytest.fixture
def folder(template, tmp_path):
    """A copy of a finished sweep of three shards."""
    return shutil.copytree(template, tmp_path / "sweep")


def run(model, data, folder, shard_size=4, settings=FAST, **arguments):
    return itf.sweep(
        model, *data, folder=folder, settings=settings, shard_size=shard_size, **arguments
    )


def files(folder):
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in folder.rglob("*.npz")}


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


def test_every_shard_says_what_made_it(done, model, data):
    shards = list(done.shards(targets="random"))
    assert [shard.rows for shard in shards] == [range(0, 4), range(4, 8), range(8, 10)]
    for shard in shards:
        provenance = shard.provenance
        assert provenance["model"] == model_fingerprint(model)
        assert provenance["seed"] == 0
        assert provenance["settings"]["maxfun"] == 25
        assert provenance["settings"]["versions"]["tensorflow"] == tf.__version__
        np.testing.assert_array_equal(shard.labels, data[1][shard.rows.start : shard.rows.stop])


@pytest.mark.slow
def test_only_what_is_missing_is_made_again(model, data, folder):
    before = files(folder)
    gone = sorted(before)[1]
    (folder / gone).unlink()
    assert Sweep(folder).missing == 1
    with pytest.raises(ValueError, match="1 shards of the sweep"):
        Sweep(folder).result()
    after_sweep = run(model, data, folder)
    after = files(folder)
    assert after_sweep.missing == 0 and len(after) == 3
    assert {k: v for k, v in before.items() if k != gone}.items() <= after.items()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_found_and_made_anew(model, data, folder, damage):
    first = Sweep(folder).result()
    victim = folder / sorted(files(folder))[1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes({"flip": content, "cut": content[:99], "empty": b""}[damage])
    with pytest.raises(ValueError, match="damaged"):
        Sweep(folder).result()
    again = run(model, data, folder).result()
    np.testing.assert_array_equal(again.images, first.images)


def changed_model(model):
    other = keras.models.clone_model(model)
    weights = model.get_weights()
    weights[0][0, 0] += 1e-3
    other.set_weights(weights)
    return {"m": other}


CHANGES = {
    "seed": ({"seed": 1}, "seed: 0 in the folder, 1 now"),
    "shard size": ({"shard_size": 5}, "shard_size: 4 in the folder, 5 now"),
    "settings": ({"settings": {"fast": {**FAST["fast"], "loss": "margin"}}}, "settings.fast.loss"),
    "targets": ({"targets": "nearest"}, "targets.nearest"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_settings_are_refused_by_name(model, data, folder, change):
    before = files(folder)
    arguments, message = CHANGES[change]
    with pytest.raises(ValueError, match="holds another sweep") as error:
        run(model, data, folder, **arguments)
    assert message in str(error.value)
    assert files(folder) == before


def test_other_weights_images_labels_and_versions_are_refused(model, data, folder, monkeypatch):
    images, labels = data
    with pytest.raises(ValueError, match=r"models\.m\.sha256"):
        run(changed_model(model), data, folder)
    with pytest.raises(ValueError, match=r"data\.slices\[2\]"):
        run(model, (np.concatenate([images[:-1], images[:1]]), labels), folder)
    with pytest.raises(ValueError, match=r"data\.slices\[0\]"):
        run(model, (images, (labels + 1) % 3), folder)
    monkeypatch.setattr(keras, "__version__", "99")
    with pytest.raises(ValueError, match=r"versions\.keras"):
        run(model, data, folder)


@pytest.mark.slow
def test_the_order_of_names_does_not_matter(model, data, tmp_path):
    few = [each[:4] for each in data]
    run({"a": model, "b": model}, few, tmp_path)
    before = files(tmp_path)
    run({"b": model, "a": model}, few, tmp_path)
    assert files(tmp_path) == before and len(before) == 2


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


@pytest.mark.slow
def test_a_data_set_gives_the_same_shards_as_arrays(done, model, data, tmp_path):
    stream = tf.data.Dataset.from_tensor_slices(data)
    other = run(model, (stream,), tmp_path)
    for a, b in zip(done.shards(targets="random"), other.shards(), strict=True):
        np.testing.assert_array_equal(a.result.images, b.result.images)
        np.testing.assert_array_equal(a.labels, b.labels)


def test_a_shuffled_data_set_is_refused(model, data, tmp_path):
    stream = tf.data.Dataset.from_tensor_slices(data).shuffle(10)
    with pytest.raises(ValueError, match="shuffling"):
        run(model, (stream,), tmp_path)


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
    path = done.write_table(tmp_path / f"table{suffix}")
    if suffix == ".csv":
        with path.open() as file:
            rows = list(csv.DictReader(file))
    else:
        parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
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
    assert manifest["settings"]["fast"]["loss"] == "cross_entropy"
    with pytest.raises(FileNotFoundError, match="no sweep"):
        Sweep(done.folder / "shards")


def test_names_are_checked_when_results_are_read(done):
    with pytest.raises(ValueError, match="no targets 'nearset'"):
        done.result(targets="nearset")
    with pytest.raises(ValueError, match="fit 3 cells"):
        done.result()
    with pytest.raises(ValueError, match=r"csv or \.parquet"):
        done.write_table("table.xls")


BAD = {
    "bounds": ({"images": 2 * np.ones((3, 4), np.float32)}, ValueError, "bounds"),
    "nan": ({"images": np.full((3, 4), np.nan, np.float32)}, ValueError, "finite"),
    "none": ({"images": np.zeros((0, 4), np.float32)}, ValueError, "At least one image"),
    "scalar": ({"images": 3}, TypeError, "must be an array"),
    "labels": ({"labels": [0, 1]}, ValueError, "one for each image"),
    "classes": ({"labels": [0, 1, 7]}, ValueError, "between 0 and 2"),
    "targets": ({"targets": "hardest"}, ValueError, "least_likely"),
    "given targets": ({"targets": [0, 1, 3]}, ValueError, "between 0 and 2"),
    "name": ({"models": {"../m": None}}, ValueError, "Names in `models`"),
    "settings": ({"settings": {"loss": "margin"}}, TypeError, "must map names"),
    "loss": ({"settings": {"a": {"loss": "hinge"}}}, ValueError, "`loss` must be one of"),
    "seed": ({"seed": -1}, ValueError, "`seed`"),
    "shard size": ({"shard_size": 0}, ValueError, "`shard_size`"),
    "workers": ({"workers": 2}, ValueError, "ray='local'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_before_anything_is_written(model, tmp_path, case):
    changes, kind, message = BAD[case]
    arguments = {"models": model, "images": np.full((3, 4), 0.5, np.float32), **changes}
    with pytest.raises(kind, match=message):
        itf.sweep(**arguments, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_fingerprints_see_weights_and_activations_but_not_names():
    def build(activation="relu", seed=0):
        keras.utils.set_random_seed(seed)
        x = keras.Input((4,))
        y = keras.layers.Dense(4, activation=activation)(x)
        return keras.Model(x, keras.layers.Dense(2)(keras.layers.Add()([x, y])))

    first = model_fingerprint(build())
    assert model_fingerprint(build()) == first
    assert model_fingerprint(build("tanh")) != first
    assert model_fingerprint(build(seed=1)) != first
