"""From names of data to images that fit a model."""

import functools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.datasets.image_sets import ImageSet, LazyImages
from intriguing_tf.datasets.loading import load_data


@pytest.fixture
def twenty(tmp_path):
    images = np.random.default_rng(0).random((20, 4), "float32")
    np.savez(tmp_path / "my.npz", images=images, labels=np.arange(20))
    return str(tmp_path / "my.npz")


def test_all_images_of_a_file_without_a_number(twenty):
    images, labels, _ = load_data(twenty, of_known=64)
    assert len(images) == 20 and labels.tolist() == [*range(20)]
    assert len(load_data(twenty, number=3)) == 3
    with pytest.raises(ValueError, match=r"from 1 to 20.* Received: 21"):
        load_data(twenty, number=21)


SOURCES = ("sample", "arrays", "a folder", "files", "a data set")


@pytest.fixture(
    params=[pytest.param(s, marks=[pytest.mark.slow] * (s == "a data set")) for s in SOURCES]
)
def source(request, tmp_path, twenty):
    """Every kind of named data, and how many images it has."""
    if request.param == "sample":
        return "sample", 1000
    if request.param == "arrays":
        return twenty, 20
    if request.param == "a data set":
        return request.getfixturevalue("tiny"), 4
    files = [tmp_path / "pictures" / f"{i}.png" for i in range(3)]
    files[0].parent.mkdir()
    for file in files:
        file.write_bytes(tf.io.encode_png(np.full((4, 4, 3), 99, np.uint8)).numpy())
    return str(files[0].parent) if request.param == "a folder" else [*map(str, files)], 3


def test_a_number_means_the_same_whatever_the_source(source):
    name, there = source
    shape = (4, 4, 3) if there in (3, 4) else None
    assert len(load_data(name, shape, number=2)) == 2
    assert len(load_data(name, shape, number=there)) == there
    for wrong in (0, -1, 2.5, True, "2"):
        with pytest.raises(ValueError, match="`number` must be a positive integer"):
            load_data(name, shape, number=wrong)
    with pytest.raises(ValueError, match=rf"`number` must be from 1 to {there}\. Received: 9999"):
        load_data(name, shape, number=9999)


