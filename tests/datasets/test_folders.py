"""Any folder of images."""

import functools
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.datasets import folders

RANDOM = np.random.default_rng(0)


def write(path, size=(6, 5), channels=3, value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, channels)
    pixels = RANDOM.integers(0, 256, shape) if value is None else np.full(shape, value)
    pixels = pixels.astype(np.uint8)
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    return pixels


@pytest.fixture
def photographs(tmp_path):
    """Three class folders, one empty, with files that cannot be decoded or are no images."""
    for name in ("cats/1.png", "cats/2.png", "dogs/deep/3.png"):
        write(tmp_path / name)
    (tmp_path / "birds").mkdir()
    (tmp_path / "dogs" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "dogs" / "notes.txt").write_text("x")
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / "beside.png")
    return tmp_path


def test_class_folders_as_keras_counts_them(photographs):
    images, labels, class_names = found = itf.datasets.image_folder(photographs, (8, 9))
    assert images.shape == (3, 8, 9, 3) and images.dtype == np.float32
    assert labels.tolist() == [1, 1, 2] and labels.dtype == np.int64
    assert class_names == ("birds", "cats", "dogs")
    skipped = {file.name: reason for file, reason in found.skipped}
    assert set(skipped) == {"broken.jpg", "notes.txt", "beside.png"}
    assert "beside the class folders" in skipped["beside.png"]
    assert "3 skipped" in str(found) and "broken.jpg" in str(found)


def test_links_that_lead_back_are_followed_once(tmp_path):
    for name in ("cat/a.png", "dog/b.png", "dog/deep/c.png", "elsewhere/d.png"):
        write(tmp_path / name)
    shelf = tmp_path / "set"
    shelf.mkdir()
    for name in ("cat", "dog"):
        (tmp_path / name).rename(shelf / name)
    links = {"cat/self": ".", "cat/up": "..", "dog/deep/back": "..", "dog/far": "../../elsewhere"}
    for link, target in links.items():
        (shelf / link).symlink_to(target, target_is_directory=True)
    found = itf.datasets.image_folder(shelf, 4)
    assert sorted(file.name for file in found.files) == ["a.png", "b.png", "c.png", "d.png"]
    assert found.labels.tolist() == [0, 1, 1, 1] and not found.skipped


def test_what_is_listed_but_no_file_is_named_and_left_out(photographs, monkeypatch):
    (photographs / "cats" / "gone.png").symlink_to("nowhere.png")
    (photographs / "lost").symlink_to("nowhere")
    os.mkfifo(photographs / "cats" / "pipe.png")
    (photographs / "cats" / "folder.png").mkdir()
    whole = folders.decode
    monkeypatch.setattr(folders, "decode", lambda file, channels: refused(file) or whole(file))

    def refused(file):
        if file.name == "3.png":
            raise PermissionError(13, "Permission denied", str(file))

    found = itf.datasets.image_folder(photographs, 4)
    assert [file.name for file in found.files] == ["1.png", "2.png"]
    reasons = {file.name: reason for file, reason in found.skipped}
    assert reasons["gone.png"] == "a link to nowhere.png, which is not there"
    assert reasons["lost"] == "a link to nowhere, which is not there"
    assert reasons["pipe.png"] == "a pipe or a device" and "Permission" in reasons["3.png"]
    assert "folder.png" not in reasons


def test_pixels_are_those_of_keras(tmp_path):
    for i in range(4):
        write(tmp_path / "ab"[i % 2] / f"{i}.png", size=(7, 12))
    ours = itf.datasets.image_folder(tmp_path, (9, 6))
    theirs = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(9, 6), shuffle=False, verbose=False
    )
    images, labels = next(theirs.as_numpy_iterator())
    np.testing.assert_allclose(ours.images, images / 255, atol=1e-6)
    assert ours.labels.tolist() == labels.tolist() == [0, 0, 1, 1]


