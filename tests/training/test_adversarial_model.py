"""Training with pools and penalties: saved, resumed, in all forms of labels, refused."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import datasets, lipschitz, training
from intriguing_tf.training.faults import NONE, Fault, raise_first
from intriguing_tf.training.pool import PoolMemory
from tests.training.small_networks import (
    LOGITS,
    network,
    numerical_gradient,
    one_step,
    pool,
    trained,
)


@pytest.mark.slow
def test_training_goes_on_where_it_was_saved(points, tmp_path):
    whole, half = (training.AdversarialModel(network(), [pool("hidden", seed=4)]) for _ in range(2))
    trained(whole, points, epochs=2)
    trained(half, points, epochs=1)
    half.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    resumed.fit(*points, batch_size=24, shuffle=False, verbose=0, epochs=1)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert type(resumed.model) is keras.Sequential
    resumed.model.save(tmp_path / "plain.keras")
    plain = keras.models.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(plain(points[0][:5]), whole.model(points[0][:5]).numpy())


def test_parts_survive_saving(points, tmp_path):
    penalties = [
        training.GradientPenalty(0.3, of="jacobian", projections=2, seed=5),
        training.LipschitzPenalty(0.2, target={"hidden": 3.0}),
        training.LipschitzPenalty(0.1, total=4.0),
    ]
    pools = [pool("hidden", distortion=0.1, targets="random", bounds=(0.0, 1.0), share=0.25)]
    model = training.AdversarialModel(network(), pools, penalties)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for before, after in zip(
        (*model.pools, *model.penalties), (*loaded.pools, *loaded.penalties), strict=True
    ):
        assert type(before) is type(after)
        assert before.get_config() == after.get_config()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["one-hot, functional", "column, softmax", "binary"])
def test_forms_of_labels_and_models(points, form):
    x, labels = points
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(8, "tanh", name="hidden")(inputs)
    if form == "one-hot, functional":
        labels = keras.utils.to_categorical(labels, 3)
        inner = keras.Model(inputs, keras.layers.Dense(3)(hidden))
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    elif form == "column, softmax":
        labels = labels[:, None]
        inner = keras.Model(inputs, keras.layers.Dense(3, "softmax")(hidden))
        loss = keras.losses.SparseCategoricalCrossentropy()
    else:
        inner, labels = network(output=1), (labels == 0).astype(np.float32)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model = training.AdversarialModel(
        inner, [pool("hidden", refresh=4, interval=10**6)], [training.GradientPenalty(0.01)]
    )
    losses = trained(model, (x, labels), epochs=15, rate=1.0, loss=loss).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_datasets_weights_and_several_steps_per_call(points):
    data = tf.data.Dataset.from_tensor_slices((*points, np.ones(240, np.float32))).batch(50)
    model = training.AdversarialModel(
        network(), [pool(interval=10**6), pool("hidden", interval=10**6)]
    )
    options = {"steps_per_execution": 5, "metrics": ["accuracy"], "jit_compile": False}
    model.compile(keras.optimizers.SGD(0.5), LOGITS, **options)
    history = model.fit(data, epochs=15, verbose=0, validation_data=points).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.5
    assert int(model.steps.numpy()) == 75


@pytest.mark.slow
def test_pools_and_penalties_under_xla_are_those_without(points):
    models = []
    for jit_compile in (False, True):
        model = training.AdversarialModel(
            network(),
            [pool("hidden", distortion=0.1)],
            [
                training.GradientPenalty(0.1),
                training.GradientPenalty(0.1, of="jacobian"),
                training.LipschitzPenalty(total=1.0),
            ],
        )
        model.compile(keras.optimizers.SGD(0.1), LOGITS, jit_compile=jit_compile)
        model.fit(*points, batch_size=24, epochs=2, shuffle=False, verbose=0)
        models.append(model)
    assert all((memory.labels.numpy() >= 0).sum() > 16 for memory in models[1]._memories)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_divergence_stops_with_the_step_named(points):
    x = points[0].copy()
    x[60] = np.nan  # in the third batch of 24
    with pytest.raises(ValueError, match="not finite in step 3"):
        trained(training.AdversarialModel(network()), (x, points[1]))


@pytest.mark.slow
def test_what_was_wrong_with_one_fit_is_not_raised_by_the_next(points):
    x, labels = points
    wrong = x.copy()
    wrong[0] = np.inf  # outside the bounds, and a loss that is not finite
    model = training.AdversarialModel(network(), [pool(interval=0, distortion=0.05)])
    weights = model.get_weights()
    with pytest.raises(ValueError, match="Images of step 1 lie outside the bounds"):
        trained(model, (wrong, labels))
    model.set_weights(weights)
    model.compile("sgd", LOGITS, jit_compile=False)
    assert np.isfinite(model.fit(x, labels, verbose=0).history["loss"]).all()


def test_the_first_of_several_faults_is_raised_and_all_are_forgotten():
    faults = [
        Fault(keras.Variable(NONE, dtype="int64"), f"{name} of {{model}} in step {{step}}")
        for name in ("labels", "images", "loss")
    ]
    for fault, steps in zip(faults, [(9, 10), (4, 5), (4, 9)], strict=True):
        for step in steps:
            fault.note(tf.constant(True), tf.constant(step, tf.int64))
    with pytest.raises(ValueError, match="images of net in step 4"):
        raise_first(faults, "net")
    raise_first(faults, "net")


@pytest.mark.slow
def test_a_fault_that_nobody_looked_at_ends_with_the_next_fit(points):
    model = training.AdversarialModel(network())
    model._not_finite.note(tf.constant(True), tf.constant(7, tf.int64))
    assert np.isfinite(trained(model, points).history["loss"]).all()


@pytest.mark.slow
def test_each_fit_has_its_own_largest_batch(points, tmp_path):
    """A share of 0.3 of batches of 1 is none; an earlier fit's of 24, even a saved one's, is."""
    x, labels = points
    model = training.AdversarialModel(network(), [pool(interval=0, distortion=0.05, share=0.3)])
    trained(model, points)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        with pytest.raises(ValueError, match=r"batch of 1 images is too small.*at the input"):
            trained(each, (x[:5], labels[:5]), batch_size=1)


def test_pools_are_not_renewed_less_often_than_they_say(points):
    model = training.AdversarialModel(network(), [pool("hidden", interval=5)])
    model.compile("sgd", LOGITS, steps_per_execution=6)
    words = r"interval=5 of the pool at hidden, steps_per_execution=6"
    with pytest.raises(ValueError, match=words):
        model.fit(*points, verbose=0)
    assert int(model.steps.numpy()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.drawn(1)
def test_pools_are_renewed_at_their_interval(points, steps, monkeypatch):
    made = []
    monkeypatch.setattr(PoolMemory, "renew", lambda self, *data: made.append(data[2]) or (0, 0.0))
    monkeypatch.setattr(PoolMemory, "is_due", lambda self, step: step % self.pool.interval == 0)
    model = training.AdversarialModel(network(), [pool(interval=5), pool(interval=0, distortion=1)])
    model.compile("sgd", LOGITS, steps_per_execution=steps, jit_compile=False)
    model.fit(*points, batch_size=16, verbose=0)
    assert made == [5, 10, 15]


@pytest.mark.slow
@pytest.mark.parametrize("form", [list, tuple, dict], ids=lambda form: form.__name__)
@pytest.mark.drawn(1)
def test_labels_may_come_in_a_list_or_under_a_name(points, form):
    x, labels = points
    given = {"logits": labels} if form is dict else form([labels])
    losses = []
    for y in (labels, given):
        model = training.AdversarialModel(network(), penalties=[training.GradientPenalty(0.1)])
        losses.append(trained(model, (x, y)).history["loss"])
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match=r"one output, a single tensor\. Received: 2 tensors"):
        model.fit(x, [labels, labels], verbose=0)
    wrong = {"logits": labels + 1} if form is dict else form([labels + 1])
    with pytest.raises(ValueError, match="Received: 3"):
        model.fit(x, wrong, verbose=0)


@pytest.mark.slow
def test_fit_takes_its_arguments_by_place_as_keras_does(points):
    x, labels = points
    histories = []
    for model in (network(), training.AdversarialModel(network())):
        model.compile(keras.optimizers.SGD(0.1), LOGITS, jit_compile=False)
        history = model.fit(x, labels, 24, 2, 0, None, 0.2, None, False).history
        histories.append(history)
    assert histories[0]["val_loss"] == pytest.approx(histories[1]["val_loss"], rel=1e-5)
    with pytest.raises(TypeError, match="epoch"):
        model.fit(x, labels, epoch=2)


def test_labels_that_are_no_class_are_refused(points):
    model = training.AdversarialModel(network())
    model.compile("sgd", LOGITS)
    with pytest.raises(ValueError, match=r"between 0 and 2.*Received: 3"):
        model.fit(points[0], points[1] + 1, verbose=0)


@pytest.mark.parametrize("argument", ["x", "y", "sample_weight", "validation_data"])
def test_masked_arrays_are_refused(points, argument):
    x, y = points
    given = {"x": x, "y": y, "sample_weight": np.ones(len(y)), "validation_data": x}
    given[argument] = np.ma.masked_array(given[argument], given[argument] == given[argument][0])
    given["validation_data"] = (given["validation_data"], y)
    model = training.AdversarialModel(network())
    model.compile("sgd", LOGITS)
    with pytest.raises(TypeError, match=f"`{argument}` must be an array without masked elements"):
        model.fit(**given, verbose=0)


@pytest.mark.parametrize("penalties", [[], [training.GradientPenalty(0.1)]], ids=["none", "reads"])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": "names"}, TypeError, "Labels must be numbers.*<U2"),
        ({"y": "objects"}, TypeError, "Labels must be numbers.*object"),
        ({"sample_weight": np.ones(7)}, ValueError, "7 weights for 240 labels"),
        ({"sample_weight": np.array(["a"] * 240)}, TypeError, "must hold real numbers"),
    ],
    ids=["names", "objects", "few weights", "weights of letters"],
)
def test_labels_and_weights_that_are_none_are_refused(points, penalties, change, error, message):
    x, labels = points
    names = np.array(["c0", "c1", "c2"])[labels]
    forms = {"names": names, "objects": names.astype(object)}
    change = {
        key: forms.get(value, value) if key == "y" else value for key, value in change.items()
    }
    model = training.AdversarialModel(network(), penalties=penalties)
    model.compile("sgd", LOGITS)
    with pytest.raises(error, match=message):
        model.fit(**{"x": x, "y": labels, "verbose": 0} | change)


@pytest.mark.slow
def test_the_input_may_come_under_its_name_or_in_a_tuple(points):
    x, labels = points
    histories = []
    for given in (x, {"points": x}, (x,)):
        model = training.AdversarialModel(named_input(), penalties=[training.GradientPenalty(0.1)])
        dataset = tf.data.Dataset.from_tensor_slices((given, labels)).batch(80)
        histories.append(trained(model, (dataset, None), batch_size=None).history["loss"])
    assert histories[0] == histories[1] == histories[2]
    two = tf.data.Dataset.from_tensor_slices(((x, x), labels)).batch(80)
    with pytest.raises(ValueError, match=r"one input, a single tensor. Received: 2 tensors"):
        model.fit(two, verbose=0)


def named_input():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,), name="points"), keras.layers.Dense(3)])


def test_a_model_whose_weights_are_all_frozen_is_refused(points):
    inner = network()
    inner.trainable = False
    with pytest.raises(ValueError, match=r"weights must be trainable. Received: 'network'"):
        trained(training.AdversarialModel(inner), points)


@pytest.mark.slow
def test_labels_that_the_loss_ignores_are_none(points):
    labels = np.where(np.arange(len(points[1])) % 5, points[1], -1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model = training.AdversarialModel(network(), penalties=[training.LipschitzPenalty(total=1.0)])
    model.compile("sgd", loss)
    assert np.isfinite(model.fit(points[0], labels, verbose=0).history["loss"]).all()


@pytest.mark.slow
def test_whole_numbers_train_as_the_floats_they_are(points):
    x, labels = np.rint(255 * points[0]), points[1]
    weights = []
    for kind in ("uint8", "float32"):
        model = training.AdversarialModel(
            network(),
            [pool(distortion=0.05, interval=0, bounds=(0, 255))],
            [training.GradientPenalty(1.0)],
        )
        trained(model, (x.astype(kind), labels), rate=0.001)
        weights.append(model.model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def mixed_precision():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype="mixed_float16")])


def picture_to_picture():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, padding="same")])


def with_path_around():
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(2, name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Add()([inputs, hidden])))


def normalized():
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(3, "softplus"),
            keras.layers.Lambda(lambda z: z / tf.reduce_sum(z, 1, keepdims=True)),
        ]
    )


def with_batch_normalization():
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.BatchNormalization(name="bn"), keras.layers.Dense(3)]
    )


@pytest.mark.parametrize(
    ("make", "parts", "error", "message"),
    [
        (network, {"pools": [pool("hiden")]}, ValueError, "'hiden' is not one of the layers"),
        (with_path_around, {"pools": [pool("hidden")]}, ValueError, "cannot be cut above"),
        (mixed_precision, {}, ValueError, "Received: layer .* with dtype policy 'mixed_float16'"),
        (picture_to_picture, {}, ValueError, "one row of class scores"),
        (normalized, {}, ValueError, "look like probabilities"),
        (network, {"pools": ["hidden"]}, TypeError, "AdversarialPool objects. Received: 'hidden'"),
        (
            network,
            {"penalties": [0.1]},
            TypeError,
            "LipschitzPenalty or GradientPenalty or CertifiedMargin",
        ),
        (lambda: "network", {}, TypeError, "must be a keras.Model"),
        (
            with_batch_normalization,
            {"penalties": [training.LipschitzPenalty(target=1.0)]},
            ValueError,
            r"bn \(BatchNormalization\)",
        ),
        (
            network,
            {"penalties": [training.LipschitzPenalty(target={"nothing": 1.0})]},
            ValueError,
            "'nothing' is not one of the layers",
        ),
        (
            lambda: keras.Sequential([keras.Input((2,)), network(), keras.layers.Dense(3)]),
            {"penalties": [training.LipschitzPenalty(target={"network": 1.0})]},
            ValueError,
            "no models and no inputs. Received: network",
        ),
        (
            with_path_around,
            {"penalties": [training.LipschitzPenalty(total=1.0)]},
            ValueError,
            "chain of layers",
        ),
    ],
)
def test_models_and_parts_that_do_not_fit_are_refused(make, parts, error, message):
    with pytest.raises(error, match=message):
        training.AdversarialModel(make(), **parts)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: training.AdversarialPool(share=1.0), ValueError, r"in \(0, 1\). Received: 1.0"),
        (lambda: training.AdversarialPool(size=0), ValueError, "`size` must be a positive integer"),
        (lambda: training.AdversarialPool(size=8, refresh=9), ValueError, "Received: 9"),
        (lambda: training.AdversarialPool(distortion=-1), ValueError, "Received: -1"),
        (lambda: training.AdversarialPool(targets="best"), ValueError, "Received: 'best'"),
        (lambda: training.GradientPenalty(of="logits"), ValueError, "Received: 'logits'"),
        (lambda: training.GradientPenalty(-1.0), ValueError, "Received: -1.0"),
        (lambda: training.GradientPenalty("1"), TypeError, "Received: '1'"),
        (lambda: training.LipschitzPenalty(), ValueError, "Exactly one"),
        (lambda: training.LipschitzPenalty(target=1.0, total=1.0), ValueError, "Exactly one"),
        (lambda: training.LipschitzPenalty(target={}), ValueError, "at least one layer"),
        (lambda: training.LipschitzPenalty(total=float("inf")), ValueError, "Received: inf"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.slow
def test_lipschitz_penalty_per_layer(points):
    def value(model):
        norms = [np.linalg.norm(w.numpy(), 2) for w in model.trainable_variables[::2]]
        return 2.0 * (max(0, np.log(norms[0] / 0.5)) ** 2 + max(0, np.log(norms[1] / 99.0)) ** 2)

    penalty = training.LipschitzPenalty(2.0, target={"hidden": 0.5, "logits": 99.0})
    changes = one_step(points, penalty)
    expected = numerical_gradient(value, network())
    assert np.abs(expected[0]).max() > 0.1
    for change, gradient in zip(changes, expected, strict=True):
        np.testing.assert_allclose(change, gradient, atol=5e-3)


def test_lipschitz_penalty_on_the_total_counts_activations(points):
    model = network()
    total = lipschitz.bound(model, method="product").total
    term = training.LipschitzPenalty(3.0, total=total / 2).prepare(model)
    assert float(term(None, None)) == pytest.approx(3 * np.log(2) ** 2, rel=1e-2)
    assert float(training.LipschitzPenalty(total=1.01 * total).prepare(model)(None, None)) == 0


@pytest.mark.slow
def test_lipschitz_penalty_brings_a_convolutional_network_to_its_target():
    images, labels = datasets.mnist_sample()
    bounds = {}
    for name, penalties in {
        "plain": [],
        "held": [training.LipschitzPenalty(100.0, target=0.8)],
    }.items():
        keras.utils.set_random_seed(0)
        inner = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Conv2D(4, 5, strides=2, padding="same", activation="relu"),
                keras.layers.DepthwiseConv2D(3, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        model = training.AdversarialModel(inner, penalties=penalties)
        model.compile(keras.optimizers.Adam(3e-3), LOGITS, jit_compile=False)
        model.fit(images[:250], labels[:250], batch_size=50, epochs=8, verbose=0)
        rows = lipschitz.bound(inner, method="product").rows
        bounds[name] = [row.bound for row in rows if row.kind != "Flatten"]
    assert max(bounds["plain"]) > 1.0
    assert max(bounds["held"]) < 0.9


def test_rescaling_is_a_part_of_the_total(points):
    plain = network()
    scaled = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(3.0), *plain.layers])
    penalties = [training.LipschitzPenalty(total=total) for total in (0.1, 0.3)]
    losses = [
        float(penalty.prepare(model)(None, None))
        for penalty, model in zip(penalties, (plain, scaled), strict=True)
    ]
    assert losses[0] > 0
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# Logical devices are made before TensorFlow starts, so these have processes of their own.
TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import intriguing_tf as itf
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
"""

