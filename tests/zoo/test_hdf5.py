"""The reader of HDF5 against the HDF5 library, and what it refuses."""

import io
import struct

import h5py
import numpy as np
import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import hdf5
from intriguing_tf.zoo.foreign import Budget


def written(fill, **options):
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as file:
        fill(file)
    return stream.getvalue()


def as_h5py_reads(content):
    found = {}
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]} if hasattr(item, "dtype") else {})
        )
    return found


@pytest.mark.parametrize("groups", [1, 40, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.drawn(2)
def test_it_reads_what_the_library_reads(groups):
    def fill(file):
        for index in range(groups):
            group = file.create_group(f"layers/dense_{index}/vars")
            group.attrs["name"] = f"fc{index}"
            group["0"] = np.full((2, 3), index, "float32")
        file.create_group("empty")

    content = written(fill)
    found, expected = hdf5.read_arrays(content), as_h5py_reads(content)
    assert found.keys() == expected.keys()
    for path, array in found.items():
        np.testing.assert_array_equal(array, expected[path])


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_every_type_of_number_and_shape(dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = hdf5.read_arrays(written(lambda file: file.create_dataset("x", data=array)))["x"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "dataset, words",
    [
        ({"data": np.zeros(4, ">f4")}, "not numbers"),
        ({"data": np.zeros(4, "complex64")}, "not numbers"),
        ({"data": ["text"], "dtype": h5py.string_dtype()}, "not numbers"),
        ({"data": np.zeros(1000), "compression": "gzip"}, "compressed"),
        ({"data": np.zeros(1000), "chunks": (10,)}, "in pieces"),
        ({"shape": (10**6, 10**6), "dtype": "f4"}, "declare"),
    ],
    ids=["big endian", "complex", "texts", "compressed", "chunks", "not stored"],
)
def test_other_arrays_are_refused(dataset, words):
    with pytest.raises(zoo.IntegrityError, match=words):
        hdf5.read_arrays(written(lambda file: file.create_dataset("x", **dataset)))


def test_newer_layouts_are_refused():
    with pytest.raises(zoo.IntegrityError, match="not HDF5 as h5py writes it"):
        hdf5.read_arrays(written(lambda file: None, libver="latest"))


def test_arrays_cannot_hold_more_than_the_file():
    """Three arrays that begin at the same byte, each of two thirds of the file."""
    numbers = np.arange(2000.0)
    content = written(lambda file: [file.create_dataset(f"x{i}", data=numbers) for i in range(3)])
    with h5py.File(io.BytesIO(content)) as file:
        first, *others = sorted(file[f"x{i}"].id.get_offset() for i in range(3))
    size = numbers.nbytes
    changes = {2000: 4000, size: 2 * size} | dict.fromkeys(others, first)
    for old, new in changes.items():
        content = content.replace(struct.pack("<Q", old), struct.pack("<Q", new))
    with pytest.raises(zoo.IntegrityError, match="bytes of weights"):
        hdf5.read_arrays(content)


def test_budgets():
    content = written(lambda file: [file.create_group(f"a/b/c{i}") for i in range(50)])
    hdf5.read_arrays(content)
    for budget in (Budget(objects=50), Budget(depth=2), Budget(headers=10)):
        with pytest.raises(zoo.IntegrityError, match="are accepted"):
            hdf5.read_arrays(content, budget)
