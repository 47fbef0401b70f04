"""Sweeps that somebody changed: shards out of place, files of others, content that is none."""

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from intriguing_tf.store import Store, claim
from intriguing_tf.sweeps import Sweep
from intriguing_tf.sweeps.shards import ShardFolder
from tests.faults import mutations, tampering

PLAN = tampering.plan()
CELL = PLAN.cells[0]


@pytest.fixture
def folder(tmp_path):
    """A finished sweep of two cells and two slices."""
    tampering.write_sweep(tmp_path)
    return tmp_path


@pytest.fixture
def cell(folder):
    return folder / "shards" / CELL.folder


def shard(cell, index):
    return next(cell.glob(f"{index:06d}-*.npz"))


def write_as_shard(cell, index, content):
    shard(cell, index).unlink()
    file = cell / f"{index:06d}-{hashlib.sha256(content).hexdigest()[:32]}.npz"
    file.write_bytes(content)
    return file


def assert_damaged(folder, index=1):
    """Readers say so, and a sweep removes the shard and does it again."""
    with pytest.raises(ValueError, match="is damaged"):
        list(Sweep(folder).shards())
    with pytest.raises(ValueError, match="is damaged"):
        print(Sweep(folder))
    done = ShardFolder(folder, PLAN).whole()
    assert (CELL, index) not in done and len(done) == 3
    assert Sweep(folder).missing == 1


def test_a_copy_of_shard_0_in_the_place_of_shard_1(folder, cell):
    target = shard(cell, 1)
    shutil.copy(shard(cell, 0), cell / f"000001-{shard(cell, 0).name[7:]}")
    target.unlink()
    assert_damaged(folder)


def test_a_shard_of_another_cell(folder, cell):
    other = folder / "shards" / PLAN.cells[1].folder
    source = shard(other, 1)
    shard(cell, 1).unlink()
    shutil.copy(source, cell / source.name)
    assert_damaged(folder)


def test_a_shard_of_another_sweep(folder, cell, tmp_path_factory):
    other = ShardFolder(tmp_path_factory.mktemp("other"), dataclasses.replace(PLAN, seed=1))
    source = other.write(CELL, 1, np.zeros(5, np.int64), tampering.result(5))
    shard(cell, 1).unlink()
    shutil.copy(source, cell / source.name)
    assert_damaged(folder)


def test_a_shard_beyond_the_last_is_nobodys(folder, cell):
    shutil.copy(shard(cell, 0), cell / f"000007-{shard(cell, 0).name[7:]}")
    assert Sweep(folder).missing == 0 and len(list(Sweep(folder).shards())) == 4


CONTENT = {
    "empty": b"",
    "text": b"no archive",
    "an archive of something else": mutations.npz({"x": np.zeros(3)}),
    "no provenance": mutations.npz(
        {name: array for name, array in vars(tampering.result(5)).items() if name != "settings"}
    ),
}


@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_content_that_does_not_parse_under_the_right_sha256(folder, cell, content):
    write_as_shard(cell, 1, content)
    assert_damaged(folder)


SPOILED = {
    "another status": ("status", np.array(["lost"] * 5)),
    "fewer rows": ("distortion", np.zeros(4)),
    "another dtype": ("nfev", np.zeros(5)),
    "another image shape": ("images", np.zeros((5, 3, 3), "float32")),
    "no labels": ("labels", None),
    "labels of another length": ("labels", np.zeros(6, np.int64)),
    "objects": ("c", np.array([None] * 5, object)),
    "provenance of a number": ("provenance", np.array(5)),
    "provenance that is a list": ("provenance", np.array("[1]")),
}


@pytest.mark.parametrize(("name", "array"), SPOILED.values(), ids=SPOILED)
def test_arrays_that_are_not_a_results(folder, cell, name, array):
    with np.load(shard(cell, 1)) as stored:
        arrays = dict(stored) | {name: array}
    write_as_shard(
        cell, 1, mutations.npz({key: value for key, value in arrays.items() if value is not None})
    )
    assert_damaged(folder)


