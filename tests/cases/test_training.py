"""Training that broke what Keras promises, each case with its relatives."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import training
from tests.training.small_networks import LOGITS, network, pool

SOFT = keras.losses.CategoricalCrossentropy(from_logits=True)
QUICK = ("plain",)  # the others train in seconds
PARTS = {
    "plain": {},
    "pool, kept": {"pools": [pool(interval=2, distortion=0.1)]},
    "pool at a layer, kept": {"pools": [pool("hidden", interval=2, distortion=0.1)]},
    "pool, of the batch": {"pools": [pool(interval=0, distortion=0.1)]},
    "gradient": {"penalties": [training.GradientPenalty(0.5)]},
    "jacobian": {"penalties": [training.GradientPenalty(0.5, of="jacobian")]},
    "lipschitz": {"penalties": [training.LipschitzPenalty(total=1.0)]},
    "extra class": {"penalties": [training.CertifiedMargin(0.1)]},
    "worst logits": {"penalties": [training.CertifiedMargin(0.1, loss="worst")]},
}


def named(*names):
    """Parameters of a test, those that are not quick marked as slow."""
    return [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in names or PARTS
    ]


@pytest.fixture(scope="module")
def plain(points):
    """Returns a function that gives the weights after training with a part, each once."""
    return functools.cache(lambda name: weights_after(PARTS[name], *points))


@pytest.fixture(scope="module")
def points():
    """Images [n, 2] and labels [n] of three classes."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 48)
    return random.random((48, 2)).astype(np.float32), labels


def compiled(parts, loss=LOGITS, optimizer=None):
    """Eager, for tracing takes longer than these few steps."""
    model = training.AdversarialModel(network(), **parts)
    model.compile(optimizer or keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    return model


def weights_after(parts, x, y, loss=LOGITS, optimizer=None, **options):
    model = compiled(parts, loss, optimizer)
    model.fit(x, y, batch_size=24, epochs=2, shuffle=False, verbose=0, **options)
    return model.model.get_weights()


def largest_difference(these, those):
    return max(np.abs(a - b).max() for a, b in zip(these, those, strict=True))


# --- weights


@pytest.mark.slow
@pytest.mark.parametrize("name", named())
@pytest.mark.drawn(3)
def test_rows_of_weight_zero_change_nothing(name, points):
    x, y = points
    weights = np.where(np.arange(48) % 3 == 0, 0.0, 2.0).astype(np.float32)
    others, wrong = x.copy(), y.copy()
    others[weights == 0] = np.random.default_rng(1).normal(size=(16, 2)) * 7  # out of bounds, too
    wrong[weights == 0] = (wrong[weights == 0] + 1) % 3
    one = weights_after(PARTS[name], x, y, sample_weight=weights)
    other = weights_after(PARTS[name], others, wrong, sample_weight=weights)
    assert largest_difference(one, other) < 1e-6
    counted = weights_after(PARTS[name], np.clip(others, 0, 1), wrong)
    assert largest_difference(one, counted) > 1e-3


@pytest.mark.slow
def test_copies_weigh_what_their_images_weigh():
    batch = training.batch.Batch(
        tf.zeros([4, 2]), tf.constant([0, 1, 2, 0]), tf.constant([1.0, 10.0, 5.0, 1.0]), 3
    )
    made, kept = (
        compiled({"pools": [pool(interval=interval, distortion=0.1, size=16)]})._examples[0]
        for interval in (0, 9)
    )
    expected = [1, 10, 5, 1, 1, 10, 5, 1]
    np.testing.assert_array_equal(made.mix(batch, tf.constant(0)).weights, expected)
    np.testing.assert_array_equal(kept.mix(batch, tf.constant(0)).weights, expected)
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 16)
    weights = np.array([1.0, 10.0, 5.0], np.float32)[labels]
    kept.renew(random.random((16, 2)).astype(np.float32), labels, 9, weights)
    mixed = kept.mix(batch, tf.constant(0))
    assert len(set(mixed.labels.numpy()[4:])) > 1
    np.testing.assert_array_equal(
        mixed.weights[4:], np.array([1.0, 10.0, 5.0])[mixed.labels.numpy()[4:]]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", named("plain", "pool, kept", "pool, of the batch", "extra class"))
@pytest.mark.drawn(1)
def test_class_weights_are_the_sample_weights_of_their_classes(name, points, plain):
    x, y = points
    by_class = weights_after(PARTS[name], x, y, class_weight={0: 1.0, 1: 10.0, 2: 0.0})
    by_row = weights_after(
        PARTS[name], x, y, sample_weight=np.array([1.0, 10.0, 0.0], np.float32)[y]
    )
    assert largest_difference(by_class, by_row) < 1e-6
    assert largest_difference(by_class, plain(name)) > 1e-3


@pytest.mark.slow
def test_weights_in_a_column_are_those_in_a_row(points):
    x, y = points
    row = np.linspace(0, 2, 48, dtype=np.float32)
    parts = PARTS["pool, of the batch"]
    one, other = (weights_after(parts, x, y, sample_weight=w) for w in (row, row[:, None]))
    assert largest_difference(one, other) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", named("plain", "pool, of the batch", "pool, kept"))
@pytest.mark.parametrize("dtype", ["bool", "int64", "float64", "float16"])
@pytest.mark.drawn(2)
def test_weights_of_any_dtype_are_those_numbers(name, dtype, points):
    x, y = points
    weights = np.arange(48) % 3 != 0
    one, other = (
        weights_after(PARTS[name], x, y, sample_weight=weights.astype(each))
        for each in (dtype, "float32")
    )
    assert largest_difference(one, other) < 1e-6


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"one weight for each image.*\(120, 2\)"):
        training.batch.row_weights(tf.zeros([120, 2]))


