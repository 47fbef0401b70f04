"""Every image becomes an ostrich, and what rounding to 8 bits leaves of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import intriguing_tf as itf
from intriguing_tf.experiments import Figure5
from intriguing_tf.experiments.figure5 import to_bytes

OSTRICH = 9


@pytest.fixture(scope="module")
def ostriches(linear_network, images, quick):
    return Figure5("ostrich", options=quick).run(
        linear_network(), images(), [f"{i}.jpg" for i in range(4)]
    )


@pytest.mark.slow
def test_every_image_becomes_an_ostrich_at_the_hyperplane(ostriches, linear_network, images):
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
def test_rounding_is_checked_by_the_network(ostriches, linear_network, images):
    model = linear_network()
    predicted = model.predict(ostriches.rounded / np.float32(255), verbose=0).argmax(-1)
    np.testing.assert_array_equal(predicted, ostriches.rounded_predictions)
    assert (ostriches.rounded_predictions == OSTRICH).all()
    assert (ostriches.rounded_distortion < 2 * ostriches.adversarial.distortion).all()
    only_rounded = Figure5("ostrich", survive_rounding=False).run(model, images(), list("abcd"))
    np.testing.assert_array_equal(only_rounded.rounded, to_bytes(only_rounded.adversarial.images))


@pytest.mark.slow
def test_saved_pictures_hold_what_was_measured(ostriches, tmp_path, images):
    with Image.open(ostriches.save(tmp_path)) as figure:
        assert figure.width > 3 * 12 and "magnified 10 times" in figure.info["Description"]
    titles = [axes.get_title() for axes in ostriches.picture().figure.axes]
    assert titles[1::3] == ["difference, 10 times"] * 4 and titles[2::3] == ["ostrich"] * 4
    for i, original in enumerate(images()):
        before, difference, after = (
            tf.io.decode_png((tmp_path / f"{i:03d}_{i}_{kind}.png").read_bytes()).numpy()
            for kind in ("original", "difference", "adversarial")
        )
        np.testing.assert_array_equal(before, to_bytes(original))
        np.testing.assert_array_equal(after, ostriches.rounded[i])
        change = ostriches.rounded[i] / 255 - original.astype("float64")
        expected = np.clip(128 + 2550 * change, 0, 255)
        np.testing.assert_allclose(difference, expected, atol=0.51)
    loaded = itf.AdversarialResult.load(tmp_path / "result.npz")
    np.testing.assert_array_equal(loaded.images, ostriches.adversarial.images)
    assert not list(tmp_path.glob(".*"))


def test_photographs_with_long_names_are_saved(linear_network, images, tmp_path):
    x = images(2)
    names = [f"{'ж' * 118}.png", f"{'ж' * 118}{'a' * 9}.png"]
    options = {"solver": "scipy", "maxfun": 1}
    result = Figure5("ostrich", False, options).run(linear_network(), x, names)
    result.save(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {*result.files}
    assert len({*result.files}) == 10 and result.table().rows[0][0] == names[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_images_that_were_ostriches_did_not_become_any(linear_network, images, quick):
    model = linear_network()
    kernel, bias = model.get_weights()
    model.set_weights([kernel, bias + 1e3 * np.eye(1000, dtype="float32")[OSTRICH]])
    result = Figure5("ostrich", options=quick).run(model, images(), list("abcd"))
    assert np.isnan(result.distortion)
    assert "0 of 4 became 'ostrich, Struthio camelus', and 4 were from the start; 4 still" in str(
        result
    )


@pytest.mark.slow
def test_a_subclassed_network_is_asked_for_its_classes(linear_network, images, quick):
    class Subclassed(keras.Model):
        def __init__(self, network):
            super().__init__(name="subclassed")
            self.network = network

        def call(self, inputs):
            return self.network(inputs)

    digits = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten()])
    digits.add(keras.layers.Dense(10))
    few, model = Subclassed(digits), Subclassed(linear_network())
    few(images()), model(images())
    with pytest.raises(ValueError, match=r"1000 classes. Received: 'subclassed' with 10"):
        Figure5().run(few, images(), list("abcd"))
    result = Figure5("ostrich", options=quick).run(model, images(), list("abcd"))
    assert (result.rounded_predictions == OSTRICH).all()


@pytest.mark.slow
def test_an_image_whose_outputs_are_not_finite_is_of_no_class(linear_network, images, quick):
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, linear_network()(keras.ops.sqrt(inputs - 0.1)))
    some = images(2)
    some[1] = 0
    result = Figure5("ostrich", False, {**quick, "maxfun": 2}).run(model, some, list("ab"))
    *_, row = result.table().rows
    assert row[0] == "b" and {row[1], row[2], row[4]} == {"-1"}


def test_figure5_refuses_what_it_cannot_attack(linear_network, images):
    model = linear_network()
    with pytest.raises(ValueError, match="Near: 9"):
        Figure5("ostritch").run(model, images(), list("abcd"))
    with pytest.raises(ValueError, match="4 names"):
        Figure5().run(model, images(), ["a"])
    with pytest.raises(TypeError, match="`names` must be a sequence of names"):
        Figure5().run(model, images(), [1.0, 2.0, 3.0, 4.0])
    digits = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten()])
    digits.add(keras.layers.Dense(10))
    with pytest.raises(ValueError, match="1000 classes"):
        Figure5().run(digits, images(), list("abcd"))
    with pytest.raises(ValueError, match=r"leave `bounds` out.*Received: bounds=\(0, 2\)"):
        Figure5(options={"bounds": (0, 2)}).run(model, images(), list("abcd"))
    with pytest.raises(TypeError, match="`options` must be a dictionary"):
        Figure5(options="scipy").run(model, images(), list("abcd"))
    with pytest.raises(ValueError, match="must have shape"):
        Figure5().run(model, images(size=8), list("abcd"))
