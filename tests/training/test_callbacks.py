"""Bounds and adversarial accuracy in the history and in TensorBoard, epoch by epoch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf import training
from tests.training.small_networks import network, trained


def linear(weights):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([np.asarray(weights, np.float32)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    return model


class SetWeights(keras.callbacks.Callback):
    """Gives the model known weights at the end of each epoch."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([np.asarray(self.weights[epoch], np.float32)])


IMAGES = np.full((4, 3), 0.5, np.float32) + np.eye(4, 3, dtype=np.float32) / 4
LABELS = np.zeros(4, np.int64)
WEIGHTS = [[[3, 0], [0, 1], [0, 0]], [[8, 0], [0, 2], [0, 0]]]


def test_the_history_has_the_norm_of_each_epochs_weights():
    model = linear(np.eye(3, 2))
    monitors = [SetWeights(WEIGHTS), itf.training.LipschitzMonitor()]
    history = model.fit(IMAGES, LABELS, epochs=2, callbacks=monitors, verbose=0).history
    np.testing.assert_allclose(history["lipschitz"], [3, 8], rtol=1e-4)
    assert all(np.array(history["lipschitz"]) >= [3, 8])
    assert history["lipschitz_product"] >= history["lipschitz"]


@pytest.mark.slow
def test_distortions_follow_the_weights_to_the_exact_distance():
    """Between two classes of a linear model the least change is margin / |w0 - w1|."""
    model = linear(np.eye(3, 2))
    monitor = itf.training.AdversarialAccuracy(IMAGES, LABELS, distortion=0.2, jit_compile=False)
    history = model.fit(
        IMAGES, LABELS, epochs=2, callbacks=[SetWeights(WEIGHTS), monitor], verbose=0
    ).history
    for epoch, weights in enumerate(WEIGHTS):
        w = np.subtract(*np.asarray(weights, float).T)
        distances = IMAGES @ w / np.linalg.norm(w) / np.sqrt(3)
        assert (distances > 0).all()
        assert history["adversarial_distortion"][epoch] == pytest.approx(distances.mean(), rel=2e-3)
        assert history["adversarial_accuracy"][epoch] == (distances > 0.2).mean()
    assert len(monitor.result) == 4


@pytest.mark.parametrize(
    "targets",
    [pytest.param("nearest", marks=pytest.mark.slow), np.full(4, 1)],
    ids=["nearest", "given"],
)
def test_misclassified_images_never_count_as_robust(targets):
    """Towards given targets, they are attacked as well: from far away, or in vain."""
    model = linear([[8, 0], [0, 2], [0, 0]])
    labels = np.array([0, 0, 1, 1])  # all are class 0
    monitor = itf.training.AdversarialAccuracy(
        IMAGES, labels, distortion=1e-3, targets=targets, jit_compile=False, maxfun=5
    )
    history = model.fit(IMAGES, labels, callbacks=[monitor], verbose=0).history
    assert history["adversarial_accuracy"] == [0.5]