# --- soft labels


def soft(labels):
    return (0.7 * np.eye(3)[labels] + 0.1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pool, of the batch", "gradient", "jacobian", "extra class"])
@pytest.mark.drawn(2)
def test_soft_labels_are_kept(name, points):
    x, y = points
    kept, hard = (weights_after(PARTS[name], x, labels, SOFT) for labels in (soft(y), np.eye(3)[y]))
    assert largest_difference(kept, hard) > 1e-3


def test_a_copy_has_the_soft_label_of_its_image(points):
    x, y = (tf.constant(each[:8]) for each in (points[0], soft(points[1])))
    part = compiled(PARTS["pool, of the batch"])._examples[0]
    mixed = part.mix(training.batch.Batch(x, y, None, 3), tf.constant(0))
    np.testing.assert_array_equal(mixed.labels, np.tile(y, (2, 1)))


def test_the_gradient_penalty_of_soft_labels_is_the_mean_over_them(points):
    """∂ cross-entropy / ∂ x is linear in the labels, for a linear model W (p − y)."""
    x, y = points[0][:6], soft(points[1][:6])
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    term = training.GradientPenalty(1.0).prepare(model)
    run = tf.function(lambda x, y: term(training.batch.Batch(x, y, None, 3), 0), autograph=False)
    value = run(x, y)
    logits = model(x).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradients = (p - y) @ model.get_weights()[0].T
    assert float(value) == pytest.approx((gradients**2).sum(1).mean(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*named("pool, kept"), "worst logits"])
@pytest.mark.drawn(1)
def test_soft_labels_are_refused_where_they_would_be_hardened(name, points):
    x, y = points
    model = compiled(PARTS[name], SOFT)
    model.fit(x, np.eye(3)[y], batch_size=24, verbose=0)  # one-hot rows are classes
    with pytest.raises(ValueError, match="Labels are soft"):
        model.fit(x, soft(y), batch_size=24, verbose=0)
    with pytest.raises(ValueError, match="Labels of step 3 are soft"):
        model.fit(tf.data.Dataset.from_tensor_slices((x, soft(y))).batch(24), verbose=0)


# --- loops of one's own


def by_train_on_batch(model, batches):
    for x, y in batches:
        model.train_on_batch(x, y)


def eagerly(model, batches):
    for x, y in batches:
        model.train_step((tf.constant(x), tf.constant(y)))


def in_a_compiled_loop(model, batches):
    step = tf.function(lambda x, y: model.train_step((x, y)))
    for x, y in batches:
        step(tf.constant(x), tf.constant(y))


@pytest.mark.parametrize(
    "train",
    [
        pytest.param(by_train_on_batch, marks=pytest.mark.slow),
        pytest.param(eagerly, marks=pytest.mark.slow),
        in_a_compiled_loop,
    ],
)
@pytest.mark.drawn(1)
def test_pools_are_renewed_in_loops_of_ones_own(train, points):
    model = compiled({"pools": [pool(interval=4, distortion=0.1, refresh=8)]})
    model.optimizer.build(model.trainable_weights)
    x, y = points
    train(model, [(x[:24], y[:24])] * 21)
    memory = model._memories[0]
    assert int(memory.refreshes.numpy()) == 5
    assert (memory.labels.numpy() >= 0).sum() == 40


def test_train_on_batch_says_where_training_diverged(points):
    model = compiled({})
    with pytest.raises(ValueError, match="not finite in step 1"):
        model.train_on_batch(np.full((4, 2), np.nan, np.float32), np.zeros(4, int))


# --- precision


@pytest.mark.slow
@pytest.mark.parametrize("name", [*named("plain"), *list(PARTS)[3:]])
@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8"])
@pytest.mark.drawn(4)
def test_images_of_any_dtype_train_as_those_of_the_models(name, dtype, points):
    x, y = (each[:24] for each in points)
    x = np.rint(x) if dtype == "uint8" else x.astype("float16")
    one, other = (compiled(PARTS[name]) for _ in range(2))
    one.train_on_batch(x.astype(dtype), y)
    one.fit(tf.data.Dataset.from_tensors((x.astype(dtype), y)), verbose=0)
    other.fit(x.astype("float32"), y, batch_size=24, epochs=2, shuffle=False, verbose=0)
    assert largest_difference(one.model.get_weights(), other.model.get_weights()) < 1e-6


def in_float64(hidden="float64", logits="float64", policy="float32"):
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Dense(8, "sigmoid", dtype=hidden, name="hidden"),
                keras.layers.Dense(3, dtype=logits),
            ]
        )
    finally:
        keras.config.set_dtype_policy("float32")


