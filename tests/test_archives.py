"""Arrays of anyone: data only, within a budget, one kind of error."""

import io
import zipfile

import numpy as np
import pytest

from intriguing_tf.archives import read_arrays, read_json

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


@pytest.mark.parametrize(
    "text", ["{", b"\xff", "[" * 100_000, "", '{"a": 1}}', "[1" + 400 * "0" + "]", 5000 * "9"]
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError, match="not JSON"):
        read_json(text)
