"""The store: made once, under a key of everything, by one process, recomputed when damaged."""

import json
import multiprocessing
import os
import shutil
import time
from typing import Any

import keras
import pytest

from intriguing_tf.store import MANIFEST, Store, claim, differences, locked


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as store:
        yield store


class Work:
    """Fills a folder and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "inner").mkdir()
        (folder / "inner" / "number.txt").write_text("42")


def test_a_piece_is_made_once_and_found_by_the_next_process(tmp_path):
    work = Work()
    for _ in range(2):
        with Store(tmp_path) as store:
            pieces = [store.make("numbers/The answer", {"seed": 0}, work) for _ in range(2)]
            assert pieces[0] == pieces[1]
            assert store.seconds == {pieces[0].folder.name: pieces[0].seconds}
    assert work.calls == 1
    assert pieces[0].folder.parent == tmp_path / "numbers"
    assert pieces[0].folder.name.startswith("the_answer-")
    assert (pieces[0].folder / "inner" / "number.txt").read_text() == "42"


def test_other_keys_and_versions_are_other_pieces(store, monkeypatch):
    work = Work()
    first = store.make("numbers/a", {"seed": 0, "data": "x"}, work)
    assert store.make("numbers/a", {"data": "x", "seed": 0}, work) == first
    assert store.make("numbers/a", {"seed": 1, "data": "x"}, work) != first
    monkeypatch.setattr(keras, "__version__", "99")
    assert store.make("numbers/a", {"seed": 0, "data": "x"}, work) != first
    other_kind = store.make("sums/a", {"seed": 0, "data": "x"}, work)
    assert other_kind.folder.parent.name == "sums"
    assert work.calls == 4


@pytest.mark.parametrize("damage", ["changed", "cut", "removed", "added", "record"])
def test_a_damaged_piece_is_recomputed(tmp_path, damage):
    work = Work()
    with Store(tmp_path) as store:
        folder = store.make("numbers/a", {}, work).folder
    file = folder / "inner" / "number.txt"
    {
        "changed": lambda: file.write_text("43"),
        "cut": lambda: file.write_text(""),
        "removed": file.unlink,
        "added": lambda: (folder / "more").touch(),
        "record": (folder / "made.json").unlink,
    }[damage]()
    with Store(tmp_path) as store:
        assert store.make("numbers/a", {}, work).folder == folder
    assert work.calls == 2 and file.read_text() == "42"
    assert sorted(each.name for each in folder.iterdir()) == ["inner", "made.json"]


def test_work_that_fails_leaves_nothing(store, tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make("numbers/a", {}, fail)
    assert list((tmp_path / "numbers").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    others = [tmp_path / "numbers" / name for name in (".ipynb_checkpoints", "mine", ".gitignore")]
    for other in others:
        other.mkdir(parents=True)
    leftover = tmp_path / "numbers" / ".a-0123.unfinished"
    leftover.mkdir()
    with Store(tmp_path):
        assert not leftover.exists() and all(other.exists() for other in others)


def test_pieces_made_on_the_way_count_their_own_seconds(store):
    def inner(folder):
        time.sleep(0.2)

    def outer(folder):
        store.make("numbers/inner", {}, inner)

    outside = store.make("numbers/outer", {}, outer)
    assert outside.seconds < 0.1 < 0.2 <= store.make("numbers/inner", {}, inner).seconds


@pytest.mark.parametrize("verbose", [True, False])
def test_what_is_being_made_is_named_on_stderr(tmp_path, capsys, verbose):
    with Store(tmp_path, verbose) as store:
        for _ in range(2):
            store.make("numbers/The answer", {}, Work())
    assert capsys.readouterr() == ("", "The answer\n" if verbose else "")


def test_a_record_says_what_the_piece_was_made_from(store):
    folder = store.make("numbers/a", {"seed": 3}, Work()).folder
    made_from = json.loads((folder / "made.json").read_text())["made_from"]
    assert made_from["seed"] == 3
    assert made_from["versions"]["keras"] == keras.__version__


def test_work_of_earlier_releases_is_refused_with_a_word_on_what_to_do(tmp_path):
    piece = tmp_path / "attacks" / "a-0123"
    piece.mkdir(parents=True)
    (piece / "made.json").write_text('{"made_from": {}, "seconds": 1.0}')
    with pytest.raises(ValueError, match=r"Give another folder.*attacks.a-0123.made\.json"):
        Store(tmp_path).__enter__()
    shutil.rmtree(piece)
    (tmp_path / "a.seconds").touch()
    with pytest.raises(ValueError, match=r"Received: a folder with 'a\.seconds'"):
        Store(tmp_path, outdated=["*.seconds"]).__enter__()
    with Store(tmp_path), locked(tmp_path / "other"):
        pass


def hold(folder, held):
    with locked(folder):
        held.set()
        time.sleep(600)


def test_a_second_process_is_refused(tmp_path):
    # Forked where that is possible: it needs no TensorFlow of its own.
    processes: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    held = processes.Event()
    other = processes.Process(target=hold, args=(tmp_path, held), daemon=True)
    other.start()
    assert held.wait(100)
    with pytest.raises(RuntimeError, match="Another process"), locked(tmp_path):
        pass
    other.kill()
    other.join()
    with locked(tmp_path):
        pass


def test_a_folder_is_claimed_for_one_piece_of_work(tmp_path):
    manifest = {"kind": "walk", "format": 2, "a": {"x": 1, "y": [1, 2]}}
    (tmp_path / ".DS_Store").touch()
    (tmp_path / ".manifest.json.abcd_123").touch()
    (tmp_path / ".manifest.json.swp").touch()
    assert claim(tmp_path, manifest) == manifest
    assert sorted(os.listdir(tmp_path)) == [".DS_Store", ".manifest.json.swp", MANIFEST]
    assert claim(tmp_path, {"a": {"y": [1, 2], "x": 1}, "kind": "walk", "format": 2}) == manifest
    with pytest.raises(ValueError, match=r"another walk(.|\n)*a\.y\[1\]: 2 in the folder, 3 now"):
        claim(tmp_path, manifest | {"a": {"x": 1, "y": [1, 3]}})
    with pytest.raises(ValueError, match=r"format 2, which(.|\n)*give another folder"):
        claim(tmp_path, manifest | {"format": 3})
    assert json.loads((tmp_path / MANIFEST).read_text()) == manifest


def test_a_folder_of_something_else_is_not_claimed(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        claim(tmp_path, {"kind": "walk", "format": 1})
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"read again.*integer of 26 digits"):
        claim(tmp_path, {"kind": "walk", "format": 1, "a": 10**25})
    assert not os.listdir(tmp_path)


def test_differences_name_what_is_missing():
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"d": 2}}) == [
        "b.c: 2 in the folder, null now",
        "b.d: null in the folder, 2 now",
    ]
