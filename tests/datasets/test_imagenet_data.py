"""ImageNet's images and class names: sizes, colours, broken files, labels."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import intriguing_tf as itf
from intriguing_tf.datasets import imagenet_data

OSTRICH, TENCH = "n01518878", "n01440764"


def picture(width, height):
    """A picture whose red, green and blue are smooth and different."""
    row, column = np.mgrid[:height, :width] / max(width, height)
    pixels = np.stack([row, column, (row + column) / 2], -1)
    return Image.fromarray((255 * pixels).astype("uint8"))


@pytest.fixture
def folder(tmp_path):
    for wnid in (OSTRICH, TENCH, "not-a-class"):
        (tmp_path / wnid).mkdir()
    picture(60, 40).save(tmp_path / OSTRICH / "a.png")
    picture(32, 32).save(tmp_path / OSTRICH / "b.JPEG", quality=95)
    picture(40, 60).save(tmp_path / TENCH / "c.bmp")
    picture(40, 60).save(tmp_path / "not-a-class" / "d.png")
    (tmp_path / TENCH / "notes.txt").write_text("not an image")
    return tmp_path


def test_folder_of_wnid_folders_streams_in_class_order(folder):
    dataset = itf.datasets.imagenet(folder, size=28, batch_size=2)
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset]
    assert [images.shape for images, _ in batches] == [(2, 28, 28, 3), (1, 28, 28, 3)]
    assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 9, 9]
    assert batches[0][1].dtype == "int64" and batches[0][0].dtype == "float32"
    pixels = np.concatenate([images for images, _ in batches])
    assert 0 <= pixels.min() < 0.2 and 0.4 < pixels.max() <= 1
    in_memory = itf.datasets.read_images(itf.datasets.imagenet_files(folder), size=28)
    np.testing.assert_array_equal(in_memory.images, pixels)
    assert in_memory.labels.tolist() == [0, 9, 9] and not in_memory.skipped


def test_an_image_of_the_right_scale_is_only_cut(folder):
    """32 pixels are 8/7 of 28: no interpolation touches them."""
    file = folder / "x.png"
    picture(32, 32).save(file)
    expected = np.asarray(picture(32, 32))[2:30, 2:30].astype("float32") / 255
    np.testing.assert_array_equal(itf.datasets.read_images([file], size=28).images[0], expected)


@pytest.mark.parametrize("width, height", [(64, 64), (128, 64), (64, 128), (16, 16), (33, 57)])
def test_other_sizes_are_scaled_about_the_centre(width, height, tmp_path):
    file = tmp_path / "x.png"
    picture(width, height).save(file)
    image = itf.datasets.read_images([file], size=28).images[0]
    short = min(width, height)
    box = np.array([(width - short * 7 / 8) / 2, (height - short * 7 / 8) / 2])
    box = (*box, *(box + short * 7 / 8))
    expected = picture(width, height).resize((28, 28), Image.Resampling.BICUBIC, box=box)
    difference = np.abs(image - np.asarray(expected) / 255)
    assert difference.mean() < 0.01 and difference.max() < 0.05


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_colour_becomes_rgb(mode, tmp_path):
    """What is read is what Pillow makes of the same picture, but for JPEG's own losses."""
    file = tmp_path / ("x.jpg" if mode in ("L", "CMYK") else "x.png")
    if mode == "I;16":
        gray = np.asarray(picture(32, 32).convert("L")).astype("uint16") * 257
        Image.fromarray(gray).save(file)
        expected = np.repeat((gray // 257)[..., None], 3, -1)
    else:
        saved = picture(32, 32).convert(mode)
        saved.save(file, **({"quality": 98} if mode in ("L", "CMYK") else {}))
        expected = np.asarray(saved.convert("RGB"))
    image = itf.datasets.read_images([file], size=28).images[0]
    assert np.abs(image - expected[2:30, 2:30] / 255).mean() < 0.02


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "few colours"])
def test_a_bmp_has_the_colours_of_its_palette(mode, tmp_path):
    file = tmp_path / "x.bmp"
    few = mode == "few colours"
    saved = picture(33, 32).quantize(5) if few else picture(33, 32).convert(mode)
    saved.save(file)
    pixels = imagenet_data.decode(file).numpy()
    np.testing.assert_array_equal(pixels, np.asarray(saved.convert("RGB")))


