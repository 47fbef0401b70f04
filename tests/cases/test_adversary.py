"""What the adversary once got wrong, each with its relatives."""

from __future__ import annotations

import os
import signal
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

import intriguing_tf as itf
from intriguing_tf.adversary import AttackInterrupted
from intriguing_tf.adversary.margins import hard_margins, told_apart
from intriguing_tf.adversary.pictures import titles
from intriguing_tf.classifier import Classifier
from intriguing_tf.traced_outputs import rounding_limits
from tests.adversary.networks import confirm, points, small_network


def predicted(model, images):
    return model.predict(images, verbose=0).argmax(axis=1)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def adversary(network):
    return itf.LBFGSAdversary(network, jit_compile=False)


# --- default precision


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.drawn(1)
def test_a_model_made_under_a_global_policy_of_low_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(12, "tanh", name="hidden"),
                                  keras.layers.Dense(4, name="scores")])  # fmt: skip
        model.set_weights(small_network().get_weights())
        result = itf.LBFGSAdversary(model, jit_compile=False)(points(12))
    finally:
        keras.config.set_dtype_policy(before)
    found = result.status == "found"
    assert found.mean() >= 0.9
    np.testing.assert_array_equal(predicted(model, result.images)[found], result.targets[found])


# --- bounds by rounding


@pytest.mark.slow
def test_pixels_that_centering_led_beyond_their_range_are_clipped():
    mean = np.array([103.939, 116.779, 123.68])
    pixels = np.array([[[0.0, 0, 0], [255, 255, 255]]] * 2, np.float32)
    x = np.nextafter(pixels - mean.astype(np.float32), np.sign(pixels - 1) * np.float32(1e9))
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    bounds = (-mean, 255 - mean)
    adversary = itf.LBFGSAdversary(model, bounds=bounds, jit_compile=False)
    result = adversary(x, targets="nearest")
    assert (result.images >= adversary.bounds[0]).all()
    assert (result.images <= adversary.bounds[1]).all()
    np.testing.assert_allclose(result.originals, x, rtol=1e-6)


@pytest.mark.slow
def test_what_lies_farther_out_is_refused(adversary):
    x = points(2)
    x[0, 0] = 1 + 1.2e-7
    assert adversary(x).originals.max() <= 1
    x[0, 0] = 1 + 1e-4
    with pytest.raises(ValueError, match=r"within the bounds \[0, 1\]"):
        adversary(x)


# --- what outputs are


@pytest.mark.slow
@pytest.mark.parametrize("scale, offset", [(2.0, -1.0), (2, -1), (1.0, -0.5), (-1, 0), (0.5, 0.2)])
@pytest.mark.drawn(2)
def test_probabilities_that_were_moved_are_attacked(scale, offset):
    """What may be negative has no logarithm, and is the logits."""
    inner = small_network(last="softmax")
    model = keras.Sequential([keras.Input((8,)), inner, keras.layers.Rescaling(scale, offset)])
    x = points(8)
    result = itf.LBFGSAdversary(model, jit_compile=False)(x, targets="nearest")
    assert (result.status == "found").all()
    confirm(model, result)
    if scale > 0:
        plain = itf.LBFGSAdversary(inner, jit_compile=False)(x, targets="nearest")
        np.testing.assert_allclose(result.l2, plain.l2, rtol=0.01)


@pytest.mark.slow
@pytest.mark.drawn(2)
@pytest.mark.parametrize("end", ["sigmoid", "tanh"])
@pytest.mark.parametrize("scale", [1.0, 20.0, 200.0, 2000.0])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_where_sigmoids_saturate_images_are_led_below(dtype, scale, end):
    """Of two that round to 1 the first is the class: the other has to leave 1, or to rise there."""
    layers = [keras.layers.Rescaling(scale), keras.layers.Activation(end, dtype=dtype)]
    model = keras.Sequential([keras.Input((8,)), small_network(), *layers])
    result = itf.LBFGSAdversary(model, jit_compile=False)(points(12), targets="nearest")
    np.testing.assert_array_equal(result.original_predictions, predicted(model, points(12)))
    assert (result.status == "found").all()
    confirm(model, result)


