"""Files are written atomically."""

import errno
import os
from pathlib import Path

import pytest

from intriguing_tf.files import (
    check_folder,
    check_places,
    expanded,
    leftovers,
    meant_by,
    not_there,
    read_content,
    short_stem,
    unreadable,
    write_atomically,
)


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
    assert expanded("a/~") == Path("a/~")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"No home folder .*'~no-one'.* Received: ~no-one/a\."):
        expanded("~no-one/a")
    (tmp_path / "~no-one").mkdir()
    assert expanded("~no-one/a") == Path("~no-one/a")
    with pytest.raises(ValueError, match="A path is needed"):
        expanded("")
    assert expanded(".") == Path(".")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is full")
def test_a_full_disk_is_said_of_the_file(tmp_path, monkeypatch):
    opened = os.fdopen
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: os.close(handle) or opened(full, mode))
    with pytest.raises(OSError, match=r"No space left on device: .*result\.npz") as error:
        write_atomically(tmp_path / "result.npz", b"x")
    assert error.value.errno == errno.ENOSPC and not os.listdir(tmp_path)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "file", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_name_that_is_no_text_does_not_lose_what_is_written(tmp_path):
    path = write_atomically(tmp_path / "file", "caf\udce9 é")
    assert path.read_text("utf-8") == r"caf\udce9 é"


@pytest.mark.parametrize("letter", ["a", "ж", "\U00020000", "\udcff"])
def test_a_long_stem_leaves_room_for_what_else_is_in_a_name(letter, tmp_path):
    stem = short_stem(letter * 250)
    assert len(os.fsencode(stem)) <= 210 and stem != short_stem(letter * 251)
    assert letter == "\udcff" or stem.startswith(letter * 50)
    path = write_atomically(tmp_path / f"{'b' * 10}{stem}{'e' * 15}", b"")
    assert write_atomically(path.with_name(f".{path.name}.12345678"), b"").is_file()
    assert short_stem(letter * 50) == letter * 50


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
    (tmp_path / "dead.keras").symlink_to(tmp_path / "none")
    assert meant_by(tmp_path / "deaf.keras") == ""
    assert meant_by(tmp_path / "weights.h5") == meant_by(tmp_path / "no" / "my.keras") == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are Unix's")
def test_what_stands_in_a_files_place_is_said(tmp_path):
    """A name is not suggested in place of itself."""
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "dead.npz").symlink_to(tmp_path / "none.npz")
    (tmp_path / "round.npz").symlink_to(tmp_path / "round.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    for name, reason in {
        "folder.npz": "is a folder",
        "dead.npz": f"is a link to {tmp_path / 'none.npz'}, which is not there",
        "round.npz": "is a link to",
        "pipe.npz": "is a pipe",
        "none.npz": "no such file",
    }.items():
        said = str(not_there(tmp_path / name))
        assert reason in said and f"Did you mean {tmp_path / name}?" not in said


def test_no_error_has_a_terminal_do_what_a_path_says(tmp_path):
    evil, near = "\x1b[31mred.npz", "\x1b[31mrd.npz"
    (tmp_path / evil).symlink_to(tmp_path / "\x1b[2Jnone")
    (tmp_path / near).mkdir()
    (tmp_path / "\x1bfile").write_bytes(b"12345")
    said = [
        not_there(tmp_path / evil),
        not_there(tmp_path / near),
        not_there(tmp_path / "\x1b[31mr.npz"),
        unreadable(tmp_path / evil),
    ]
    for use in (
        lambda: check_folder(tmp_path / "\x1bfile" / "below"),
        lambda: read_content(tmp_path / "\x1bfile", largest=2),
        lambda: expanded("~\x1b[31m/a"),
    ):
        with pytest.raises((OSError, ValueError)) as error:
            use()
        said.append(error.value)
    for each in map(str, said):
        assert "\x1b" not in each and r"\x1b" in each
    assert "Did you mean" in str(said[2])


def test_what_would_be_replaced_is_told_before_the_work(tmp_path):
    check_places(tmp_path / "new", ["a", "b/c"], own=False)
    (tmp_path / "a").write_text("mine")
    check_places(tmp_path, ["b/c"], own=False)
    check_places(tmp_path, ["a", "b/c"], own=True)
    with pytest.raises(ValueError, match=r"would be replaced.*Received: a\.$"):
        check_places(tmp_path, ["b/c", "a"], own=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c").symlink_to("nowhere")
    with pytest.raises(ValueError, match=r"would be replaced.*Received: b/c\.$"):
        check_places(tmp_path, ["b/c"], own=False)
    for own in (False, True):
        with pytest.raises(ValueError, match="/a must be a folder, or not be there"):
            check_places(tmp_path, ["a/b/c"], own)
        with pytest.raises(ValueError, match="/a must be a folder, or not be there"):
            check_places(tmp_path / "a", ["b"], own)
    with pytest.raises(ValueError, match="/b must be a file, or not be there"):
        check_places(tmp_path, ["b"], own=True)


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dead").symlink_to(tmp_path / "none")
    assert check_folder(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    for path in ("file", "file/below/it", "dead/below"):
        with pytest.raises(NotADirectoryError, match="is a file, where a folder is needed"):
            check_folder(tmp_path / path)
