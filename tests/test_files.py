"""Files are written atomically."""

import os
from pathlib import Path

import pytest

from intriguing_tf.files import expanded, leftovers, meant_by, read_content, write_atomically


def test_text_and_bytes_are_written_and_folders_made(tmp_path):
    path = write_atomically(tmp_path / "a" / "b" / "text.txt", "größer")
    assert path.read_bytes() == "größer".encode()
    assert write_atomically(str(path), b"\x00\xff").read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["text.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_path_begins_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write_atomically("~/a/text.txt", "x") == tmp_path / "a" / "text.txt"
    assert (tmp_path / "a" / "text.txt").read_text() == "x"
    assert expanded("a/~") == Path("a/~") and expanded("~nobody-of-this-name/a").parts[-1] == "a"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "file", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_content_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "file", 3)
    assert os.listdir(tmp_path) == []


def test_only_temporary_files_of_ours_are_left_over(tmp_path):
    ours = tmp_path / ".a1.npz.k3_x9abc"
    others = [".a1.npz.swp", ".a1.npz.k3_x9abcd", "a1.npz.k3_x9abc", ".b.npz.k3_x9abc"]
    for name in (ours.name, *others):
        (tmp_path / name).touch()
    (tmp_path / ".a2.npz.k3_x9abc").mkdir()
    (tmp_path / ".a3.npz.k3_x9abc").symlink_to(ours)
    assert leftovers(tmp_path, r"a\d\.npz") == [ours]
    assert leftovers(tmp_path / "none", "a") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are Unix's")
def test_pipes_and_large_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="a pipe or a device"):
        read_content(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(ValueError, match=r"may have 4 bytes. Received: 5"):
        read_content(tmp_path / "file", 4)
    assert read_content(tmp_path / "file", 5) == b"12345"


def test_a_mistyped_name_is_known(tmp_path):
    (tmp_path / "My.keras").touch()
    (tmp_path / "pictures").mkdir()
    assert meant_by(tmp_path / "my.keras") == f" Did you mean {tmp_path / 'My.keras'}?"
    assert meant_by(str(tmp_path / "picture")) == f" Did you mean {tmp_path / 'pictures'}?"
    assert meant_by(tmp_path / "weights.h5") == meant_by(tmp_path / "no" / "my.keras") == ""