@pytest.mark.slow
def test_the_coarsest_dtype_on_the_way_to_the_outputs_counts():
    layers = [keras.layers.Rescaling(20.0), keras.layers.Activation("sigmoid")]
    layers += [keras.layers.Activation("linear", dtype=dtype) for dtype in ("float16", "float32")]
    model = keras.Sequential([keras.Input((8,)), small_network(), *layers])
    result = itf.LBFGSAdversary(model, jit_compile=False)(points(12), targets="nearest")
    assert (result.status == "found").all()
    confirm(model, result)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.drawn(1)
def test_confidence_is_of_logits_where_sigmoids_saturate(dtype):
    layers = [keras.layers.Rescaling(10.0), keras.layers.Activation("sigmoid", dtype=dtype)]
    inner = small_network()
    model = keras.Sequential([keras.Input((8,)), inner, *layers])
    plain, sure = (
        itf.LBFGSAdversary(model, confidence=c, jit_compile=False)(points(12), targets="nearest")
        for c in (0.0, 20.0)
    )
    found = sure.status == "found"
    assert found.mean() > 0.7
    logits = 10 * inner.predict(sure.images[found], verbose=0)
    others = np.where(np.arange(4) == sure.targets[found, None], -np.inf, logits).max(axis=1)
    margins = logits[np.arange(len(logits)), sure.targets[found]] - others
    assert (margins >= 20 - 0.2).all() and np.median(margins) < 22
    assert (plain.l2[found] <= 1.001 * sure.l2[found]).all()


def test_one_sigmoid_in_float64_is_divided_where_predict_divides_it():
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1),
            keras.layers.Activation("sigmoid", dtype="float64"),
        ]
    )
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    x = np.array([[1e-9], [-1e-9]], np.float32)
    expected = (model.predict(x, verbose=0)[:, 0] > 0.5).astype(int)
    np.testing.assert_array_equal(Classifier(model).predict(x), expected)
    assert expected.tolist() == [1, 0]


def test_outputs_without_rows_are_refused_by_their_shape():
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.sum(keras.layers.Dense(3)(x)))
    with pytest.raises(ValueError, match=r"shape \[n, classes\]. Received: outputs of shape \(\)"):
        itf.LBFGSAdversary(model)(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize("kind", ["sigmoids", "tanhs"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_margins_of_sigmoids_are_below_0_where_rounded_ones_are_apart(dtype, kind):
    """Near 1, near 0 or -1, and between, against the rounded outputs themselves."""
    with tf.Graph().as_default():
        entering = tf.zeros([1, 2], tf.as_dtype(dtype))
        outputs = tf.sigmoid(entering) if kind == "sigmoids" else tf.tanh(entering)
        limits = rounding_limits(kind, outputs)
    random = np.random.default_rng(0)
    logits = random.uniform(1.3 * limits[0], 1.5 * limits[1], (4000, 2))
    logits[::2] = random.uniform(0.6, 1.4, (2000, 2)) * limits[1]
    targets = random.integers(0, 2, 4000)
    wins = hard_margins(np.array(told_apart(tf.constant(logits), targets, limits)), targets) < 0
    exact = special.expit(logits) if kind == "sigmoids" else np.tanh(logits / 2)
    rounded = exact.astype(tf.as_dtype(dtype).as_numpy_dtype)
    rows = np.arange(4000)
    apart = rounded[rows, targets] > rounded[rows, 1 - targets]
    assert apart[wins].all() and wins.mean() > 0.3
    clearly = np.log(np.float64(rounded[rows, targets]) - rounded[rows, 1 - targets], where=apart,
                     out=np.full(4000, -np.inf)) > np.log(4) - limits[1]  # fmt: skip
    assert wins[clearly].all()


@pytest.mark.slow
def test_pictures_tell_the_probabilities_that_were_attacked(tmp_path):
    def shares(v):
        return tf.exp(3 * v) / tf.reduce_sum(tf.exp(3 * v), -1, keepdims=True)

    layers = [keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.Lambda(shares)]
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5, 5, 1)), *layers])
    x = np.random.default_rng(0).random((2, 5, 5, 1)).astype("float32")
    result = itf.LBFGSAdversary(model, outputs="probabilities")(x, targets="nearest")
    result.save(tmp_path / "result")
    read = itf.adversary.AdversarialResult.load(tmp_path / "result")
    saved = read.save_images(tmp_path / "images", model)
    assert len(saved.files) + len(saved.lost) == (result.status == "found").sum()
    own = model.predict(x, verbose=0).max(axis=1)
    told = titles(read, None, Classifier(model, outputs=read.settings["outputs"]))
    for title, share in zip(told, own, strict=True):
        assert f"({100 * share:.0f} %)" in title
    picture = read.plot(model=model).figure
    assert told[0] in {text.get_text() for text in picture.axes[0].texts}


