"""Results to look at: pictures, tables, and PNGs that still are adversarial."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.adversary import pictures
from intriguing_tf.adversary.pixels import _is_adversarial
from intriguing_tf.reporting import Picture, Table

FAST = {"solver": "scipy", "maxfun": 25, "jit_compile": False}


def linear(shape, classes=3):
    model = keras.Sequential(
        [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    )
    random = np.random.default_rng(0)
    weights = [4 * random.normal(size=w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    return model


def attack(shape, bounds=(0.0, 1.0), number=6, **options):
    lower, upper = bounds
    images = np.random.default_rng(1).uniform(lower, upper, (number, *shape)).astype("float32")
    adversary = itf.LBFGSAdversary(linear(shape), bounds=bounds, **FAST)
    return adversary(images, verbose=False, **options)


@pytest.fixture(scope="module")
def result():
    return attack((6, 5, 3), (-1.0, 3.0))


@pytest.mark.slow
def test_images_of_any_range_are_drawn(result):
    picture = result.plot(["cat", "dog", "a very long name of a class, other words"], number=3)
    assert isinstance(picture, Picture) and picture.png().startswith(b"\x89PNG")
    texts = " ".join(text.get_text() for axes in picture.figure.axes for text in axes.texts)
    assert "%" in texts and "→" in texts and "other words" not in texts
    shown = picture.figure.axes[0].images
    assert len(shown) == 9  # three rows of three
    expected = (result.originals[0] + 1) / 4
    np.testing.assert_allclose(shown[0].get_array(), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, kind", [((7,), "table"), ((9, 2), "series"), ((6, 5), "images"), ((4, 4, 2), "table")]
)
@pytest.mark.drawn(2)
def test_what_is_no_image_is_drawn_otherwise(shape, kind):
    found = attack(shape, number=2)
    assert pictures.kind_of(found.originals) == kind
    shown = found.plot()
    assert isinstance(shown, Table if kind == "table" else Picture)
    if kind == "table":
        change = np.abs(found.images - found.originals).reshape(2, -1)
        assert f"[{change[0].argmax()}] " in shown.rows[0][-1].split(", ")[0]


def test_pngs_still_are_adversarial_as_they_are_read_back(result, tmp_path):
    saved = result.save_images(tmp_path, class_names=["cat", "dog", "bird"])
    assert len(saved.files) == 6 and not len(saved.lost)
    model = result.classifier
    for file, row, prediction in zip(saved.files, saved.rows, saved.predictions, strict=True):
        pixels = tf.io.decode_png(file.read_bytes()).numpy()
        image = -1 + 4 * pixels.astype("float32") / 255
        assert model.predict(image[None])[0] == prediction == result.predictions[row]
        names = ["cat", "dog", "bird"]
        before, after = result.original_predictions[row], result.predictions[row]
        assert file.name == f"{row:04d}_{names[before]}_as_{names[after]}.png"
    assert "6 images of 8 bits are adversarial" in str(saved)
    assert (saved.distortion < 3 * result.distortion.max() + 0.01).all()


@pytest.mark.slow
def test_what_rounding_undoes_is_brought_back(tmp_path):
    """A change of less than half a level vanishes in rounding, and its PNG must show more."""
    model = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.set_weights([np.array([[0, 1000.0]] * 4), np.array([0, -1000 * 4 * 100.1 / 255])])
    images = np.full((1, 2, 2, 1), 100 / 255, "float32")
    found = itf.LBFGSAdversary(model, **FAST)(images, targets=[1], verbose=False)
    assert np.abs(found.images - images).max() < 0.5 / 255
    (file,) = found.save_images(tmp_path).files
    pixels = tf.io.decode_png(file.read_bytes()).numpy()
    assert pixels.min() >= 100 and pixels.max() == 101


class Broken:
    """Predicts no class for all but the first image."""

    def predict(self, images, batch_size):
        return np.where(np.arange(len(images)) == 0, 1, -1)


@pytest.mark.parametrize("targets", ["nearest", "given"])
def test_pixels_without_a_class_are_not_adversarial(targets):
    found = SimpleNamespace(
        original_predictions=np.zeros(3, np.int64),
        predictions=np.ones(3, np.int64),
        settings={"targets": targets},
        bounds=(0.0, 1.0),
    )
    survives = _is_adversarial(found, np.zeros((3, 2, 2, 1), np.uint8), Broken())
    assert survives.tolist() == [True, False, False]


@pytest.mark.slow
def test_rows_that_were_not_found_get_no_file(tmp_path):
    found = attack((4, 4, 1), labels=np.zeros(6, int))
    saved = found.save_images(tmp_path)
    assert 0 < len(saved.files) == (found.status == "found").sum() < 6
    assert len(list(tmp_path.iterdir())) == len(saved.files)


@pytest.mark.parametrize("status", ["found", "failed"])
def test_where_nothing_was_found_there_are_no_files(result, tmp_path, status):
    few = result[:0] if status == "found" else result
    none = dataclasses.replace(few, status=np.full(len(few), status))
    saved = none.save_images(tmp_path)
    assert saved.files == () and saved.images.shape == (0, 6, 5, 3) and "0 images" in str(saved)
    assert not list(tmp_path.iterdir())


def test_without_rows_there_is_nothing_to_draw(result):
    with pytest.raises(ValueError, match="a result without rows"):
        result[:0].plot()


@pytest.mark.slow
def test_long_names_tell_the_files_and_the_rows_apart(result, tmp_path):
    names = ["n02085620-Chihuahua_long", "german_shepherd_dog_1", "german_shepherd_dog_2"]
    files = [file.stem for file in result.save_images(tmp_path, class_names=names).files]
    assert {tuple(file[5:].split("_as_")) for file in files} == {
        (names[before], names[after])
        for before, after in zip(result.original_predictions, result.predictions, strict=True)
    }
    rows = attack((7,), number=2).plot(names).rows
    assert all({row[1], row[2]} <= set(names) for row in rows)


def test_dollar_signs_are_drawn(result):
    names = ["$\\foo$", "$a_$", "price < 5 $"]
    assert result.plot(names).png().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_result_from_a_file_needs_its_model(result, tmp_path):
    loaded = itf.AdversarialResult.load(result.save(tmp_path / "result"))
    assert loaded.classifier is None
    with pytest.raises(ValueError, match="give `model`"):
        loaded.save_images(tmp_path / "images")
    model = linear((6, 5, 3))
    assert len(loaded.save_images(tmp_path / "images", model).files) == 6
    with pytest.raises(ValueError, match="PNGs are for images"):
        attack((7,)).save_images(tmp_path)
