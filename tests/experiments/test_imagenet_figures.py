"""Figures 3 to 6 and transfer on ImageNet-shaped networks that are quick to attack."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.experiments import (
    Figure5,
    Figure6,
    Figures3And4,
    ImagenetTransfer,
    at_size,
)
from intriguing_tf.experiments.figure5 import to_bytes

OSTRICH = 9
QUICK = {"solver": "scipy", "jit_compile": False}  # to compile takes longer than to attack a few


def linear_network(seed=0, size=12, scale=3.0, name="linear"):
    """A thousand classes from pixels, one matrix: the adversary's problem is convex."""
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Flatten(name="pixels"),
            keras.layers.Dense(1000, name="logits"),
        ],
        name=name,
    )
    random = np.random.default_rng(seed)
    kernel = scale * random.normal(size=(size * size * 3, 1000))
    model.set_weights([kernel.astype("float32"), np.zeros(1000, "float32")])
    return model


def images(n=4, size=12, seed=1):
    return np.random.default_rng(seed).uniform(0.2, 0.8, (n, size, size, 3)).astype("float32")


@pytest.fixture(scope="module")
def ostriches():
    return Figure5("ostrich", options=QUICK).run(
        linear_network(), images(), [f"{i}.jpg" for i in range(4)]
    )


@pytest.mark.slow
def test_every_image_becomes_an_ostrich_at_the_hyperplane(ostriches):
    """The distance cannot be below that to the nearest hyperplane between the two classes."""
    result = ostriches.adversarial
    assert result.success.all() and (result.predictions == OSTRICH).all()
    model = linear_network()
    logits, kernel = model(images()).numpy(), model.get_weights()[0]
    gaps = logits - logits[:, [OSTRICH]]
    distances = gaps / np.maximum(np.linalg.norm(kernel - kernel[:, [OSTRICH]], axis=0), 1e-9)
    l2 = result.distortion * np.sqrt(12 * 12 * 3)
    assert (l2 >= distances.max(1) * 0.999).all() and (l2 < 3 * distances.max(1)).all()
    text = str(ostriches)
    assert "4 of 4 became 'ostrich, Struthio camelus'" in text and "0.006508" in text


@pytest.mark.slow
def test_rounding_is_checked_by_the_network(ostriches):
    model = linear_network()
    read = model.predict(ostriches.rounded / np.float32(255), verbose=0).argmax(-1)
    np.testing.assert_array_equal(read, ostriches.rounded_predictions)
    survivors = Figure5("ostrich", survive_rounding=True).run(model, images(), list("abcd"))
    assert (survivors.rounded_predictions == OSTRICH).all()
    assert (survivors.rounded_distortion < 2 * survivors.adversarial.distortion).all()


def test_saved_pictures_hold_what_was_measured(ostriches, tmp_path):
    sheet = ostriches.save(tmp_path)
    pixels = tf.io.decode_png(sheet.read_bytes()).numpy()
    assert pixels.shape == (4 * 12, 3 * 12, 3)
    np.testing.assert_array_equal(pixels[:12, :12], to_bytes(images()[0]))
    np.testing.assert_array_equal(pixels[12:24, 24:], ostriches.rounded[1])
    difference = ostriches.rounded[1] / 255 - images()[1].astype("float64")
    expected = np.clip(128 + 2550 * difference, 0, 255)
    np.testing.assert_allclose(pixels[12:24, 12:24], expected, atol=0.51)
    single = tf.io.decode_png((tmp_path / "002_2_adversarial.png").read_bytes()).numpy()
    np.testing.assert_array_equal(single, ostriches.rounded[2])
    loaded = itf.AdversarialResult.load(tmp_path / "result.npz")
    np.testing.assert_array_equal(loaded.images, ostriches.adversarial.images)
    assert not list(tmp_path.glob(".*"))


def test_figure5_refuses_what_it_cannot_attack():
    model = linear_network()
    with pytest.raises(ValueError, match="Near: 9"):
        Figure5("ostritch").run(model, images(), list("abcd"))
    with pytest.raises(ValueError, match="4 names"):
        Figure5().run(model, images(), ["a"])
    digits = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten()])
    digits.add(keras.layers.Dense(10))
    with pytest.raises(ValueError, match="1000 classes"):
        Figure5().run(digits, images(), list("abcd"))


@pytest.mark.slow
def test_transfer_resumes_and_refuses_other_images(tmp_path):
    models = {"one": linear_network(0), "two": linear_network(7)}
    x = images(6)
    labels = models["one"].predict(x, verbose=0).argmax(-1)
    experiment = ImagenetTransfer(stddevs=(0.05,), options=QUICK)
    matrix = experiment.run(models, x, labels, tmp_path)
    assert matrix["undistorted", "one"] == 0
    assert matrix["for one", "one"] == 1
    assert matrix.rows[-1] == "Gaussian noise 0.05" and len(matrix.rows) == 6
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = experiment.run(models, x, labels, tmp_path)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    np.testing.assert_array_equal(again.errors, matrix.errors)
    with pytest.raises(ValueError, match="other images"):
        experiment.run(models, images(6, seed=5), labels, tmp_path)
    with pytest.raises(ValueError, match="one size"):
        experiment.run({"one": models["one"], "big": linear_network(size=16)}, x, labels)
    resized = at_size(linear_network(size=16), (12, 12))
    np.testing.assert_allclose(
        resized(x), linear_network(size=16)(tf.image.resize(x, (16, 16))), rtol=1e-4, atol=1e-4
    )


def test_figures_3_and_4_compare_distances_only():
    model, other = linear_network(), linear_network(5)
    x = images(30)
    result = Figures3And4(k=3, number=20).run(model, "logits", x, other, "logits")
    text = str(result)
    assert "distance" in text and "purity" not in text and "Exploratory" in text
    units, directions = result.pictures(x, shown=2)
    assert units.svg() != directions.svg()


@pytest.mark.slow
def test_figure6_fools_a_binary_classifier_both_ways(monkeypatch):
    """On the bundled digits, with a network small enough to train in moments."""
    sample = itf.datasets.mnist_sample()

    def half(split, subset=None):
        rows = slice(None, None, 2) if split == "train" else slice(1, None, 2)
        return sample[0][rows], sample[1][rows]

    monkeypatch.setattr("intriguing_tf.datasets.mnist", half)
    config = itf.models.QuocNetConfig((28, 28, 1), (9,), maps=4, pool_size=5, contrast_size=3)
    result = Figure6(positive=0, config=config, attacked=8, epochs=2).run()
    assert result.missed < 0.35 and result.false_alarms < 0.1
    assert result.model.output_shape == (None, 1)
    right = result.adversarial.original_predictions == result.truth
    assert right.sum() >= 6 and (result.adversarial.status[right] == "found").all()
    assert (result.adversarial.predictions[right] == 1 - result.truth[right]).all()
    assert "class to rest" in str(result)
    assert result.picture(shown=1).figure is not None
    with pytest.raises(ValueError, match="has the classes 0, 1, 2"):
        Figure6(positive="car", config=config).run()