def test_the_range_of_a_layer_of_ones_own_is_not_guessed():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.activation = keras.activations.relu

        def call(self, x):
            return x - 0.5 + self.activation(x)

    model = keras.Sequential([keras.Input((8,)), Block(), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="range of the outputs of layer 'block' is not known"):
        itf.LBFGSAdversary(model, layer="block")

    class Shifted(keras.layers.ReLU):
        def call(self, x):
            return super().call(x) - 1

    model = keras.Sequential([keras.Input((8,)), Shifted(name="block"), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="range of the outputs of layer 'block' is not known"):
        itf.LBFGSAdversary(model, layer="block")


# --- what a user sees


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "farther"), [(1e-4, 1.05), (1e-5, 1.3), (1e-6, 3.0)])
@pytest.mark.drawn(1)
def test_where_probabilities_tie_found_is_what_predict_says(scale, farther):
    inner = small_network()
    weights = inner.get_weights()
    inner.set_weights([*weights[:2], weights[2] * scale, weights[3] * scale])
    model = keras.Sequential([keras.Input((8,)), inner, keras.layers.Softmax()])
    x = points(24)
    result = itf.LBFGSAdversary(model, jit_compile=False)(x, targets="nearest")
    np.testing.assert_array_equal(result.original_predictions, predicted(model, x))
    np.testing.assert_array_equal(result.predictions, predicted(model, result.images))
    assert (result.status == "found").all()
    np.testing.assert_array_equal(result.predictions, result.targets)
    clear = itf.LBFGSAdversary(small_network(), jit_compile=False)(x, targets="nearest")
    assert result.l2.mean() < farther * clear.l2.mean()


# --- saturated starts


@pytest.mark.slow
def test_where_the_gradient_vanishes_other_starts_are_tried():
    model = small_network(activation="relu")
    weights = model.get_weights()
    weights[0][:4], weights[1] = np.abs(weights[0][:4]), weights[1] * 0 - 2.0
    weights[0][4:] = 0
    model.set_weights(weights)
    x = points(6)
    x[::3] = 0  # no unit is active there
    adversary = itf.LBFGSAdversary(model, jit_compile=False)
    result = adversary(x, targets="nearest")
    assert (result.status != "failed").all()
    confirm(model, result)
    alone = adversary(x[3:4], targets="nearest")
    np.testing.assert_allclose(alone.l2, result.l2[3:4], rtol=1e-3)


# --- given targets


@pytest.mark.slow
def test_every_image_that_is_not_its_target_yet_is_attacked(network, adversary):
    x = points(12)
    own = predicted(network, x)
    labels, targets = (own + 1) % 4, (own + 2) % 4
    targets[:3] = own[:3]
    result = adversary(x, labels, targets)
    assert (result.status[:3] == "already").all() and (result.status[3:] == "found").all()
    np.testing.assert_array_equal(result.predictions, targets)


def test_targets_that_are_the_labels_are_no_task(network, adversary):
    own = predicted(network, points(4))
    with pytest.raises(ValueError, match="`targets` must differ from `labels`"):
        adversary(points(4), own, own)


# --- scale


