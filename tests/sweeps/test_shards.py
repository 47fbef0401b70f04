"""Shards: what they hold, only those that are missing are made, damaged ones are found."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.fingerprints import model_fingerprint
from intriguing_tf.sweeps import Sweep
from tests.sweeps.small_sweep import files, run


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
    with pytest.raises(ValueError, match="missing shards: 1"):
        Sweep(folder).result()
    after_sweep = run(model, data, folder)
    after = files(folder)
    assert after_sweep.missing == 0 and len(after) == 3
    assert {k: v for k, v in before.items() if k != gone}.items() <= after.items()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_found_and_recomputed(model, data, folder, damage):
    first = Sweep(folder).result()
    victim = folder / sorted(files(folder))[1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes({"flip": content, "cut": content[:99], "empty": b""}[damage])
    with pytest.raises(ValueError, match="damaged"):
        Sweep(folder).result()
    again = run(model, data, folder).result()
    np.testing.assert_array_equal(again.images, first.images)


@pytest.mark.slow
def test_a_shard_in_the_place_of_another_is_damaged(model, data, folder):
    first = Sweep(folder).result()
    paths = sorted((folder / "shards").glob("*/*.npz"))
    misplaced = paths[1].with_name(f"000001-{paths[0].name.partition('-')[2]}")
    paths[1].unlink()
    shutil.copy(paths[0], misplaced)
    with pytest.raises(ValueError, match="whose place is another"):
        Sweep(folder).result()
    again = run(model, data, folder)
    assert not misplaced.exists() and again.missing == 0
    np.testing.assert_array_equal(again.result().images, first.images)


@pytest.mark.slow
def test_what_a_killed_process_left_is_removed_and_others_files_are_not(model, data, folder):
    cell = next((folder / "shards").iterdir())
    leftover = cell / f".000001-{32 * '0'}.npz.abcd1234"
    leftover.touch()
    others = [folder, folder / "shards", cell]
    for place in others:
        (place / ".ipynb_checkpoints").mkdir()
        (place / "notes.txt").touch()
    run(model, data, folder)
    assert not leftover.exists()
    for place in others:
        assert (place / ".ipynb_checkpoints").exists() and (place / "notes.txt").exists()
