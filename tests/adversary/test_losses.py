"""Losses are objects: a loss of one's own is one class."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.adversary.losses import LOSSES, Loss, Margin, find_loss, soft_maximum
from intriguing_tf.adversary.margins import above_target
from tests.adversary.networks import points, small_network


class Hinge(Loss):
    """Grows with the margin where the target does not win yet."""

    name = "hinge"

    def value(self, above):
        return tf.nn.relu(tf.reduce_max(above, axis=1) + 1.0)


LOGITS = np.random.default_rng(0).normal(size=(20, 5))
TARGETS = np.arange(20) % 5


@pytest.mark.parametrize("name", LOSSES)
def test_values_from_the_logits(name):
    expected = {
        "cross_entropy": keras.losses.SparseCategoricalCrossentropy(True, reduction=None)(
            TARGETS, LOGITS
        ),
        "margin": [
            np.log(np.exp(np.delete(row, target)).sum()) - row[target]
            for row, target in zip(LOGITS, TARGETS, strict=True)
        ],
    }[name]
    above = above_target(tf.constant(LOGITS), tf.constant(TARGETS))
    np.testing.assert_allclose(LOSSES[name].value(above), expected, rtol=1e-6)


def test_the_soft_maximum_tends_to_the_hard_one():
    above = above_target(tf.constant(LOGITS), tf.constant(TARGETS))
    hard = tf.reduce_max(above, axis=1)
    for sharpness in (1.0, 10.0, 1000.0):
        soft = soft_maximum(above, tf.fill([20], tf.constant(sharpness, tf.float64)), 0.0)
        excess = (soft - hard).numpy()
        assert (excess >= 0).all() and excess.max() <= np.log(4) / sharpness
    np.testing.assert_allclose(soft, hard, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["compiled", "scipy"])
def test_a_loss_of_ones_own(solver):
    model = small_network(dtype="float64")
    x = points(6).astype("float64")
    adversary = itf.LBFGSAdversary(
        model, loss=Hinge(), solver=solver, jit_compile=False, maxfun=100
    )
    result = adversary(x, targets="nearest")
    assert result.success.all() and result.settings["loss"] == "hinge"
    # A hinge is 0 from a margin of -1 on, so for small c the minimizer goes there and no farther.
    found = adversary.minimize(x, result.targets, 1e-4)
    logits = np.asarray(model(found))
    margins = above_target(tf.constant(logits), tf.constant(result.targets))
    np.testing.assert_allclose(tf.reduce_max(margins, axis=1), -1.0, atol=0.05)


def test_what_a_loss_is_recorded_as():
    assert str(find_loss("margin")) == str(Margin()) == "margin"
    assert str(Hinge()) == "hinge"
    assert str(Margin(units=3.0)) == "Margin(units=3.0)"  # "margin" would name another


@pytest.mark.slow
def test_the_sharpness_of_the_margin_decides_how_far_it_goes(network, adversary):
    blunt = itf.LBFGSAdversary(network, loss=Margin(1), jit_compile=False)
    runs = [each(points(20), targets="nearest") for each in (blunt, adversary)]
    assert runs[0].settings["loss"] == "Margin(units=1)" and runs[1].success.all()
    assert (runs[0].images != runs[1].images).any()


def _max(above):
    return tf.reduce_max(above, axis=1)


def _asserting(above):
    assert above.shape[1] == 4
    return _max(above)


@pytest.mark.parametrize("value", [_asserting, lambda above: tf.gather(above, 3, axis=1)])
def test_a_loss_may_be_made_for_as_many_classes_as_the_model_has(network, value):
    own = type("Own", (Loss,), {"name": "own", "value": staticmethod(value)})()
    adversary = itf.LBFGSAdversary(network, loss=own, maxfun=2, jit_compile=False)
    assert np.isfinite(adversary.minimize(points(2), [0, 1], 0.1)).all()


@pytest.mark.parametrize(
    "methods, error, message",
    [
        ({"value": _max}, TypeError, "must have a `name`"),
        ({"name": "own", "value": tf.reduce_max}, ValueError, r"`value` .* \[n\]. .* shape \(\)"),
        (
            {"name": "own", "value": lambda above: _max(above)[:, None]},
            ValueError,
            r"shape \(2, 1\) from loss 'own'",
        ),
        ({"name": "own", "value": _max, "sharpness": lambda gap: 10.0}, ValueError, "`sharpness`"),
    ],
)
def test_a_loss_that_the_search_could_not_use_is_refused_before_it(methods, error, message):
    static = {k: v if k == "name" else staticmethod(v) for k, v in methods.items()}
    with pytest.raises(error, match=message):
        find_loss(type("Own", (Loss,), static)())


@pytest.mark.parametrize("loss", ["hinge", Hinge, keras.losses.CategoricalHinge(), None])
def test_the_message_says_that_an_object_would_do(loss):
    with pytest.raises(ValueError, match=r"or an object of a subclass of .*\.Loss\. Received: "):
        find_loss(loss)