LIKE_ONE = """
images, labels = itf.datasets.mnist_sample()
images, labels = images[:200], labels[:200]

def trained(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        penalties = [itf.training.GradientPenalty(3.0), itf.training.LipschitzPenalty(total=0.1)]
        model = itf.training.AdversarialModel(
            itf.models.fc10(weight_decay=1e-2), penalties=penalties
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
    monitor = itf.training.LipschitzMonitor()
    history = model.fit(images, labels, batch_size=100, epochs=3, shuffle=False, verbose=0,
                        callbacks=[monitor]).history
    return model, history

two, history = trained(strategy)
assert two.distribute_strategy.num_replicas_in_sync == 2
one, alone = trained(tf.distribute.get_strategy())
for a, b in zip(two.model.get_weights(), one.model.get_weights()):
    np.testing.assert_allclose(a, b, atol=2e-5)
np.testing.assert_allclose(history["loss"], alone["loss"], rtol=1e-4)
np.testing.assert_allclose(history["lipschitz"], alone["lipschitz"], rtol=1e-4)
assert alone["lipschitz"][-1] != alone["lipschitz"][0]
"""


NO_POOLS = """
from intriguing_tf.training.recent_images import write_rows

def refused(call, *args):
    try:
        call(*args)
    except ValueError as error:
        return "one device" in str(error)

images, labels = np.zeros((16, 6), "float32"), np.zeros(16, "int64")
with strategy.scope():
    memory = keras.Variable(np.zeros((4, 2), "float32"), trainable=False)
    pools = [itf.training.AdversarialPool(size=32, refresh=16, interval=4)]
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model = itf.training.AdversarialModel(inner, pools)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
assert refused(model.train_on_batch, images, labels)
assert refused(model.fit, images, labels)
assert refused(write_rows, memory, [[1]], np.ones((1, 2), "float32"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("program", [LIKE_ONE, NO_POOLS], ids=["like one", "no pools"])
def test_two_devices_train_to_the_weights_of_one_and_refuse_pools(program):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES + program],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