@pytest.mark.slow
def test_tensorboard_reads_back_bounds_distortions_and_pictures(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    images, labels = itf.datasets.mnist_sample()
    model = itf.training.AdversarialModel(itf.models.fc10(weight_decay=1e-4))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    monitors = [
        itf.training.LipschitzMonitor(tmp_path, every=2),
        itf.training.AdversarialAccuracy(
            images[:4], labels[:4], tmp_path, targets="random", jit_compile=False, maxfun=30
        ),
    ]
    history = model.fit(images, labels, epochs=2, callbacks=monitors, verbose=0).history
    assert len(history["lipschitz"]) == 1 and len(history["adversarial_accuracy"]) == 2
    tags = {}
    for file in tmp_path.iterdir():  # one for each callback
        events = EventAccumulator(str(file), size_guidance={"tensors": 0})
        events.Reload()
        tags |= {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    assert {"lipschitz", "adversarial_accuracy", "adversarial_images"} <= set(tags)
    assert any(tag.startswith("lipschitz/") for tag in tags)
    assert [event.step for event in tags["lipschitz"]] == [1]
    assert [event.step for event in tags["adversarial_images"]] == [0, 1]
    logged = tf.make_ndarray(tags["lipschitz"][0].tensor_proto)
    assert logged == pytest.approx(history["lipschitz"][0], rel=1e-6)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="positive integer"):
        itf.training.LipschitzMonitor(every=0)
    with pytest.raises(ValueError, match="'best' or 'product'"):
        itf.training.LipschitzMonitor(method="spectral")
    with pytest.raises(ValueError, match="positive and finite"):
        itf.training.AdversarialAccuracy(IMAGES, LABELS, distortion=float("nan"))
    with pytest.raises(ValueError, match="shape"):
        itf.training.AdversarialAccuracy(IMAGES, LABELS[:3])


@pytest.mark.parametrize(
    "monitor",
    [
        training.LipschitzMonitor(),
        training.CertifiedAccuracy(IMAGES, LABELS),
        training.AdversarialAccuracy(IMAGES, LABELS),
    ],
    ids=lambda monitor: type(monitor).__name__,
)
def test_nothing_is_measured_outside_of_fit(monitor):
    with pytest.raises(ValueError, match="measures while `fit` runs"):
        monitor.measure()


@pytest.mark.slow
def test_in_mixed_precision_attacks_hold_and_certificates_do_not():
    """What is found is adversarial to the model as it rounds; a bound is none of the rounding."""
    dense = keras.layers.Dense(2, use_bias=False, dtype="mixed_float16")
    model = keras.Sequential([keras.Input((3,)), dense])
    model.set_weights([np.asarray(WEIGHTS[0], np.float32)])
    model.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    monitor = training.AdversarialAccuracy(IMAGES, LABELS, distortion=0.2, jit_compile=False)
    model.fit(IMAGES, LABELS, callbacks=[monitor], verbose=0)
    found = monitor.result.status == "found"
    assert found.all()
    answers = model.predict(monitor.result.images, verbose=0).argmax(1)
    assert (answers != LABELS).all()
    for refused in (training.LipschitzMonitor(), training.CertifiedAccuracy(IMAGES, LABELS)):
        with pytest.raises(ValueError, match="float32 and float64 only"):
            model.fit(IMAGES, LABELS, callbacks=[refused], verbose=0)


@pytest.mark.parametrize("kind", [training.CertifiedAccuracy, training.AdversarialAccuracy])
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:, :2], LABELS, r"shape \(n, 3\)"),
        (IMAGES, LABELS + 2, r"between 0 and 1.*Received: 2"),
        (IMAGES[:0], LABELS[:0], "At least one image"),
    ],
    ids=["shape", "classes", "none"],
)
def test_what_does_not_fit_the_model_is_refused_before_it_trains(kind, images, labels, message):
    """Labels that are no class of the model were never verified, which looked like 0 %."""
    model = linear(np.eye(3, 2))
    model.optimizer.learning_rate = 1.0
    with pytest.raises(ValueError, match=message):
        model.fit(IMAGES, LABELS, callbacks=[kind(images, labels)], verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], np.eye(3, 2))


@pytest.mark.parametrize(
    "monitor", [training.LipschitzMonitor(every=9), training.CertifiedAccuracy(IMAGES, LABELS)]
)
def test_a_model_without_a_bound_is_refused_before_it_trains(monitor):
    layers = [keras.layers.Reshape((3, 1)), keras.layers.LSTM(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(itf.lipschitz.NoBoundError, match="LSTM"):
        model.fit(IMAGES, np.eye(2)[LABELS], callbacks=[monitor], verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.slow
def test_certified_accuracy_is_what_the_certificates_say(points):
    x, labels = points
    monitor = training.CertifiedAccuracy(x, labels, radii=(0.02, 0.3))
    model = training.AdversarialModel(network(), penalties=[training.CertifiedMargin(0.05)])
    history = trained(model, points, epochs=4, rate=1.0, callbacks=[monitor]).history
    correct = model.model(x).numpy().argmax(1) == labels
    radii = itf.lipschitz.certified_radius(model.model, x)
    for name, radius in (("vra_0.02", 0.02), ("vra_0.3", 0.3)):
        assert history[name][-1] == (correct & (radii >= radius)).mean()
    assert 0 < history["vra_0.02"][-1] < 1
    np.testing.assert_array_equal(monitor.certified, np.where(correct, radii, 0))


@pytest.mark.parametrize("radii", [(0.0,), (float("nan"),)])
def test_radii_that_are_none_are_refused(radii):
    with pytest.raises(ValueError, match="`radii` must be positive"):
        training.CertifiedAccuracy(np.zeros((1, 2)), [0], radii=radii)


def test_radii_that_the_history_cannot_tell_apart_are_refused():
    with pytest.raises(ValueError, match="`radii` must differ in six digits"):
        training.CertifiedAccuracy(np.zeros((1, 2)), [0], radii=(0.3, 0.3000000001))


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_labels_may_be_one_hot_rows(dtype):
    labels = np.arange(4) % 2
    monitors = [
        kind(IMAGES, each)
        for kind in (training.AdversarialAccuracy, training.CertifiedAccuracy)
        for each in (labels, labels[:, None], np.eye(2)[labels].astype(dtype))
    ]
    for monitor in monitors:
        np.testing.assert_array_equal(monitor.labels, labels)