@pytest.mark.parametrize("bounds", [(1, 0), (1, 1), (0, np.inf), (0, np.nan), (0, 1, 2), 5])
def test_pixels_are_scaled_to_an_interval_only(bounds, source, tmp_path):
    name, there = source
    if there == 20:  # floats stay as they are, pixels do not
        assert load_data(name, bounds=bounds).images.max() < 1
        name = str(tmp_path / "pixels.npz")
        np.savez(name, images=np.ones((2, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="`bounds` must be two numbers, finite"):
        load_data(name, (4, 4, 3), bounds=bounds)


def test_a_name_of_data_is_a_path_or_several(twenty):
    assert len(load_data(Path(twenty))) == 20
    for wrong in (5, None, [5], b"sample", {"sample": 1}):
        with pytest.raises(TypeError, match=r"must be a path, or a list of paths\. Received: .*"):
            load_data(wrong)


def test_a_suffix_in_capitals(twenty):
    capitals = Path(twenty).rename(Path(twenty).with_name("MY.NPZ"))
    assert len(load_data(str(capitals))) == 20


def test_so_many_of_mnist_without_a_number():
    images, labels = itf.datasets.mnist_sample()
    assert len(load_data("sample")) == 1000
    assert len(load_data("sample", of_known=1001)) == 1000
    first, _, class_names = load_data("sample", of_known=64)
    np.testing.assert_array_equal(first, images[:64])
    assert class_names == tuple("0123456789")
    scaled, same, _ = load_data("sample", number=5, bounds=(-1.0, 1.0))
    np.testing.assert_allclose(scaled, 2 * images[:5] - 1, atol=1e-6)
    np.testing.assert_array_equal(same, labels[:5])


def test_mnist_is_fitted_to_the_model():
    images, _ = itf.datasets.mnist_sample()
    flat = load_data("sample", (784,), number=2).images
    np.testing.assert_array_equal(flat, images[:2].reshape(2, 784))
    larger = load_data("sample", (56, 56, 3), number=2).images
    assert larger.shape == (2, 56, 56, 3)
    np.testing.assert_allclose(larger.mean(axis=(1, 2, 3)), images[:2].mean(axis=(1, 2, 3)), 0.05)
    with pytest.raises(ValueError, match=r"must take images .* Received: .*\(3, 2\)"):
        load_data("sample", (3, 2))


def test_bytes_of_a_file_are_scaled_as_pixels(tmp_path):
    pixels = np.array([[[[0], [255]]]], np.uint8)
    np.savez(tmp_path / "my.npz", images=pixels, class_names=["a", "b"])
    found = load_data(str(tmp_path / "my.npz"), (1, 2), bounds=(-1.0, 1.0))
    np.testing.assert_array_equal(found.images, [[[-1, 1]]])
    assert found.labels is None and found.class_names == ("a", "b")


def test_files_and_folders(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy())
    for name in (str(tmp_path), [str(tmp_path / "1.png"), str(tmp_path / "2.png")]):
        assert load_data(name, (4, 5, 1)).images.shape == (2, 4, 5, 1)
    with pytest.raises(ValueError, match=r"of one size. Received: .*\(None, None, 3\)"):
        load_data(str(tmp_path), (None, None, 3))


@functools.cache  # a class registers once
def tiny_pictures():
    """A data set of tensorflow-datasets with four images of three classes."""
    import tensorflow_datasets as tfds

    class TinyPictures(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {"test": self._generate_examples(4), "train": self._generate_examples(6)}

        def _generate_examples(self, count):
            for i in range(count):
                yield i, {"image": np.full((2, 3, 3), 50 * i, np.uint8), "label": i % 3}

    return TinyPictures


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Its name; prepared by us."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/data")
    tiny_pictures()(data_dir=tmp_path / "data").download_and_prepare()
    return "tiny_pictures"


@pytest.mark.slow
def test_a_name_of_tensorflow_datasets(tiny, monkeypatch):
    found = load_data(tiny, (2, 3, 1))
    assert found.class_names == ("a", "b", "c") and len(found) == 4
    order = np.argsort(found.images[:, 0, 0, 0])
    np.testing.assert_allclose(found.images[order, 1, 2, 0], np.arange(4) * 50 / 255, atol=1 / 255)
    assert found.labels[order].tolist() == [0, 1, 2, 0]
    assert len(load_data(f"{tiny}:train", (2, 3, 3), number=5)) == 5
    assert len(load_data(f"{tiny}:train[1:4]", (2, 3, 3), of_known=64)) == 3
    assert len(load_data(f"{tiny}:train", (2, 3, 3), of_known=5)) == 5
    with pytest.raises(ValueError, match=r"from 1 to 3\. Received: 5"):
        load_data(f"{tiny}:train[1:4]", (2, 3, 3), number=5)
    monkeypatch.setattr("intriguing_tf.datasets.folders.MEMORY", 10)
    large = load_data(tiny, (4, 4, 3), bounds=(-1.0, 1.0))
    assert isinstance(large.images, tf.data.Dataset) and len(large) == 4
    assert min(float(tf.reduce_min(image)) for image, _ in large.images) == -1
    with pytest.raises(ValueError, match="must fit into the memory"):
        large.in_memory()
    assert len(large.first(3)) == len(list(large.first(3).images)) == 3
    with pytest.raises(ValueError, match=r"from 1 to 4\. Received: 5"):
        large.first(5)


def pairs_without_a_length():
    yield from ((np.full((2, 2, 1), i, np.float32), i % 3) for i in range(7))


PAIRS = tf.data.Dataset.from_generator(
    pairs_without_a_length,
    output_signature=(tf.TensorSpec((2, 2, 1)), tf.TensorSpec((), tf.int64)),
)
LAZY = LazyImages(
    [*map(Path, "0123456")], lambda file: np.full((2, 2, 1), int(file.name), "float32"), (2, 2, 1)
)


FORMS = {
    "array": np.asarray(LAZY),
    "files": LAZY,
    "no length": PAIRS,
    "length": PAIRS.apply(tf.data.experimental.assert_cardinality(7)),
    "batches": PAIRS.batch(3),
    "whole batches": PAIRS.batch(3, drop_remainder=True),
    "no end": PAIRS.repeat(),
}


@pytest.mark.parametrize("images", FORMS.values(), ids=FORMS)
def test_the_first_images_whatever_they_come_as(images):
    found = ImageSet(images).first(4)
    assert len(found) == 4
    given = found.images if hasattr(images, "shape") else [x for x, _ in found.images]
    np.testing.assert_array_equal(np.asarray(given)[:, 0, 0, 0], range(4))
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match="positive integer"):
            ImageSet(images).first(wrong)
    if images is PAIRS:  # shows when it is read
        with pytest.raises(tf.errors.OpError, match="contain 9"):
            list(ImageSet(images).first(9).images)


@pytest.mark.parametrize(
    "rows",
    [0, -1, np.int64(2), np.array(3), slice(2, 5), slice(None, None, -2), [4, 0], [], Ellipsis,
     np.arange(7) % 2 == 0],
    ids=str,
)  # fmt: skip
def test_rows_of_files_are_those_of_the_array(rows):
    rows = np.array(rows, int) if isinstance(rows, list) and not rows else rows
    np.testing.assert_array_equal(np.asarray(LAZY[rows]), np.asarray(LAZY)[rows])


@pytest.mark.parametrize("rows", [(..., 0), (slice(None), 0), (0, 0), None, [[1, 2]]], ids=str)
def test_parts_of_images_of_files_are_refused_in_words(rows):
    with pytest.raises(
        IndexError, match=r"whole ones are chosen.* np\.asarray\(images\) reads all"
    ):
        LAZY[rows]


def write_other(name, content=b"no array"):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)

    return write