@pytest.mark.parametrize("field", ["plan", "index", "cell", "model", "seed", "settings"])
@pytest.mark.parametrize("value", [[], {}, [[1]], None, 1e400, "x"], ids=str)
def test_provenance_of_other_types(folder, cell, field, value):
    with np.load(shard(cell, 1)) as stored:
        arrays = dict(stored)
    provenance = json.loads(str(arrays["provenance"])) | {field: value}
    write_as_shard(
        cell, 1, mutations.npz(arrays | {"provenance": np.array(json.dumps(provenance))})
    )
    assert_damaged(folder)


def test_a_damaged_file_beside_the_shard_does_not_hide_it(folder, cell):
    for first in "0f":
        (cell / f"000001-{32 * first}.npz").write_bytes(b"damaged")
    assert len(list(Sweep(folder).shards())) == 4
    assert len(ShardFolder(folder, PLAN).whole()) == 4
    assert len(list(cell.iterdir())) == 2


def test_files_of_others_are_left_alone(folder, cell):
    name = shard(cell, 0).name
    others = []
    for place in (folder, folder / "shards", cell):
        (place / ".ipynb_checkpoints").mkdir()
        for other in (
            f".ipynb_checkpoints/{name}", f".{name}.swp", "notes.npz", ".DS_Store",
            "000000-copy.npz", ".manifest.json.swp",
        ):  # fmt: skip
            (place / other).write_bytes(b"precious")
            others.append(place / other)
    (cell / f".{name}.a1b2c3d4").touch()  # what a killed process leaves
    claim(folder, PLAN.manifest())
    assert len(ShardFolder(folder, PLAN).whole()) == 4 and Sweep(folder).missing == 0
    assert all(other.read_bytes() == b"precious" for other in others)
    assert not (cell / f".{name}.a1b2c3d4").exists()


def test_a_store_leaves_hidden_folders_alone(tmp_path):
    hidden = tmp_path / ".ipynb_checkpoints" / "piece"
    hidden.mkdir(parents=True)
    (hidden / "made.json").write_text("{}")
    strange = tmp_path / "kind" / ".a-0123.unfinished"
    strange.parent.mkdir()
    strange.write_text("a file")
    with Store(tmp_path):
        pass
    assert (hidden / "made.json").exists() and strange.exists()


@pytest.mark.parametrize("record", ["", "[]", "{", '{"format": 2}', '{"format": 2, "files": []}'])
def test_a_record_that_does_not_parse_is_a_damaged_piece(tmp_path, record):
    calls = []
    for _ in range(2):
        with Store(tmp_path) as store:
            piece = store.make("kind/a", {}, lambda folder: calls.append(folder))
        (piece.folder / "made.json").write_text(record)
    assert len(calls) == 2


def test_links_are_not_followed(folder, cell, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    target = shutil.move(shard(cell, 1), outside / "shard.npz")
    (cell / f"000001-{32 * '0'}.npz").symlink_to(target)
    os.mkfifo(cell / f"000001-{32 * '1'}.npz")
    assert Sweep(folder).missing == 1
    assert len(ShardFolder(folder, PLAN).whole()) == 3 and target.exists()
    shutil.move(cell, outside / "cell")
    cell.symlink_to(outside / "cell")
    with pytest.raises(ValueError, match="a link"):
        ShardFolder(folder, PLAN).whole()
    assert len(list((outside / "cell").iterdir())) == 3


def test_a_shard_that_is_too_large_is_not_read(folder, cell):
    os.truncate(shard(cell, 1), 1 << 40)
    assert_damaged(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'"x"', b"{", b"\xff", b"[" * 99_999])
def test_a_manifest_that_is_none(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json is not a manifest"):
        Sweep(folder)
    with pytest.raises(ValueError, match=r"manifest\.json is not a manifest"):
        claim(folder, PLAN.manifest())