@pytest.mark.slow
def test_images_of_another_scale_warn(network):
    scaled = keras.Sequential([keras.Input((8,)), keras.layers.Rescaling(1 / 255), network])
    brief = {"solver": "scipy", "maxfun": 1, "jit_compile": False}
    with pytest.warns(UserWarning, match="fill less than 1 % of the bounds"):
        itf.LBFGSAdversary(scaled, bounds=(0.0, 255.0), **brief)(points(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        itf.LBFGSAdversary(network, **brief)(points(3))


# --- forms of input


def as_column(labels):
    return labels[:, None]


def as_one_hot(labels):
    return keras.utils.to_categorical(labels, 4)


@pytest.mark.slow
@pytest.mark.parametrize("form", [as_column, as_one_hot])
def test_labels_in_other_forms(network, adversary, form):
    own = predicted(network, points(4))
    plain = adversary(points(4), own, "least_likely")
    other = adversary(points(4), form(own), "least_likely")
    np.testing.assert_array_equal(other.images, plain.images)


def test_scores_are_no_labels(network, adversary):
    with pytest.raises(ValueError, match=r"labels\.argmax\(axis=1\)"):
        adversary(points(4), network.predict(points(4), verbose=0))


def test_one_class_for_all(network, adversary):
    result = adversary(points(12), targets=2)
    assert (result.targets == 2).all() and result.success.all()
    own = predicted(network, points(12))
    np.testing.assert_array_equal(result.status == "already", own == 2)


@pytest.mark.parametrize("batch", [None, pytest.param(5, marks=pytest.mark.slow)])
def test_a_dataset(network, adversary, batch):
    x, own = points(12), predicted(network, points(12))
    dataset = tf.data.Dataset.from_tensor_slices((x, own))
    result = adversary(dataset if batch is None else dataset.batch(batch), targets="least_likely")
    np.testing.assert_array_equal(result.l2, adversary(x, own, "least_likely").l2)
    with pytest.raises(ValueError, match="infinite"):
        adversary(dataset.repeat())
    with pytest.raises(ValueError, match="labels once"):
        adversary(dataset, own)


# --- stopping


class Slow(keras.layers.Layer):
    """Takes its time; after so many calls it sends Ctrl-C."""

    calls_to_ctrl_c = -1  # never

    def call(self, x):
        def wait(value):
            time.sleep(0.02)
            if self.calls_to_ctrl_c == 0:
                os.kill(os.getpid(), signal.SIGINT)
            self.calls_to_ctrl_c -= 1
            return value

        y = tf.numpy_function(wait, [tf.stop_gradient(x)], x.dtype)
        y.set_shape(x.shape)
        return x + tf.stop_gradient(y - x)


@pytest.fixture(scope="module")
def slow():
    return keras.Sequential([keras.Input((8,)), Slow(), small_network(activation="relu")])


@pytest.mark.slow
def test_a_time_limit_gives_what_was_found_until_then(slow):
    adversary = itf.LBFGSAdversary(slow, jit_compile=False, maxfun=10000, xtol=1e-9, starts=500)
    adversary(points(1), time_limit=0.1)  # compiles
    began = time.monotonic()
    result = adversary(points(12), time_limit=1.5)
    assert time.monotonic() - began < 8  # of a busy machine
    assert result.settings["stopped"] == "time_limit" and result.settings["time_limit"] == 1.5
    assert (result.status == "found").any()


@pytest.mark.slow
def test_ctrl_c_ends_the_attack_and_keeps_what_was_found(slow):
    adversary = itf.LBFGSAdversary(slow, jit_compile=False, maxfun=10000, xtol=1e-9, starts=500)
    adversary(points(1), time_limit=0.1)
    slow.layers[0].calls_to_ctrl_c = 60
    with pytest.raises(AttackInterrupted) as caught:
        adversary(points(12), time_limit=60)
    result = caught.value.result
    assert len(result) == 12 and (result.status == "found").any()
    assert result.settings["stopped"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["nearest", "random", "least_likely", 1, 2])
@pytest.mark.drawn(1)
def test_where_sigmoids_saturate_no_image_becomes_what_it_is(targets):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "sigmoid")])
    model.set_weights([np.eye(3), np.zeros(3)])
    x = np.array([[18, 20, 0], [20, 18, 19], [19, 1, 25], [1, 4, 2]], np.float32)
    result = itf.LBFGSAdversary(model, bounds=(0, 30))(x, targets=targets)
    found = result.status == "found"
    np.testing.assert_array_equal(result.original_predictions, predicted(model, x))
    np.testing.assert_array_equal(result.predictions, predicted(model, result.images))
    assert (result.predictions != result.original_predictions)[found].all()
    assert found[3] == (targets != 1)