def saved(**arrays):
    arrays = {"images": np.ones((3, 2)), **arrays}
    return lambda path: np.savez(path, **arrays)


WRONG = {
    "empty": (lambda path: path.write_bytes(b""), "is not an .npz file"),
    "damaged": (lambda path: path.write_bytes(b"PK\x03\x04damaged"), "is not an .npz file"),
    "no images": (lambda path: np.savez(path, x=np.ones(3)), "must hold an array 'images'.*: x"),
    "nothing": (lambda path: np.savez(path), "Received: an empty archive"),
    "a text": (write_other("images.txt"), "Received: images.txt"),
    "a folder": (write_other("a/images.npy"), "Received: a/images"),
    "no array": (write_other("images.npy"), "must hold 'images'.*Received: no images"),
    "objects": (saved(images=np.array([{}])), r"my\.npz is not an \.npz file of plain arrays"),
    "words": (saved(images=np.array(["a"])), "Received: <U1"),
    "one number": (saved(images=np.array(1.0)), r"Received: float64 with shape \(\)"),
    "labels": (saved(labels=np.ones(2)), "a label for each"),
    "one label": (saved(labels=np.array(1)), r"my\.npz must have a label for each"),
    "too few rows": (saved(labels=np.ones((2, 1), int)), "a label for each"),
    "scores": (saved(labels=np.full((3, 2), 0.5)), r"my\.npz must hold 'labels'.*argmax"),
    "two ones": (saved(labels=np.ones((3, 2), int)), r"one-hot rows.*\(3, 2\)"),
    "rows of words": (saved(labels=np.full((3, 2), "a")), "one-hot rows"),
    "class names in Latin-1": (
        saved(class_names=[b"caf\xe9"]),
        r"my\.npz must hold 'class_names' as",
    ),
    "one class name": (saved(class_names=np.array("a")), r"'class_names' as a list.*shape \(\)"),
}


@pytest.mark.parametrize("write, words", WRONG.values(), ids=WRONG)
def test_a_wrong_npz_file_is_named(write, words, tmp_path):
    write(tmp_path / "my.npz")
    with pytest.raises(ValueError, match=words):
        load_data(str(tmp_path / "my.npz"))


def test_a_changed_byte_of_an_npz_file_is_no_traceback(tmp_path):
    np.savez_compressed(tmp_path / "my.npz", images=np.random.default_rng(0).uniform(size=(3, 2)))
    content = (tmp_path / "my.npz").read_bytes()
    for place in range(len(content)):
        damaged = content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :]
        (tmp_path / "my.npz").write_bytes(damaged)
        try:
            load_data(str(tmp_path / "my.npz"))
        except ValueError as error:
            assert "my.npz" in str(error)


@pytest.mark.parametrize(
    "labels", [[2, 0, 1], [[2], [0], [1]], np.eye(3)[[2, 0, 1]], np.eye(3, dtype=bool)[[2, 0, 1]]],
    ids=["numbers", "column", "one-hot", "one-hot bool"],
)  # fmt: skip
def test_labels_of_an_npz_file_come_as_numbers(labels, tmp_path):
    np.savez(tmp_path / "my.npz", images=np.ones((3, 2)), labels=labels, class_names=[b"a", b"b"])
    found = load_data(str(tmp_path / "my.npz"))
    assert found.labels.tolist() == [2, 0, 1] and found.class_names == ("a", "b")


@pytest.mark.parametrize("shape", [(3, 4), (3,)])
def test_rows_of_8_bits_are_no_pixels(shape, tmp_path):
    np.savez(tmp_path / "rows.npz", images=np.full(shape, 200, np.uint8))
    with pytest.raises(ValueError, match=r"rows.npz holds uint8 rows, which may be pixels or"):
        load_data(str(tmp_path / "rows.npz"))


def test_a_folder_with_a_name_of_mnists_is_told_how_to_name_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample").mkdir()
    with pytest.warns(UserWarning, match=r"'sample' is MNIST's; the folder .* is \./sample"):
        assert len(load_data("sample")) == 1000