def test_what_is_cut_out_has_the_channels_asked_for(tmp_path):
    write(tmp_path / "x.png", size=(20, 16))
    read = functools.partial(itf.datasets.image_folder, tmp_path / "x.png", 4, resize="crop")
    (gray,), (colored,) = read(channels=1).images, read().images
    np.testing.assert_allclose(gray[..., 0], colored @ [0.2989, 0.587, 0.114], atol=1 / 255)


def test_what_would_be_too_large_once_scaled_is_left_out(tmp_path):
    write(tmp_path / "narrow.png", size=(1, 60000))
    write(tmp_path / "x.png", size=(20, 16))
    read = itf.datasets.read_images(sorted(tmp_path.iterdir()), size=224)
    ((file, why),) = read.skipped
    assert file.name == "narrow.png" and why.startswith("to fill 224 × 224 pixels it would be sca")
    with pytest.raises(ValueError, match=r"67108864 pixels at most\. Received: 20000"):
        itf.datasets.image_folder(tmp_path, 20000)


def test_pixels_of_the_right_size_are_left_alone(tmp_path):
    pixels = write(tmp_path / "x.png")
    found = itf.datasets.image_folder(tmp_path / "x.png", (6, 5))
    np.testing.assert_array_equal(found.images[0], pixels.astype(np.float32) / np.float32(255))
    assert found.labels is None and found.class_names is None
    gray = itf.datasets.image_folder([tmp_path / "x.png"] * 2, (6, 5), channels=1)
    expected = pixels @ [0.2989, 0.587, 0.114] / 255
    np.testing.assert_allclose(gray.images[..., 0], [expected, expected], atol=1 / 255)


def test_names_of_files_are_printed_as_text(tmp_path):
    (tmp_path / os.fsdecode(b"\x1b[31m\xff.png")).write_bytes(b"")
    with pytest.raises(ValueError, match="None of 1 files is an image") as error:
        itf.datasets.image_folder(tmp_path, 4)
    write(tmp_path / "fine.png")
    found = itf.datasets.image_folder(tmp_path, 4)
    read = itf.datasets.read_images([str(file) for file in sorted(tmp_path.iterdir())], size=4)
    for text in (str(found), repr(found), str(read), str(error.value)):
        assert r"\x1b[31m\udcff.png" in text and text.encode() and "\x1b" not in text


def test_given_class_names_say_which_folder_is_which(photographs):
    names = ["dog", "cats", "wolf, dogs"]
    assert itf.datasets.image_folder(photographs, 4, class_names=names).labels.tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="Received: 'dogs', which is none"):
        itf.datasets.image_folder(photographs, 4, class_names=["cats", "dog"])


def test_wnid_folders_are_classes_of_imagenet(tmp_path):
    write(tmp_path / "n01518878" / "x.png")
    found = itf.datasets.image_folder(tmp_path, 4)
    assert found.labels.tolist() == [9] and found.class_names[9].startswith("ostrich")
    assert itf.datasets.image_folder(tmp_path / "n01518878", 4).labels.tolist() == [9]


def test_as_many_wnid_folders_as_outputs_are_the_models_classes(tmp_path):
    """As of a network that was trained on a part of ImageNet, such as ten classes of it."""
    for wnid in ("n01518878", "n02099601"):
        write(tmp_path / wnid / "x.png")
    for outputs in (2, 1):
        found = itf.datasets.image_folder(tmp_path, 4, outputs=outputs)
        assert found.labels.tolist() == [0, 1]
        assert found.class_names == ("ostrich, Struthio camelus", "golden retriever")
    assert itf.datasets.image_folder(tmp_path, 4, outputs=1000).labels.tolist() == [9, 207]
    for names in (["dog", "golden retriever", "ostrich"], ["x", "n02099601", "n01518878"]):
        found = itf.datasets.image_folder(tmp_path, 4, class_names=names)
        assert found.labels.tolist() == [2, 1] and found.class_names == tuple(names)
    with pytest.raises(ValueError, match="Received: 'n01518878', which is none"):
        itf.datasets.image_folder(tmp_path, 4, class_names=["dog", "golden retriever"])