@pytest.mark.parametrize(
    "place, value, words",
    [(30, 1, "compressed"), (14, 12, "OS/2"), (46, 2, "2 colours")],
    ids=["RLE", "OS/2", "a number without a colour"],
)
def test_a_bmp_that_cannot_be_read_is_skipped(place, value, words, tmp_path):
    picture(32, 32).save(tmp_path / "a.bmp")
    picture(32, 32).quantize(9).save(tmp_path / "b.bmp")
    content = bytearray((tmp_path / "b.bmp").read_bytes())
    struct.pack_into("<I", content, place, value)  # the whole field: what Pillow writes differs
    (tmp_path / "b.bmp").write_bytes(content)
    read = itf.datasets.read_images([tmp_path / "a.bmp", tmp_path / "b.bmp"], size=28)
    ((file, reason),) = read.skipped
    assert len(read.images) == 1 and file.name == "b.bmp" and words in reason


def test_broken_files_are_named_skipped_and_counted(folder, caplog):
    whole = (folder / OSTRICH / "b.JPEG").read_bytes()
    (folder / OSTRICH / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / TENCH / "page.jpg").write_bytes(b"<html>404</html>")
    (folder / TENCH / "empty.jpg").write_bytes(b"")
    (folder / TENCH / "folder.jpg").mkdir()
    (folder / TENCH / "link.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / TENCH / "pipe.jpg")
    read = itf.datasets.read_images(itf.datasets.imagenet_files(folder), size=28)
    assert [file.name for file, _ in read.skipped] == [
        "empty.jpg", "link.jpg", "page.jpg", "pipe.jpg", "cut.jpg"
    ]  # fmt: skip
    assert all(reason for _, reason in read.skipped)
    assert [file.name for file in read.files] == ["c.bmp", "a.png", "b.JPEG"]
    few = itf.datasets.read_images(itf.datasets.imagenet_files(folder), size=28, number=2)
    assert few.files == read.files[:2] and few.skipped == read.skipped[:4]
    caplog.clear()
    assert "3 images read, 5 skipped" in str(read) and "cut.jpg" in str(read)
    with caplog.at_level("WARNING", logger="absl"):
        labels = [int(label) for _, label in itf.datasets.imagenet(folder, size=28)]
    assert labels == [0, 9, 9]
    assert "Skipped 5 of 8 files" in caplog.text and "page.jpg" in caplog.text
    with pytest.raises(ValueError, match=r"None of 1 files is an image.*page\.jpg"):
        itf.datasets.read_images([folder / TENCH / "page.jpg"])


def test_files_outside_wnid_folders_have_no_labels(folder):
    files = [folder / OSTRICH / "a.png", folder / "not-a-class" / "d.png"]
    assert itf.datasets.read_images(files, size=28).labels is None


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda f: itf.datasets.imagenet(f / "not-a-class"), ValueError, "WordNet number"),
        (lambda f: itf.datasets.imagenet(f / "nowhere"), ValueError, "no folder"),
        (lambda f: itf.datasets.imagenet("no_such_data_set"), FileNotFoundError, "wnid folders"),
        (lambda f: itf.datasets.imagenet(f, size=0), ValueError, "positive"),
        (lambda f: itf.datasets.imagenet(f, size=(8, 8, 3)), ValueError, r"input_shape\[1:3\]"),
        (lambda f: itf.datasets.imagenet(f, size="16"), ValueError, r"Received: '16'"),
        (lambda f: itf.datasets.imagenet(f, size=16.0), ValueError, r"Received: 16\.0"),
        (lambda f: itf.datasets.read_images([]), ValueError, "at least one"),
        (lambda f: itf.datasets.read_images(["/"], number=2), ValueError, "from 1 to 1"),
        (lambda f: itf.datasets.read_images([f / "no.jpg"]), FileNotFoundError, r"no\.jpg"),
    ],
)
def test_bad_sources_are_named(call, error, words, folder):
    with pytest.raises(error, match=words):
        call(folder)


