import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.classifier import Classifier
from intriguing_tf.experiments import ImagenetTransfer, at_size


@pytest.mark.slow
def test_transfer_resumes_and_refuses_other_attacks(tmp_path, linear_network, images, quick):
    models = {"one": linear_network(0), "two": linear_network(7)}
    x = images(6)
    labels = models["one"].predict(x, verbose=0).argmax(-1)
    experiment = ImagenetTransfer(stddevs=(0.05,), options=quick)
    matrix = experiment.run(models, x, labels, tmp_path)
    assert matrix["undistorted", "one"] == 0
    assert matrix["for one", "one"] == 1
    assert matrix.rows[-1] == "Gaussian noise 0.05" and len(matrix.rows) == 6
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    assert before
    again = experiment.run(models, x, labels, tmp_path)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    np.testing.assert_array_equal(again.errors, matrix.errors)
    for other in (
        lambda: experiment.run(models, images(6, seed=5), labels, tmp_path),
        lambda: experiment.run(models | {"two": linear_network(8)}, x, labels, tmp_path),
        lambda: dataclasses.replace(experiment, seed=1).run(models, x, labels, tmp_path),
    ):
        with pytest.raises(ValueError, match="holds another sweep"):
            other()
    with pytest.raises(ValueError, match="one size"):
        experiment.run({"one": models["one"], "big": linear_network(size=16)}, x, labels)
    resized = at_size(linear_network(size=16), (12, 12))
    np.testing.assert_allclose(
        resized(x), linear_network(size=16)(tf.image.resize(x, (16, 16))), rtol=1e-4, atol=1e-4
    )


def test_images_are_resized_in_the_precision_of_the_model(linear_network, images, other_precision):
    model, x = linear_network(size=16), images(2)
    expected = at_size(model, (12, 12))(x)
    other_precision()
    found = at_size(model, (12, 12))
    assert Classifier(found).dtype == "float32"
    np.testing.assert_allclose(found(x), expected, rtol=1e-5, atol=1e-5)


class Subclassed(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize(
    ("shape", "size", "error", "message"),
    [
        ((8, 8, 1), (3, 3), ValueError, r"\[n, height, width, 3\].*\(8, 8, 1\)"),
        ((8,), (3, 3), ValueError, r"\[n, height, width, 3\].*\(8,\)"),
        ((None, None, 3), (3, 3), ValueError, "of one size.*None"),
        ((8, 8, 3), (3, 3, 3), ValueError, "`size` must be a pair"),
        ((8, 8, 3), 3, TypeError, "`size` must be a pair"),
    ],
)
def test_what_cannot_be_resized_is_refused(shape, size, error, message):
    model = keras.Sequential([keras.Input(shape), keras.layers.Dense(2)])
    with pytest.raises(error, match=message):
        at_size(model, size)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bounds": (0, 255)}, ValueError, r"leave `bounds` out.*Received: bounds=\(0, 255\)"),
        ("scipy", TypeError, "`options` must be a dictionary"),
    ],
)
def test_options_of_other_units_are_refused_before_the_sweep(
    options, error, message, linear_network, images, tmp_path
):
    experiment = ImagenetTransfer(options=options)
    with pytest.raises(error, match=message):
        experiment.run({"one": linear_network()}, images(2), np.arange(2), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_subclassed_models_take_part(linear_network, images, quick):
    model = Subclassed(linear_network(0))
    x = images(4)
    labels = model.predict(x, verbose=0).argmax(-1)
    matrix = ImagenetTransfer(stddevs=(), options=quick).run({"own": model}, x, labels)
    assert matrix["undistorted", "own"] == 0 and matrix["for own", "own"] == 1
    with pytest.raises(ValueError, match="does not tell"):
        at_size(model, (3, 3))