# --- what changes from call to call


class Noise(keras.layers.Layer):
    def call(self, inputs):
        return inputs + 0.3 * keras.random.normal(keras.ops.shape(inputs))


class Centered(keras.layers.Layer):
    def call(self, inputs):
        return inputs - keras.ops.mean(inputs, axis=0, keepdims=True)


@pytest.mark.parametrize("layer", [Noise, Centered])
def test_a_model_that_changes_its_mind_is_refused(layer):
    model = keras.Sequential([keras.Input((8,)), layer(), small_network()])
    with pytest.raises(ValueError, match="the same logits each time"):
        itf.LBFGSAdversary(model, jit_compile=False)(points(20))


@pytest.mark.slow
def test_found_is_what_predict_says_in_its_own_batches(network):
    class Batched(keras.layers.Layer):
        """Other outputs in batches of other sizes, beyond a plane that no image is beyond."""

        def call(self, inputs):
            beyond = keras.ops.cast(inputs[:, :1] > 0.5, "float32")
            odd = keras.ops.cast(keras.ops.shape(inputs)[0] <= 32, "float32")
            return inputs - 100 * beyond * odd * keras.ops.eye(8)[0]

    model = keras.Sequential([keras.Input((8,)), Batched(), network])
    x = points(40)
    x[:, 0] = 0.5
    with pytest.warns(UserWarning, match="another class in batches of 32"):
        result = itf.LBFGSAdversary(model, jit_compile=False)(x)
    np.testing.assert_array_equal(result.predictions, predicted(model, result.images))
    assert 0 < (result.status == "found").sum() < 40


# --- what was held stays, wherever a result goes


