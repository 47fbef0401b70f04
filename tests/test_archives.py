"""Arrays of anyone: data only, within a budget, one kind of error."""

import io
import zipfile

import numpy as np
import pytest

from intriguing_tf.archives import own_arrays, read_arrays, read_json

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yy"])}


def npz(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def zipped(method, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.npy", data)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read_back(save):
    found = read_arrays(npz(save, **ARRAYS, other=np.zeros(3)), [*ARRAYS, "missing"])
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


HEADER = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"
BAD = {
    "empty": b"",
    "text": b"not a zip",
    "objects": npz(a=np.array([{}], object)),
    "a bomb": zipped(zipfile.ZIP_DEFLATED, bytes(100 << 20)),
    "bz2": zipped(zipfile.ZIP_BZIP2, b"x"),
    "many members": npz(**{f"x{i}": np.zeros(1) for i in range(300)}),
    "a shape that is not there": zipped(0, (HEADER % b"9999999999999").ljust(79) + b"\n"),
    "more than the array": zipped(0, (HEADER % b"0").ljust(79) + b"\nx"),
}  # fmt: skip


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_anything_else_is_refused(content):
    with pytest.raises(ValueError, match=r"not a \.npz of plain arrays"):
        read_arrays(content, ["a"])


def test_an_npz_of_ones_own_is_read_whatever_its_size(tmp_path):
    np.savez_compressed(tmp_path / "my.npz", **ARRAYS, zeros=np.zeros(4 << 20))
    found = own_arrays(tmp_path / "my.npz")
    assert set(found) == {*ARRAYS, "zeros"} and len(found["zeros"]) == 4 << 20
    assert set(own_arrays(str(tmp_path / "my.npz"), ["a", "missing"])) == {"a"}
    with pytest.raises(FileNotFoundError, match="none"):
        own_arrays(tmp_path / "none.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_changed_byte_is_an_error_that_names_the_file(save, tmp_path):
    """Wherever it is: it goes unnoticed, as in a time stamp, or the file is named."""
    content = npz(save, a=np.random.default_rng(0).uniform(size=9))
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        (tmp_path / "my.npz").write_bytes(damaged)
        try:
            own_arrays(tmp_path / "my.npz")
        except ValueError as error:
            assert "my.npz is not an .npz file" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"text", npz(**ARRAYS)[:-30], npz(a=np.array([{}]))])
def test_what_is_no_npz_of_ones_own_is_named(content, tmp_path):
    (tmp_path / "my.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"my\.npz is not an \.npz file of plain arrays"):
        own_arrays(tmp_path / "my.npz")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        b"\xff",
        "[" * 100_000,
        "[" * 900 + "]" * 900,
        '{"a":' * 70 + "1" + "}" * 70,
        "",
        '{"a": 1}}',
        "[1" + 400 * "0" + "]",
        5000 * "9",
    ],
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError, match="not JSON"):
        read_json(text)