FLOAT64 = {
    "policy": {"policy": "float64"},
    "layers": {},
    "first layer": {"logits": "float32"},
    "last layer": {"hidden": "float32"},
}


@pytest.mark.slow
@pytest.mark.parametrize("where", FLOAT64)
@pytest.mark.parametrize("name", [*named("plain"), *list(PARTS)[3:]])
@pytest.mark.drawn(4)
def test_models_in_float64_train_as_those_in_float32(name, where, points):
    x, y = points
    model = training.AdversarialModel(in_float64(**FLOAT64[where]), **PARTS[name])
    model.model.set_weights(network().get_weights())
    model.compile(keras.optimizers.SGD(0.5), LOGITS, run_eagerly=True)
    model.fit(x, y, batch_size=24, shuffle=False, verbose=0)
    model.train_on_batch(x[:24], y[:24])
    usual = training.AdversarialModel(network(), **PARTS[name])
    usual.compile(keras.optimizers.SGD(0.5), LOGITS, run_eagerly=True)
    usual.fit(x, y, batch_size=24, shuffle=False, verbose=0)
    usual.train_on_batch(x[:24], y[:24])
    apart = 0.1 if name == "jacobian" else 1e-5  # whose directions are drawn in float64
    assert largest_difference(model.model.get_weights(), usual.model.get_weights()) < apart


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("where", FLOAT64)
@pytest.mark.drawn(1)
def test_models_in_float64_train_with_all_parts_in_compiled_steps(where, jit_compile, points):
    def trained(model):
        model.set_weights(network().get_weights())
        parts = training.AdversarialModel(
            model,
            pools=[pool("hidden", interval=2, distortion=0.1), pool(interval=0, distortion=0.1)],
            penalties=[
                training.GradientPenalty(0.5),
                training.LipschitzPenalty(total=1.0),
                training.CertifiedMargin(0.1),
            ],
        )
        parts.compile(keras.optimizers.SGD(0.5), LOGITS, jit_compile=jit_compile)
        parts.fit(*points, batch_size=24, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    assert largest_difference(trained(in_float64(**FLOAT64[where])), trained(network())) < 1e-4


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_network_in_mixed_precision_is_refused_by_name(policy):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype=policy, name="low")])
    with pytest.raises(ValueError, match=f"layer 'low' .*{policy}"):
        training.AdversarialModel(model)


@pytest.mark.parametrize("name", named())
@pytest.mark.drawn(2)
def test_loss_scaling_changes_nothing(name, points, plain):
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=64.0)
    scaled = weights_after(PARTS[name], *points, optimizer=scaling)
    assert largest_difference(scaled, plain(name)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pool, kept", "pool, of the batch", "gradient"])
def test_images_of_another_shape_are_refused_in_words(name, points):
    x, y = points
    with pytest.raises(ValueError, match=r"(?s)shape.*\((24|None), 3\)"):
        compiled(PARTS[name]).fit(np.tile(x, 2)[:, :3], y, batch_size=24, verbose=0)
