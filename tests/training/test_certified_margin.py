"""Certified margins: their two losses by hand, the norms they keep, what they train, what fits."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import datasets, layers, lipschitz, models, training
from intriguing_tf.training.batch import Batch
from tests.training.small_networks import LOGITS, network

GROWING = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 2.0)


def prepared(margin, model):
    owner = keras.layers.Layer()
    return margin.prepare(model, owner.add_weight)


def by_hand(loss, radius, model, x, labels):
    """Mean loss and bound of a network of one hidden layer, in plain NumPy."""
    hidden, _, head, _ = (weight.astype(np.float64) for weight in model.get_weights())
    slope = np.linalg.norm(hidden, 2) / 4  # of the sigmoid
    z = model(x).numpy().astype(np.float64)
    total = 0.0
    for logits, label in zip(z, labels, strict=True):
        i = label if loss == "worst" else logits.argmax()
        worst = logits + radius * slope * np.linalg.norm(head - head[:, [i]], axis=0)
        if loss == "worst":
            worst /= slope
            total += np.log(np.exp(worst).sum()) - worst[i]
        else:
            p = np.exp(logits) / np.exp(logits).sum()
            extra = np.append(logits, np.delete(worst, i).max())
            q = np.exp(extra) / np.exp(extra).sum()
            total += (p * np.log(p / q[:-1])).sum()
    return total / len(z)


@pytest.mark.parametrize("loss", ["extra class", "worst"])
def test_losses_are_those_by_hand(loss, points):
    x, labels = points[0][:20], points[1][:20]
    model = network()
    term = prepared(training.CertifiedMargin(0.3, weight=1.5, loss=loss), model)
    term.refresh()
    value = term(Batch(x, tf.constant(labels), None, 3), model(x), tf.constant(0))
    assert float(value) == pytest.approx(1.5 * by_hand(loss, 0.3, model, x, labels), rel=1e-4)
    weights = tf.constant(np.linspace(0, 2, 20), tf.float32)
    weighted = term(Batch(x, tf.constant(labels), weights, 3), model(x), tf.constant(0))
    each = [by_hand(loss, 0.3, model, x[i : i + 1], labels[i : i + 1]) for i in range(20)]
    assert float(weighted) == pytest.approx(1.5 * np.mean(weights * each), rel=1e-4)


def test_radius_and_weight_follow_schedules(points):
    x, labels = points[0][:20], points[1][:20]
    model, batch = network(), Batch(points[0][:20], tf.constant(labels), None, 3)
    falling = keras.optimizers.schedules.PolynomialDecay(4.0, 10, 0.0)
    term = prepared(training.CertifiedMargin(GROWING, falling), model)
    term.refresh()
    for step in (0, 5):
        expected = 4 * (1 - step / 10) * by_hand("extra class", step / 5, model, x, labels)
        value = float(term(batch, model(x), tf.constant(step)))
        assert value == pytest.approx(expected, rel=1e-4)
    assert float(term(batch, model(x), tf.constant(10))) == 0


def test_a_single_logit_has_the_certificates_of_two(points):
    x = points[0][:20]
    model = network(output=1)
    head = model.get_weights()[2]
    pair = keras.Sequential([*model.layers[:-1], keras.layers.Dense(2)])
    pair.build((None, 2))
    pair.layers[-1].set_weights([np.hstack([0 * head, head]), np.zeros(2)])
    single, double = (prepared(training.CertifiedMargin(0.3), m) for m in (model, pair))
    z = model(x)
    both = tf.concat([tf.zeros_like(z), z], 1)
    values = [float(t(Batch(x, both, None, 2), both, tf.constant(0))) for t in (single, double)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def starting_at_zero(kind):
    zeros = {"kernel_initializer": "zeros", "activation": "sigmoid"}
    first = {
        "dense": [keras.layers.Flatten(), keras.layers.Dense(4, **zeros)],
        "two dense": [keras.layers.Flatten(), *(keras.layers.Dense(4, **zeros) for _ in range(2))],
        "conv": [keras.layers.Conv2D(4, 3, **zeros), keras.layers.Flatten()],
    }
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4, 4, 1)), *first[kind], keras.layers.Dense(3)])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["extra class", "worst"])
@pytest.mark.parametrize("kind", ["dense", "two dense", "conv"])
@pytest.mark.drawn(1)
def test_layers_may_start_at_zero(kind, loss):
    random = np.random.default_rng(0)
    x, labels = random.random((24, 4, 4, 1)).astype(np.float32), random.integers(0, 3, 24)
    margin = training.CertifiedMargin(0.1, loss=loss)
    model = training.AdversarialModel(starting_at_zero(kind), penalties=[margin])
    assert 0 <= float(model._margins[0].slope()) < 1e-6
    model.compile(keras.optimizers.Adam(1e-2), LOGITS, run_eagerly=True)
    losses = [model.train_on_batch(x, labels, return_dict=True)["loss"] for _ in range(15)]
    assert np.isfinite(losses).all()
    assert losses[-1] < max(losses)
    assert 1e-3 < float(model._margins[0].slope()) < 10
    assert max(np.abs(weight).max() for weight in model.model.get_weights()) < 2


def certified_share(penalties):
    """Of digits that a network was trained on: those that it certifies within 0.5."""
    images, labels = (each[:400] for each in datasets.mnist_sample())
    keras.utils.set_random_seed(0)
    inner = models.group_sort(32)
    model = training.AdversarialModel(inner, penalties=penalties)
    model.compile(keras.optimizers.Adam(3e-3), LOGITS, jit_compile=False)
    model.fit(images, labels, batch_size=50, epochs=15, verbose=0)
    correct = inner(images).numpy().argmax(1) == labels
    return (correct & (lipschitz.certified_radius(inner, images) >= 0.5)).mean()


@pytest.fixture(scope="module")
def plain_share():
    return certified_share([])


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "more"), [("extra class", 0.2), ("worst", 0.07)])
@pytest.mark.drawn(1)
def test_training_widens_what_is_certified(loss, more, plain_share):
    """By a share of the images; the worst logits, divided by the slope, take longer to learn."""
    share = certified_share([training.CertifiedMargin(0.5, loss=loss)])
    assert share > plain_share + more


def test_settings_and_vectors_are_saved(points, tmp_path):
    margin = training.CertifiedMargin(GROWING, 1.5, loss="worst", bounds=(-1.0, 1.0))
    model = training.AdversarialModel(network(), penalties=[margin])
    model.refresh_norms()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.penalties[0].get_config() == margin.get_config()
    assert float(loaded.penalties[0].radius(5)) == 1.0
    before, after = (float(each._margins[0].slope()) for each in (model, loaded))
    assert before == after
    assert before == pytest.approx(np.linalg.norm(model.model.get_weights()[0], 2) / 4, rel=1e-3)


@pytest.mark.slow
def test_validation_sees_fresh_norms():
    x, labels = np.ones((24, 4, 3), np.float32), np.zeros(24, int)
    network = keras.Sequential(
        [
            keras.Input((4, 3)),
            keras.layers.Conv1D(2, 1, use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    kernel = np.diag([2.0, 1.0, 0.0])[:, :2]
    network.layers[0].set_weights([kernel[None]])
    model = training.AdversarialModel(network, penalties=[training.CertifiedMargin(0.1)])
    model.compile(keras.optimizers.SGD(0.0), LOGITS, run_eagerly=True)
    stale = np.zeros((1, 4, 3))
    stale[0, :, :2] = 0.01, 1.0  # nearly the direction of the smaller norm
    margin = model._margins[0]
    margin.norms[0]._vector.assign(stale)
    assert float(margin.slope()) < 1.1
    model.fit(x, labels, batch_size=24, validation_data=(x, labels), verbose=0)
    assert float(margin.slope()) == pytest.approx(2, rel=1e-3)


def test_the_norm_of_a_dense_layer_lowers_all_equal_singular_values():
    """That of a power iteration lowers one of them per step."""
    network = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(6, use_bias=False), keras.layers.Dense(3)]
    )
    kernel = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    network.layers[0].set_weights([kernel])
    (norm,) = prepared(training.CertifiedMargin(0.1), network).norms
    with tf.GradientTape() as tape:
        value = norm.norm()
    assert float(value) == pytest.approx(6 ** (1 / 66), rel=1e-5)
    gradient = tape.gradient(value, network.layers[0].kernel.value)
    np.testing.assert_allclose(gradient, 6 ** (1 / 66) / 6 * kernel, atol=1e-5)


def chain(*between):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((8, 8, 2)), *between, keras.layers.Flatten(), keras.layers.Dense(3)]
    )


def test_all_layers_of_a_chain_count():
    model = chain(
        keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
        layers.GroupSort(2),
        keras.layers.MaxPooling2D(2),
        keras.layers.AveragePooling2D(2),
        keras.layers.Rescaling(3.0),
    )
    term = prepared(training.CertifiedMargin(1.0), model)
    for _ in range(3):
        term.refresh()
    expected = lipschitz.bound(keras.Model(model.inputs, model.layers[-2].output)).product
    assert 0.9 * expected < float(term.slope()) <= expected


def branching():
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.Add(name="sum")([x, 2 * x])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chain(keras.layers.BatchNormalization(name="bn")), r"'bn' \(BatchNormalization\)"),
        (lambda: chain(keras.layers.PReLU(name="steep")), r"'steep' \(PReLU\)"),
        (branching, r"'sum' \(Add\).*several inputs"),
        (lambda: chain(keras.layers.Activation("exponential")), "exponential"),
        (
            lambda: keras.Sequential(
                [keras.Input((2,)), *network().layers, keras.layers.ReLU(name="top")]
            ),
            r"without activation.*'top' \(ReLU\)",
        ),
    ],
)
def test_models_that_cannot_be_certified_are_refused_by_name(make, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        training.AdversarialModel(model, penalties=[training.CertifiedMargin(0.1)])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"radius": 0.0}, ValueError, "`radius` must be positive"),
        ({"radius": "1"}, TypeError, "`radius` must be a number"),
        ({"radius": 1.0, "weight": -1.0}, ValueError, "`weight` must be positive"),
        ({"radius": 1.0, "loss": "hinge"}, ValueError, "'extra class', 'worst'. Received: 'hinge'"),
        ({"radius": 1.0, "bounds": (1.0, 0.0)}, ValueError, "the smaller first"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        training.CertifiedMargin(**arguments)


def test_a_radius_that_no_image_can_have_warns():
    with pytest.warns(UserWarning, match=r"0\.8 is larger than 0\.7071"):
        prepared(training.CertifiedMargin(0.8), network())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        prepared(training.CertifiedMargin(0.7), network())
        prepared(training.CertifiedMargin(0.8, bounds=(0.0, 2.0)), network())


@pytest.mark.slow
@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("end", [None, "softmax", "sigmoid"])
@pytest.mark.drawn(1)
def test_margins_beside_a_pool_are_those_without(end, eagerly, points):
    x, labels = points
    units = 1 if end == "sigmoid" else 3
    labels = (labels > 0).astype(int) if end == "sigmoid" else labels
    losses = []
    for pools in ([], [training.AdversarialPool(interval=0, distortion=1e-6)]):
        keras.utils.set_random_seed(0)
        hidden = keras.layers.Dense(8, "relu")
        model = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(units, end)])
        hidden.set_weights([4 * hidden.get_weights()[0], np.zeros(8)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=end is None)
        loss = "binary_crossentropy" if end == "sigmoid" else loss
        model = training.AdversarialModel(model, pools, [training.CertifiedMargin(0.1)])
        model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=eagerly)
        losses.append(model.fit(x, labels, batch_size=len(x), verbose=0).history["loss"][0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