@pytest.mark.parametrize(
    "name, of",
    [
        (f"{OSTRICH}/a.png", 9),
        (f"{OSTRICH}/../{TENCH}/c.bmp", 0),
        ("linked/a.png", 9),
        (f"{TENCH}/linked.png", 0),
        ("linked.png", 9),
        ("not-a-class/d.png", None),
    ],
)
@pytest.mark.parametrize("here", [".", OSTRICH, "linked"])
def test_all_that_read_files_know_the_same_of_them(name, of, here, folder, monkeypatch):
    """However the path is written: a name says its folder's class, or else the file's place."""
    (folder / "linked").symlink_to(OSTRICH, target_is_directory=True)
    (folder / TENCH / "linked.png").symlink_to(f"../{OSTRICH}/a.png")
    (folder / "linked.png").symlink_to(f"{OSTRICH}/a.png")
    (folder / OSTRICH / "page.jpg").write_bytes(b"<html>404</html>")
    monkeypatch.chdir(folder / here)
    file = os.path.relpath(folder / name) if here == "." else os.path.join("..", name)
    if here != "." and name == f"{OSTRICH}/a.png":
        file = "a.png"
    files = [file, str(folder / OSTRICH / "page.jpg")]
    read = itf.datasets.read_images(files, 16)
    found = itf.datasets.image_folder(files, 16, resize="crop")
    for labels in (read.labels, found.labels):
        assert labels is None if of is None else labels.tolist() == [of]
    np.testing.assert_array_equal(read.images, found.images)
    assert (read.files, read.skipped) == (found.files, found.skipped)
    assert len(read.skipped) == 1


@pytest.mark.parametrize("files", ["a.png", Path("a.png"), 3, None, [3], b"a.png"])
def test_what_is_no_list_of_files_is_refused_in_words(files):
    with pytest.raises(TypeError, match=r"must be a (list of image files|path, or a list)"):
        itf.datasets.read_images(files)


@pytest.mark.slow
def test_a_tfds_data_set_gives_imagenets_indices(tmp_path):
    """A data set of two classes in another order than ImageNet's, written by TFDS itself."""
    import tensorflow_datasets as tfds

    wnids = [OSTRICH, TENCH]
    images = [np.full((32, 40, 3), 51 * (i + 1), np.uint8) for i in range(4)]

    class Small(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=wnids),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self, features=features, supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {"validation": self._generate_examples()}

        def _generate_examples(self):
            for i, image in enumerate(images):
                yield i, {"image": image, "label": i % 2}

    builder = Small(data_dir=str(tmp_path))
    builder.download_and_prepare()
    from intriguing_tf.datasets import imagenet_data

    load = tfds.load
    try:
        tfds.load = lambda name, split, **_: (
            builder.as_dataset(split=split, as_supervised=True),
            builder.info,
        )
        dataset = imagenet_data.imagenet("small", size=28)
    finally:
        tfds.load = load
    seen = sorted((int(label), round(float(tf.reduce_mean(image)), 3)) for image, label in dataset)
    assert seen == [(0, 0.4), (0, 0.8), (9, 0.2), (9, 0.6)]


def test_class_names():
    names, wnids = itf.datasets.imagenet_class_names(), itf.datasets.imagenet_wnids()
    assert len(names) == len(wnids) == len(set(wnids)) == 1000 and wnids == sorted(wnids)
    assert names[9] == "ostrich, Struthio camelus" and wnids[9] == OSTRICH
    assert names[0] == "tench, Tinca tinca" and names[999].startswith("toilet tissue")
    for index, (name, wnid) in enumerate(zip(names, wnids, strict=True)):
        assert itf.datasets.imagenet_class_index(wnid) == index
        assert itf.datasets.imagenet_class_index(index) == index
        if name != "crane":
            assert itf.datasets.imagenet_class_index(name) == index


@pytest.mark.parametrize("name", ["Ostrich", "struthio camelus", "n01518878", "9", 9, " ostrich "])
def test_ways_to_name_the_ostrich(name):
    assert itf.datasets.imagenet_class_index(name) == 9


@pytest.mark.parametrize(
    "name, words",
    [
        ("ostritch", "Near: 9 n01518878 'ostrich, Struthio camelus'"),
        ("crane", "134 n02012849 'crane'; 517 n03126707 'crane'"),
        ("retriever", "golden retriever"),
        ("qqqq", "imagenet_class_names"),
        (1000, "0 to 999. Received: 1000"),
        ("-1", "0 to 999. Received: -1"),
        ("²", "ImageNet has no class '²'"),
        ("--5", "ImageNet has no class '--5'"),
    ],
)
def test_unknown_classes_get_suggestions(name, words):
    with pytest.raises(ValueError, match=words):
        itf.datasets.imagenet_class_index(name)
