"""What flags become: models and images of the package's names, fitted to each other."""

import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from intriguing_tf.scripts import inputs

from intriguing_tf.datasets import loading
from intriguing_tf.datasets.image_sets import ImageSet


def flags(**given):
    defaults = {
        "model": "mnist/fc10-1", "preprocess": None, "data": ["sample"], "number": None,
        "bounds": (0.0, 1.0), "class_names": None,
    }  # fmt: skip
    return types.SimpleNamespace(**(defaults | given))


def test_models_of_flags(tmp_path):
    assert inputs.load_model(flags()).count_params() == 7850
    own = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    own.save(tmp_path / "own.keras")
    name = str(tmp_path / "own.keras")
    both = flags(model=name, preprocess="pixels")
    np.testing.assert_allclose(
        inputs.load_model(both)(np.ones((1, 2))), 255 * own(np.ones((1, 2))), rtol=1e-5
    )
    assert inputs.load_model(both, "mnist/fc10-1").count_params() == 7850
    with pytest.raises(ValueError, match="its preprocessing inside"):
        inputs.load_model(flags(preprocess="pixels"))


def test_images_of_flags(capsys, tmp_path):
    layers = [keras.Input((8, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    for name, value in (("a", 0), ("b", 255)):
        (tmp_path / name).mkdir()
        image = np.full((4, 4, 3), value, np.uint8)
        (tmp_path / name / "x.png").write_bytes(tf.io.encode_png(image).numpy())
    (tmp_path / "b" / "broken.png").write_bytes(b"no picture")
    given = flags(model="own.keras", data=[str(tmp_path)], bounds=(-1.0, 1.0))
    found = inputs.load_data(given, model)
    assert found.images.shape == (2, 8, 6, 3) and found.class_names == ("a", "b")
    np.testing.assert_allclose(found.images.mean(axis=(1, 2, 3)), [-1, 1])
    assert found.labels.tolist() == [0, 1]
    printed = capsys.readouterr().err
    assert "skipped 1 files" in printed and "broken.png" in printed


def test_pixels_are_the_models_where_bounds_are_those_of_each_value(signed):
    signed("mnist/fc10-1")
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    found = inputs.load_data(flags(bounds="data", number=2), model, of_classifier=False)
    assert (found.images.min(), found.images.max()) == (-1, 1)


def test_pictures_are_scaled_to_what_a_network_of_the_zoo_takes(signed):
    signed("mnist/fc10-1")
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    found = inputs.load_data(flags(bounds=None, number=2), model, of_classifier=False)
    assert (found.images.min(), found.images.max()) == (-1, 1)


def test_names_of_skipped_files_do_nothing_to_a_terminal(monkeypatch, capsys):
    found = ImageSet(np.zeros((1, 2)), skipped=((Path("\x1b[2J.png"), "broken"),))
    monkeypatch.setattr(loading, "load_data", lambda *_, **__: found)
    inputs.load_data(flags(), keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    assert capsys.readouterr().err == "skipped 1 files:\n  \\x1b[2J.png: broken\n"


def test_folders_need_not_be_the_classes_of_a_network_whose_units_are_looked_at(tmp_path):
    for name in ("bark", "meow"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(
            tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy()
        )
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    given = flags(data=[str(tmp_path)], model="applications/MobileNetV2:random")
    assert inputs.load_data(given, model, of_classifier=False).class_names == ("bark", "meow")
    with pytest.raises(ValueError, match="must be called as one of the class names"):
        inputs.load_data(given, model)


def test_class_names(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("cat\n\ndog\n")
    assert inputs.class_names(flags(class_names=str(names)), "my.keras") == ("cat", "dog")
    for given, model in (("imagenet", "my.keras"), (None, "applications/VGG16")):
        assert inputs.class_names(flags(class_names=given), model)[9].startswith("ostrich")
    assert inputs.class_names(flags(), "my.keras") is None
    with pytest.raises(FileNotFoundError, match="no such file"):
        inputs.check_class_names("none.txt")


def test_image_files_are_those_named_and_those_in_folders(tmp_path):
    folder = tmp_path / "n01518878"
    folder.mkdir()
    picture = folder / "x.png"
    picture.write_bytes(tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy())
    for named in ([tmp_path], [folder], [picture]):
        assert inputs.image_files([str(path) for path in named]) == [picture]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        inputs.image_files([str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="name image files"):
        inputs.image_files([])


def test_size_of_images():
    rgb = keras.Sequential([keras.Input((12, 8, 3)), keras.layers.Flatten()])
    assert inputs.size_of_images(rgb) == (12, 8)
    other = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"must take images .* Received: \(6, 6, 2\)"):
        inputs.size_of_images(other)
    with pytest.raises(ValueError, match="is not built"):
        inputs.size_of_images(keras.Sequential([keras.layers.Dense(2)]))


def test_files_that_are_not_there():
    with pytest.raises(FileNotFoundError, match=r"no such file: my\.npz"):
        inputs.check_file("my.npz")