@pytest.fixture(scope="module")
def pictures():
    """Pictures of three colours [n, 6, 6, 3], whole levels of 8 bits, and their classes."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 24)
    color = 0.3 * np.eye(3)[labels][:, None, None] + 0.1
    levels = np.rint(255 * (0.5 * random.random((24, 6, 6, 3)) + color))
    return (levels / 255).astype(np.float32), labels


def of_colors(x, labels):
    keras.utils.set_random_seed(1)
    conv = keras.layers.Conv2D(8, 3, activation="relu")
    pool, logits = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((6, 6, 3)), conv, pool, logits])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss)
    model.fit(x, labels, epochs=40, verbose=0)
    return model


@pytest.mark.slow
def test_pixels_that_a_mask_holds_are_held_in_files_too(pictures, tmp_path):
    x, labels = pictures
    mask = np.zeros((6, 6, 1), bool)
    mask[1:5, 1:5] = True
    result = itf.LBFGSAdversary(of_colors(x, labels))(x, mask=mask, targets="nearest")
    result.save(tmp_path / "result")
    read = itf.AdversarialResult.load(tmp_path / "result")
    for each in (result, result[::-1][::-1], read):
        saved = each.save_images(tmp_path / "images", result.classifier.model)
        assert len(saved.rows) + len(saved.lost) == (result.status == "found").sum() > 0
        before = np.rint(255 * x[saved.rows]).astype(int)
        assert not (saved.images - before)[:, ~mask[..., 0]].any()
        assert (saved.images != before).any()


@pytest.mark.slow
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.drawn(1)
def test_levels_lie_between_the_bounds_of_their_channel(each, pictures, tmp_path):
    x, labels = pictures
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    scaled = (x - mean) / std
    model = of_colors(scaled, labels)
    bounds = [(end - mean) / std for end in (0, 1)]
    if each:  # as bounds of each image
        bounds = [np.broadcast_to(bound, x.shape) for bound in bounds]
    result = itf.LBFGSAdversary(model, bounds=bounds)(scaled, targets="nearest")
    saved = result.save_images(tmp_path)
    assert len(saved.rows) > 5
    as_read = (saved.images / np.float32(255) - mean) / std
    np.testing.assert_array_equal(predicted(model, as_read), saved.predictions)
    assert (saved.predictions != result.original_predictions[saved.rows]).all()
    row = int(saved.rows[0])
    np.testing.assert_array_equal(result[row].save_images(tmp_path).images[0], saved.images[0])
    amplified = itf.transfer.amplify(result, 0.1)
    rms = itf.transfer.rms(amplified, result.originals, tuple(bounds))
    assert (rms <= 0.1 + 1e-6).all() and rms.max() > 0.05


@pytest.mark.slow
def test_levels_need_finite_bounds(pictures, tmp_path):
    x, _ = pictures
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3))
    result = itf.LBFGSAdversary(model, bounds=(-np.inf, np.inf))(x[:3])
    with pytest.raises(ValueError, match="8 bits need finite bounds"):
        result.save_images(tmp_path)
    assert result.plot().png()


@pytest.mark.slow
def test_variables_that_bounds_hold_are_held_by_all_that_follows():
    model, x = small_network(), points(16)
    lower, upper = np.zeros(x.shape[1:], np.float32), np.ones(x.shape[1:], np.float32)
    lower.flat[0] = upper.flat[0] = 0.5
    x[(slice(None), *np.unravel_index(0, x.shape[1:]))] = 0.5
    bounds, labels = (lower, upper), predicted(model, x)
    result = itf.LBFGSAdversary(model, bounds=bounds)(x)
    for given in (None, bounds):
        amplified = itf.transfer.amplify(result, bounds=given)
        assert (amplified.reshape(len(x), -1)[:, 0] == 0.5).all()
    noisy = itf.transfer.gaussian_noise(x, bounds=bounds)
    assert (noisy.reshape(len(x), -1)[:, 0] == 0.5).all() and (noisy != x).any()
    for interval, distortion in ((0, 0.05), (1, None), (1, 0.05)):
        pool = itf.training.AdversarialPool(
            interval=interval, distortion=distortion, bounds=bounds,
            **({"size": 8, "refresh": 4} if interval else {}),
        )  # fmt: skip
        trained = itf.training.AdversarialModel(model, [pool])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        trained.compile(keras.optimizers.SGD(1e-3), loss)
        assert np.isfinite(trained.fit(x, labels, batch_size=8, verbose=0).history["loss"]).all()


def test_what_rounding_leads_over_the_bounds_is_clipped_by_noise_too():
    images = np.full((2, 4), 0.3, np.float32)  # a little above the float64
    assert itf.transfer.gaussian_noise(images, bounds=(0, 0.3)).max() <= np.float32(0.3)


# --- a limit of time holds for all that a call does


class Counted(keras.layers.Layer):
    """Counts how often it runs."""

    runs = 0

    def call(self, inputs):
        def count(x):
            type(self).runs += 1
            return x

        return tf.ensure_shape(tf.grad_pass_through(
            lambda x: tf.numpy_function(count, [x], x.dtype)
        )(inputs), inputs.shape)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"levels": 256}, {"solver": "scipy"}, {"starts": 9}])
@pytest.mark.drawn(2)
def test_after_the_limit_a_call_comes_to_its_end(settings):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), Counted(), keras.layers.Dense(9, "relu"), keras.layers.Dense(3)]
    adversary = itf.LBFGSAdversary(keras.Sequential(layers), **settings)
    images = np.random.default_rng(0).random((40, 4), np.float32)
    whole = adversary(images)
    everything, Counted.runs = Counted.runs, 0
    stopped = adversary(images, time_limit=1e-9)
    assert stopped.settings["stopped"] == "time_limit"
    assert Counted.runs < 20 < everything and whole.success.any()
