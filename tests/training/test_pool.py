"""Pools: what they hold, how they are renewed, what their examples train."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import training
from intriguing_tf.training.batch import Batch
from intriguing_tf.training.pool import ExamplesOfBatch
from tests.training.small_networks import LOGITS, network, pool, trained


def batch(images, labels, weights=None):
    return Batch(images, tf.convert_to_tensor(labels), weights, 3)


@pytest.mark.slow
def test_pools_hold_adversarial_examples_with_their_true_labels(points):
    inner = network(width=16)
    model = training.AdversarialModel(inner, pools=[pool(), pool("hidden")])
    history = trained(model, points, epochs=6, rate=0.5).history
    assert history["pool_new"][-1] == 64  # two refreshes an epoch of two pools, 16 each
    assert history["pool_distortion"][-1] > 0.01
    assert all(seconds > 0 for seconds in history["pool_seconds"])
    for memory in model._memories:
        images, labels = memory.examples.numpy(), memory.labels.numpy()
        assert (labels >= 0).all()
        assert images.min() >= 0
        assert images.max() <= 1
        # Minimal examples lie just beyond the border of their class when they are made, and
        # training pushes it on: they stay nearer to it than the images.
        logits = memory.upper_part(tf.constant(images), training=False).numpy()
        own = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
        logits[np.arange(len(labels)), labels] = -np.inf
        plain = np.sort(inner(points[0]).numpy(), axis=1)
        assert np.median(np.abs(own - logits.max(1))) < np.median(plain[:, -1] - plain[:, -2])


@pytest.mark.slow
def test_new_examples_are_misclassified_and_replace_as_many(points):
    x, labels = points
    inner = network(width=16)
    trained(training.AdversarialModel(inner), points, epochs=20, rate=0.5)
    model = training.AdversarialModel(inner, pools=[pool("hidden")])
    memory = model._memories[0]
    for start in (0, 16, 32, 48, 64):
        before = memory.examples.numpy()
        new, distortion = memory.renew(x[start : start + 16], labels[start : start + 16], 5)
        changed = (memory.examples.numpy() != before).any(axis=1)
        assert changed.sum() == new == 16
        assert distortion > 0
        assert (memory.labels.numpy() >= 0).sum() == min(start + 16, 64)
    read = memory.upper_part(tf.constant(memory.examples.numpy()), training=False)
    assert (read.numpy().argmax(1) != memory.labels.numpy()).all()


def test_a_layer_that_was_changed_gives_the_activations_of_now(points):
    model = training.AdversarialModel(network(), pools=[pool("hidden")])
    memory, layer = model._memories[0], model.model.get_layer("hidden")
    for activation in (layer.activation, keras.activations.softplus):
        layer.activation = activation
        expected = keras.ops.convert_to_numpy(layer(points[0]))
        for _ in range(2):
            np.testing.assert_allclose(memory._activations(points[0]), expected, atol=1e-5)


def margins(model, images):
    """How far the most likely class is above the second."""
    logits = np.sort(model(images).numpy(), axis=1)
    return logits[:, -1] - logits[:, -2]


@pytest.mark.slow
def test_distortion_rescales_the_change(points):
    x, labels = points
    model = training.AdversarialModel(network(width=16), pools=[pool(distortion=0.05)])
    inside = (x > 0.2).all(1) & (x < 0.8).all(1)  # nothing is clipped there
    read = model.model(x).numpy().argmax(1) == labels
    chosen = np.flatnonzero(inside & read)[:16]
    memory = model._memories[0]
    memory.renew(x[chosen], labels[chosen], 5)
    made = memory.examples.numpy()[memory.labels.numpy() >= 0]
    apart = np.abs(made[:, None] - x[chosen][None]) ** 2
    rms = np.sqrt(apart.mean(-1)) - 0.05
    np.testing.assert_allclose(np.abs(rms).min(1), 0, atol=1e-5)
    nearest = np.abs(rms).argmin(1)
    before, after = (margins(model.model, images) for images in (x[chosen][nearest], made))
    assert (after < before).all()  # each goes towards another class


@pytest.mark.slow
def test_a_pool_without_examples_repeats_the_batch(points):
    """Whole batches twice, at share 1/2, are the batch: the same steps as plain training."""
    plain, pooled = (
        training.AdversarialModel(network(), pools=pools) for pools in ([], [pool(interval=10**6)])
    )
    for model in (plain, pooled):
        trained(model, points, epochs=2)
    for a, b in zip(plain.model.get_weights(), pooled.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_hidden_examples_train_only_the_layers_above(points):
    model = training.AdversarialModel(network(), pools=[pool("hidden", share=0.9)])
    memory = model._memories[0]
    with tf.GradientTape() as tape:
        memory.examples.assign(np.random.default_rng(0).random(memory.examples.shape))
        memory.labels.assign(np.zeros(64, np.int64))
        below = memory.lower_part(tf.constant(points[0][:10]), training=True)
        mixed = memory.mix(batch(below, tf.zeros(10, tf.int64)), tf.constant(3))
        outputs = memory.upper_part(mixed.images, training=True)[10:]
    assert mixed.images.shape == (100, 8)
    assert mixed.labels.shape == (100,)
    gradients = tape.gradient(outputs, model.trainable_weights)
    assert [g is None or not np.abs(g).any() for g in gradients] == [True, True, False, False]


@pytest.mark.parametrize(
    "targets, layer",
    [
        ("runner_up", None),
        pytest.param("runner_up", "hidden", marks=pytest.mark.slow),
        pytest.param("least_likely", None, marks=pytest.mark.slow),
        ("least_likely", "hidden"),
    ],
)
@pytest.mark.drawn(2)
def test_examples_made_within_the_step_are_the_solvers_first(points, layer, targets):
    x = points[0][:16]
    labels = network(width=16)(x).numpy().argmax(1)
    labels[:2] = (labels[:2] + 1) % 3  # misclassified: they stay as they are
    first_step = {"size": 16, "attack": {"maxfun": 1, "jit_compile": False}}
    wide = {"bounds": (-9.5, 10.5), "distortion": 0.05 / 20, "targets": targets}  # no clipping
    model = training.AdversarialModel(
        network(width=16),
        pools=[
            pool(layer, **wide, **first_step),
            pool(layer, **wide, interval=0),
        ],
    )
    kept, made = model._examples
    kept.renew(x, labels, 5)
    activations = made.lower_part(tf.constant(x), training=False)
    mixed = made.mix(batch(activations, labels), tf.constant(7))
    examples = mixed.images.numpy()[16:]
    np.testing.assert_array_equal(mixed.labels, np.tile(labels, 2))
    by_value = [rows[np.lexsort(rows.T)] for rows in (examples, kept.examples.numpy())]
    np.testing.assert_allclose(*by_value, atol=1e-6)
    moved = np.sqrt(
        np.mean((examples - activations) ** 2, axis=1)
    )  # each lies beside its own image
    np.testing.assert_allclose(moved, [0.0] * 2 + [0.05] * 14, atol=1e-5)


def test_random_targets_within_the_step_are_other_classes_and_change(points):
    model = training.AdversarialModel(
        network(), pools=[pool(distortion=0.05, targets="random", interval=0)]
    )
    part, logits = model._examples[0], model.model(tf.constant(points[0]))
    assert isinstance(part, ExamplesOfBatch)
    drawn = [part._targets(logits, tf.constant([0, step])).numpy() for step in (1, 1, 2)]
    assert (drawn[0] != logits.numpy().argmax(1)).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert len(np.unique(drawn[0])) > 1


@pytest.mark.parametrize(
    "how",
    [
        {"jit_compile": False},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
        {"run_eagerly": True},
    ],
)
@pytest.mark.drawn(1)
def test_a_step_with_examples_made_within_it_is_one_on_both(points, how):
    model = training.AdversarialModel(network(), pools=[pool(distortion=0.1, interval=0)])
    images, labels = (tf.constant(each) for each in points)
    mixed = model._examples[0].mix(batch(images, labels), tf.constant(0))
    both = mixed.images, mixed.labels
    assert both[0].numpy().min() == 0.0
    assert both[0].numpy().max() <= 1.0
    model.compile(keras.optimizers.SGD(0.5), LOGITS, **how)
    logs = model.fit(*points, batch_size=240, verbose=0).history
    assert "pool_seconds" not in logs  # nothing is kept and renewed
    plain = training.AdversarialModel(network())
    trained(plain, tuple(each.numpy() for each in both), rate=0.5, batch_size=480)
    for a, b in zip(model.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_images_outside_the_bounds_of_examples_made_within_the_step_are_refused(
    points, jit_compile
):
    x, labels = points
    for bounds, refused in {None: True, (0.0, 255.0): False}.items():
        model = training.AdversarialModel(
            network(), pools=[pool(distortion=0.05, interval=0, bounds=bounds)]
        )
        model.compile(keras.optimizers.SGD(0.01), LOGITS, jit_compile=jit_compile)
        if refused:
            with pytest.raises(ValueError, match="step 1 lie outside the bounds"):
                model.fit(255 * x, labels, batch_size=24, verbose=0)
        else:
            model.fit(255 * x, labels, batch_size=24, verbose=0)


@pytest.mark.slow
def test_batches_too_small_for_a_share_are_refused(points):
    model = training.AdversarialModel(network(), [pool("hidden", share=0.01)])
    with pytest.raises(ValueError, match=r"batch of 24 images is too small for the share 0.01"):
        trained(model, points)


@pytest.mark.slow
def test_a_list_of_callbacks_may_be_used_again(points):
    """What the first `fit` had added to it wrote zeros over what the second counted."""
    model = training.AdversarialModel(network(), [pool(interval=2, distortion=0.1)])
    trained(model, points)
    callbacks = keras.callbacks.CallbackList([], add_history=True, model=model)
    made = []
    for _ in range(2):
        history = trained(model, points, callbacks=callbacks)
        made.append(history.history["pool_new"][-1])
    assert made[0] == made[1] > 0


@pytest.mark.slow
def test_a_strategy_of_one_device_keeps_pools_as_none_does(points):
    def kept(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            model = training.AdversarialModel(network(), pools=[pool(), pool("hidden")])
            trained(model, points, epochs=1)
        return [memory.examples.numpy() for memory in model._memories]

    alone = kept(tf.distribute.get_strategy())
    for mirrored, own in zip(kept(tf.distribute.MirroredStrategy(["CPU:0"])), alone, strict=True):
        assert np.any(own)
        np.testing.assert_allclose(mirrored, own, atol=1e-5)
