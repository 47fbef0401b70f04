"""Budgets, and the boundary that every reader of foreign bytes is inside."""

import dataclasses
import inspect
import io
import json
import os
import re
import zipfile

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import foreign
from intriguing_tf.zoo.foreign import BUDGET, Budget


class Bomb:
    """An object whose text must not be asked for."""

    def __repr__(self):
        raise AssertionError("it was formatted")

    __str__ = __repr__


@pytest.mark.parametrize(
    "fault",
    [
        KeyError(Bomb()),
        ValueError(Bomb(), "a text"),
        MemoryError(),
        RecursionError("too deep"),
        StopIteration(),
        AttributeError("no such"),
        zipfile.BadZipFile("no zip"),
        OSError(22, "Invalid argument"),
        type("Own", (Exception,), {"__str__": lambda self: 1 / 0})(Bomb()),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_whatever_goes_wrong_is_one_error_that_names_the_file(fault):
    error = pytest.raises(zoo.IntegrityError, match=r"^w\.npz is not a file: .+\.$")
    with error as caught, foreign.reading("w.npz", "a file"):
        raise fault
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_what_ends_the_program_is_not_held_back():
    for fault in (KeyboardInterrupt, SystemExit):
        with pytest.raises(fault), foreign.reading("w.npz", "a file"):
            raise fault


def test_texts_in_messages_are_printable_and_short():
    error = pytest.raises(zoo.CatalogueError)
    with error as caught, foreign.reading("x", "y", zoo.CatalogueError):
        raise ValueError("\x1b[2J\n\u202e" + "a" * 10_000)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "value",
    [10**10_000, "x" * 10**6, [[[[]]] * 10**5], {"a": {"b": {"c": 1}}}],
    ids=["number", "text", "list", "object"],
)
def test_values_are_shown_short(value):
    assert len(foreign.shown(value)) < 400


def test_every_budget_is_documented():
    fields = {field.name for field in dataclasses.fields(Budget)}
    assert set(re.findall(r"^    (\w+): ", inspect.getdoc(Budget), re.M)) == fields


def test_only_regular_files_within_the_budget_are_read(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"four")
    assert foreign.read_bytes(file) == b"four"
    with pytest.raises(zoo.IntegrityError, match="may have 3 bytes"):
        foreign.read_bytes(file, Budget(file=3))
    with pytest.raises(FileNotFoundError):
        foreign.read_bytes(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        foreign.read_bytes(tmp_path)
    with pytest.raises(TypeError):
        foreign.read_bytes(0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are Unix's")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(zoo.IntegrityError, match="regular"):
        foreign.read_bytes(tmp_path / "pipe")


def zipped(number=1, method=zipfile.ZIP_STORED, content=b"x" * 1000):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for index in range(number):
            archive.writestr(f"m{index}", content)
    return stream.getvalue()


def opened(content, **options):
    with foreign.archive(content, **options) as archive:
        return archive.namelist()


def test_archives_within_the_budget_are_opened():
    assert opened(zipped(3)) == ["m0", "m1", "m2"]
    assert opened(zipped(3, zipfile.ZIP_DEFLATED), methods=(0, 8), largest=3000)


@pytest.mark.parametrize(
    "content, options, words",
    [
        (zipped(6), {"budget": Budget(members=5)}, "members: 6, and 5"),
        (zipped(1, zipfile.ZIP_DEFLATED), {}, "compressed"),
        (zipped(1, zipfile.ZIP_BZIP2), {"methods": (0, 8)}, "compressed"),
        (zipped(1, zipfile.ZIP_DEFLATED, bytes(10**6)), {"methods": (0, 8)}, "unpacked"),
        (zipped(3, zipfile.ZIP_DEFLATED), {"methods": (0, 8), "largest": 2999}, "unpacked"),
        (zipped(2).replace(b"m1", b"m0"), {}, "same name"),
    ],
    ids=["many", "deflated", "bzip2", "ratio", "size", "names"],
)
def test_archives_beyond_it_are_not(content, options, words):
    with pytest.raises(zoo.IntegrityError, match=words):
        opened(content, **options)


def test_json_within_the_budget():
    value = {"a": [1, None, {"b": "c"}]}
    assert foreign.json_values(json.dumps(value).encode()) == value
    deepest = b"[" * BUDGET.depth + b"]" * BUDGET.depth
    foreign.json_values(deepest)
    with pytest.raises(zoo.IntegrityError, match="deep"):
        foreign.json_values(b"[" + deepest + b"]")
    for budget in (Budget(json=10), Budget(values=3)):
        with pytest.raises(zoo.IntegrityError, match="are accepted"):
            foreign.json_values(json.dumps(value).encode(), budget=budget)