def test_what_does_not_fit_the_memory_is_read_when_needed(photographs):
    whole = itf.datasets.image_folder(photographs, 4)
    lazy = itf.datasets.image_folder(photographs, 4, memory=0)
    assert not isinstance(lazy.images, np.ndarray) and lazy.images.shape == whole.images.shape
    np.testing.assert_array_equal(np.asarray(lazy.images[1:]), whole.images[1:])
    np.testing.assert_array_equal(np.asarray(lazy.images[np.array([2, 0])]), whole.images[[2, 0]])
    np.testing.assert_array_equal(lazy.images[2], whole.images[2])
    np.testing.assert_array_equal(lazy.in_memory().images, whole.images)
    np.testing.assert_allclose(
        np.asarray(lazy.images.scaled(-1, 1)), 2 * whole.images - 1, atol=1e-6
    )
    assert lazy.labels.tolist() == whole.labels.tolist()


def test_a_number_is_spread_and_grows_at_its_end(tmp_path):
    for i in range(12):
        write(tmp_path / "abc"[i // 4] / f"{i:02d}.png", value=20 * i)
    few, more = (itf.datasets.image_folder(tmp_path, 4, number=n) for n in (5, 11))
    assert set(few.labels) == {0, 1, 2} and len(more) == 11
    np.testing.assert_array_equal(more.images[:5], few.images)
    assert len({str(file) for file in more.files}) == 11
    whole = itf.datasets.image_folder(tmp_path, 4, number=99)
    assert len(whole) == 12 and whole.files[:11] == more.files
    few.files[0].write_bytes(b"broken")
    other = itf.datasets.image_folder(tmp_path, 4, number=5)
    assert other.files[:4] == few.files[1:] and len(other) == 5 and len(other.skipped) == 1
    assert sorted(folders._spread(7)) == list(range(7)) and folders._spread(1) == [0]


@pytest.mark.parametrize(
    "path, options, error, words",
    [
        ("nowhere", {}, FileNotFoundError, "no such file or folder"),
        ("birds", {}, ValueError, "there must be images"),
        (".", {"channels": 2}, ValueError, "`channels` must be one of 1, 3"),
        (".", {"resize": "squeeze"}, ValueError, "'stretch', 'crop'"),
        (".", {"number": 0}, ValueError, "positive integer"),
        ("dogs/broken.jpg", {}, ValueError, "None of 1 files is an image"),
    ],
    ids=["path", "empty", "channels", "resize", "number", "broken"],
)
def test_wrong_arguments(photographs, path, options, error, words):
    with pytest.raises(error, match=words):
        itf.datasets.image_folder(photographs / path, 4, **options)


@pytest.mark.parametrize("path", [None, 3, b"cats", [3], {"cats": 1}])
def test_what_is_no_path_is_refused_in_words(path):
    with pytest.raises(TypeError, match=r"must be a path, or a list of paths\. Received: "):
        itf.datasets.image_folder(path, 4)


def test_folders_of_classes_do_not_mix(photographs):
    with pytest.raises(ValueError, match="by itself"):
        itf.datasets.image_folder([photographs, photographs / "cats"], 4)


def test_class_names_of_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("a\n b \n")
    assert folders.read_class_names(tmp_path / "names.txt") == ("a", "b")
    (tmp_path / "names.txt").write_text("\n")
    with pytest.raises(ValueError, match="an empty file"):
        folders.read_class_names(tmp_path / "names.txt")


def test_other_classes_than_the_models_are_refused(photographs):
    found = itf.datasets.image_folder(photographs, 4)
    for units in (3, None):
        found.check_classes(units)
    with pytest.raises(ValueError, match=r"10 classes .* Received: 3 classes, such as"):
        found.check_classes(10)
    with pytest.raises(ValueError, match="2 classes apart"):
        found.check_classes(1)
    itf.datasets.image_folder(photographs / "cats", 4).check_classes(10)
