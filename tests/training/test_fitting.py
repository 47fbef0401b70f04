"""Compiled epochs against the same steps in NumPy; L-BFGS against the optimum's conditions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import datasets, models, training
from intriguing_tf.training.fitting import use_xla


@pytest.fixture(scope="module")
def digits():
    return datasets.mnist_sample()


@pytest.fixture
def uncompiled(monkeypatch):
    """The same steps without XLA, which takes longer to compile them than they do."""
    monkeypatch.setattr("intriguing_tf.training.fitting.use_xla", lambda *_: False)


def softmax_regression(weights, images, labels, lam):
    """Objective of FC10(λ) and its gradient, in float64."""
    kernel, bias = weights
    pixels = images.reshape(len(images), -1).astype(np.float64)
    logits = pixels @ kernel + bias
    logits -= logits.max(1, keepdims=True)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    value = -np.log(probabilities[rows, labels]).mean() + lam * np.sum(kernel**2) / 10
    probabilities[rows, labels] -= 1
    probabilities /= len(labels)
    return value, (pixels.T @ probabilities + lam * 2 * kernel / 10, probabilities.sum(0))


def float64_weights(model):
    return [w.astype(np.float64) for w in model.get_weights()]


@pytest.mark.slow
@pytest.mark.parametrize("lam", [1.0, 1e-2])
def test_minimize_ends_where_the_gradient_vanishes(digits, lam):
    model = models.fc10(lam)
    images, labels = digits
    start, _ = softmax_regression(float64_weights(model), images, labels, lam)
    curve = training.minimize(model, *digits, tolerance=1e-6)
    value, gradients = softmax_regression(float64_weights(model), images, labels, lam)
    assert max(np.abs(g).max() for g in gradients) < 3e-6  # float32 weights round the optimum
    assert curve.gradient_norm <= 1e-6
    assert curve.loss[-1] == pytest.approx(value, abs=1e-7)
    assert value < start - 0.5
    assert np.all(np.diff(curve.loss) <= 0)


@pytest.mark.slow
def test_minimize_finds_the_same_optimum_from_anywhere(digits, uncompiled):
    found = []
    for scale in (0.01, 5.0):
        model = models.fc10(0.1, keras.initializers.RandomNormal(stddev=scale, seed=1))
        training.minimize(model, *digits, tolerance=1e-8)
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.slow
def test_minimize_stays_at_an_optimum(digits, uncompiled):
    model = models.fc10(1.0)
    training.minimize(model, *digits, tolerance=1e-7)
    weights = model.get_weights()
    curve = training.minimize(model, *digits, tolerance=1e-4)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])
    assert len(curve.loss) == 1
    assert str(curve)


def test_minimize_says_when_it_falls_short(digits, uncompiled):
    with pytest.raises(RuntimeError, match=r"after 3 iterations .* above the tolerance 1e-08"):
        training.minimize(models.fc10(1e-4), *digits, tolerance=1e-8, iterations=3)


@pytest.mark.parametrize("xla", [True, False])
def test_fit_takes_the_steps_of_gradient_descent(digits, xla):
    images, labels = digits[0][:50], digits[1][:50]
    model = models.fc10(0.1)
    weights = float64_weights(model)
    curve = training.fit(
        model,
        images,
        labels,
        optimizer=keras.optimizers.SGD(0.1),
        epochs=2,
        batch_size=20,
        seed=3,
        jit_compile=xla,
    )
    random = np.random.default_rng(3)
    for epoch in range(2):
        order = random.permutation(50)
        values = []
        for batch in (order[:20], order[20:40]):  # the last ten do not fill a batch
            value, gradients = softmax_regression(weights, images[batch], labels[batch], 0.1)
            weights = [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)]
            values.append(value)
        assert curve.loss[epoch] == pytest.approx(np.mean(values), rel=1e-5)
    for got, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.slow
def test_fit_follows_the_schedule(digits, uncompiled):
    """A rate that falls to zero after the first batch: the rest of the epoch moves nothing."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.0])
    results = []
    for count in (20, 100):
        model = models.fc10(0.0, "zeros")
        training.fit(
            model,
            np.repeat(digits[0][:1], count, 0),
            np.repeat(digits[1][:1], count, 0),
            optimizer=keras.optimizers.SGD(schedule),
            epochs=1,
            batch_size=20,
        )
        results.append(model.get_weights()[0])
    assert np.abs(results[0]).max() > 0.01
    np.testing.assert_array_equal(*results)


@pytest.mark.slow
def test_fit_is_deterministic_and_the_seed_matters(digits):
    def loss(seed):
        model = models.fc10(0.0, "zeros")
        optimizer = keras.optimizers.Adam(0.01)
        return training.fit(model, *digits, optimizer=optimizer, epochs=1, seed=seed).loss[0]

    first, again, other = map(loss, (0, 0, 1))
    assert first == again != other


def test_fit_runs_layers_in_training_mode(uncompiled):
    inputs = np.random.default_rng(0).normal(3.0, 2.0, (400, 5)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.BatchNormalization(momentum=0.5), keras.layers.Dense(2)]
    )
    labels = (inputs[:, 0] > 3).astype(np.int64)
    training.fit(model, inputs, labels, optimizer=keras.optimizers.Adam(), epochs=10)
    np.testing.assert_allclose(model.layers[0].moving_mean, inputs.mean(0), atol=0.3)


def test_fit_takes_models_with_several_outputs_and_their_loss():
    """min over (a, b) of mean (a - y)² + (b + y)² is the mean of y and its negative."""
    inputs = keras.Input((1,))
    dense = [keras.layers.Dense(1, use_bias=False, name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, dense)
    targets = np.linspace(0, 1, 64, dtype=np.float32)[:, None]

    def loss(y, outputs):
        return tf.reduce_mean((outputs[0] - y) ** 2 + (outputs[1] + y) ** 2)

    training.fit(
        model,
        np.ones_like(targets),
        targets,
        loss=loss,
        optimizer=keras.optimizers.SGD(0.25),
        epochs=50,
        batch_size=64,
    )
    np.testing.assert_allclose([w.item() for w in model.get_weights()], [0.5, -0.5], atol=1e-5)


def regression(outputs=1):
    """Points in the plane, targets in float32, and a linear model that starts at zero."""
    random = np.random.default_rng(3)
    x = random.normal(size=(40, 2)).astype(np.float32)
    y = random.normal(size=(40, 1)).astype(np.float32)
    inputs = keras.Input((2,))
    dense = [keras.layers.Dense(1, kernel_initializer="zeros")(inputs) for _ in range(outputs)]
    return keras.Model(inputs, dense if outputs > 1 else dense[0]), x, y


def least_squares(x, y):
    columns = np.concatenate([x, np.ones((len(x), 1))], 1).astype(np.float64)
    return np.linalg.lstsq(columns, y.astype(np.float64), rcond=None)[0][:, 0]


@keras.saving.register_keras_serializable("tests")
class Squares(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)


@pytest.mark.parametrize(
    "loss",
    [
        lambda t, o: tf.reduce_mean((t - o) ** 2),
        lambda t, o: tf.reduce_mean(keras.losses.mean_squared_error(t, o)),
        keras.losses.MeanSquaredError(),
        Squares(dtype="float64"),
    ],
    ids=["tensorflow", "function", "loss of keras", "loss of one's own"],
)
def test_minimize_solves_least_squares_in_float64_whatever_the_loss(loss, uncompiled):
    model, x, y = regression()
    curve = training.minimize(model, x, y, loss=loss, tolerance=1e-7)
    assert curve.gradient_norm <= 1e-7  # where values are rounded to float32, it stops long before
    kernel, bias = model.get_weights()
    np.testing.assert_allclose([*kernel[:, 0], *bias], least_squares(x, y), atol=1e-6)


def test_minimize_leaves_alone_what_the_loss_does_not_read(uncompiled):
    model, x, y = regression(outputs=2)
    before = model.get_weights()
    training.minimize(model, x, y, loss=lambda t, o: tf.reduce_mean((t - o[1]) ** 2))
    after = model.get_weights()
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose([*after[2][:, 0], *after[3]], least_squares(x, y), atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [Squares(), lambda t, o: tf.reduce_mean(tf.cast(t - o, tf.float32) ** 2)],
    ids=["loss of one's own", "function"],
)
def test_minimize_refuses_a_loss_in_less_than_float64(loss, uncompiled):
    model, x, y = regression()
    with pytest.raises(ValueError, match=r"`loss` must give float64.*gives float32"):
        training.minimize(model, x, y, loss=loss)


def test_minimize_leaves_the_weights_that_it_reached(uncompiled):
    """An objective that is not finite leaves those before."""
    model, x, y = regression()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"objective of .* is nan"):
        training.minimize(model, x, y, loss=lambda t, o: tf.reduce_mean(tf.math.log(o - 1)))
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    with pytest.raises(RuntimeError, match="after 1 iterations"):
        training.minimize(
            model, x, y, loss=keras.losses.MeanSquaredError(), tolerance=1e-9, iterations=1
        )
    assert (model.get_weights()[0] != before[0]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_fit_adds_up_the_losses_of_many_batches(dtype, uncompiled):
    """In half precision the sum stood still at some hundred batches."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)  # the model's own variables as well
    try:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    finally:
        keras.config.set_dtype_policy(before)
    assert model.variable_dtype == dtype
    inputs, targets = np.zeros((4000, 2), np.float32), np.arange(4000) % 3
    optimizer = keras.optimizers.SGD(0.0)
    curve = training.fit(model, inputs, targets, optimizer=optimizer, epochs=1, batch_size=1)
    assert curve.loss[0] == pytest.approx(np.log(3), rel=1e-2)


def test_training_of_ones_own_is_not_left_out():
    inner = small()
    model = training.AdversarialModel(inner, penalties=[training.GradientPenalty(1.0)])
    for train in BOTH:
        with pytest.raises(ValueError, match="AdversarialModel has a `train_step` of its own"):
            train(model, CLASSES)
    with pytest.raises(ValueError, match=r"give a model without: `model\.model`"):
        training.AdversarialModel(model)
    inner.train_step = lambda data: {}
    with pytest.raises(ValueError, match="has a `train_step` of its own"):
        training.AdversarialModel(inner)


@pytest.mark.parametrize("name", ["compute_loss", "test_step", "compute_metrics"])
def test_what_training_calls_is_not_left_out_either(name):
    model = small()
    own = type("Own", (type(model),), {name: lambda self, *args, **kwargs: None})
    model = own([keras.Input(model.input_shape[1:]), *model.layers])
    with pytest.raises(ValueError, match=f"has a `{name}` of its own"):
        training.AdversarialModel(model)


@pytest.mark.slow
def test_fit_shows_progress_only_where_it_is_wanted(digits, capsys, uncompiled):
    options = {"optimizer": keras.optimizers.SGD(), "epochs": 2, "batch_size": 1000}
    model = models.fc10()
    training.fit(model, *digits, **options, verbose=False)
    assert capsys.readouterr().err == ""
    options["optimizer"] = keras.optimizers.SGD()
    training.fit(model, *digits, **options, verbose=True)
    assert "1/2" in capsys.readouterr().err


@pytest.mark.slow
def test_divergence_is_an_error(digits, uncompiled):
    images = digits[0].copy()
    images[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        training.fit(models.fc10(), images, digits[1], optimizer=keras.optimizers.SGD(), epochs=1)
    with pytest.raises(ValueError, match="nan"):
        training.minimize(models.fc10(), images, digits[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1001}, r"`batch_size` must lie in \[1, 1000\]. Received: 1001"),
        ({"batch_size": 0}, "Received: 0"),
        ({"epochs": 0}, "epochs"),
        ({"jit_compile": "yes"}, "'yes'"),
        ({"verbose": "loud"}, "'loud'"),
    ],
)
def test_bad_options_are_refused(digits, changes, message):
    options = {"optimizer": keras.optimizers.SGD(), "epochs": 1, **changes}
    with pytest.raises(ValueError, match=message):
        training.fit(models.fc10(), *digits, **options)


def small(hidden="float32", logits="float32"):
    keras.utils.set_random_seed(0)
    decay = keras.regularizers.L2(0.01)
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4, "tanh", dtype=hidden, kernel_regularizer=decay),
            keras.layers.Dense(3, dtype=logits, kernel_regularizer=decay),
        ]
    )


POINTS = np.random.default_rng(0).random((24, 2)).astype(np.float32)
CLASSES = np.arange(24) % 3
BOTH = [
    lambda model, labels: training.minimize(model, POINTS, labels, tolerance=1e-2),
    lambda model, labels: training.fit(
        model,
        POINTS,
        labels,
        optimizer=keras.optimizers.SGD(0.1),
        epochs=1,
        batch_size=24,
        jit_compile=False,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("train", BOTH, ids=["minimize", "fit"])
@pytest.mark.drawn(1)
def test_classes_may_come_in_any_form(train):
    forms = [CLASSES, CLASSES.astype(np.uint8), CLASSES[:, None], np.eye(3, dtype=int)[CLASSES]]
    first, *others = [train(small(), labels).loss for labels in forms]
    for loss in others:
        np.testing.assert_allclose(loss, first, rtol=1e-6)
    with pytest.raises(ValueError, match="One-hot rows"):
        train(small(), np.eye(3)[CLASSES] * 0.7 + 0.1)
    with pytest.raises(TypeError, match=r"must be integers.*float64"):
        train(small(), CLASSES + 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("float64", "float64"), ("float32", "float64")], ids=str)
def test_layers_in_float64_are_fitted(kinds):
    curves = []
    for model in (small(), small(*kinds)):
        model.set_weights(small().get_weights())
        curves.append(BOTH[1](model, CLASSES).loss)
    np.testing.assert_allclose(*curves, rtol=1e-5)


def test_bad_data_and_models_are_refused(digits):
    images, labels = digits
    options = {"optimizer": keras.optimizers.SGD(), "epochs": 1}
    with pytest.raises(ValueError, match="1000 and 999"):
        training.fit(models.fc10(), images, labels[1:], **options)
    with pytest.raises(ValueError, match="0 and 0"):
        training.fit(models.fc10(), images[:0], labels[:0], **options)
    with pytest.raises(ValueError, match=r"between 0 and 9.*Received: -1"):
        training.fit(models.fc10(), images, labels - 1, **options)
    with pytest.raises(TypeError, match=r"`inputs` must be an array of numbers.*string"):
        training.minimize(models.fc10(), b"images", labels)
    frozen = models.fc10()
    frozen.trainable = False
    with pytest.raises(ValueError, match="trainable weights"):
        training.fit(frozen, images, labels, **options)


@pytest.mark.slow
@pytest.mark.parametrize("end", [None, "softmax", "sigmoid"])
@pytest.mark.drawn(1)
def test_the_cross_entropy_is_that_of_the_logits_whatever_the_model_ends_in(end):
    random = np.random.default_rng(0)
    x, units = random.normal(size=(60, 4)).astype("float32"), 1 if end == "sigmoid" else 3
    labels = (x[:, 0] > 0).astype(int) if units == 1 else x[:, :3].argmax(axis=1)
    losses = []
    for activation in (None, end):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
        curve = training.fit(
            model, x, labels, optimizer="adam", epochs=30, batch_size=20, verbose=False
        )
        losses.append(curve.loss)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_layers_that_cannot_be_compiled_are_not():
    rotation = keras.layers.RandomRotation(0.1)
    flatten, dense = keras.layers.Flatten(), keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((4, 4, 1)), rotation, flatten, dense])
    assert not rotation.supports_jit and not use_xla(model)
    x = np.random.default_rng(0).random((8, 4, 4, 1), "float32")
    curve = training.fit(model, x, np.arange(8) % 2, optimizer="sgd", epochs=1, batch_size=4)
    assert np.isfinite(curve.loss).all()


@pytest.mark.slow
def test_loss_scaling_changes_nothing():
    plain, scaling = small(), small()
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5))
    for model, optimizer in ((plain, keras.optimizers.SGD(0.5)), (scaling, scaled)):
        options = {"epochs": 3, "batch_size": 8, "jit_compile": False, "verbose": False}
        training.fit(model, POINTS, CLASSES, optimizer=optimizer, **options)
    for got, expected in zip(scaling.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("frequency", [None, 2])
def test_averaged_weights_are_those_that_keras_leaves(frequency):
    ours, keras_s = small(), small()

    def averaging():
        options = {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": frequency}
        return keras.optimizers.SGD(0.5, **options)

    options = {"epochs": 5, "batch_size": 24}
    training.fit(ours, POINTS, CLASSES, optimizer=averaging(), jit_compile=False, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    keras_s.compile(averaging(), loss, jit_compile=False)
    keras_s.fit(POINTS, CLASSES, verbose=0, **options)
    for got, expected in zip(ours.get_weights(), keras_s.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.scores = keras.layers.Dense(3)

    def call(self, inputs):
        return self.scores(inputs)


@pytest.mark.slow
def test_subclassed_models_have_classes_as_well():
    keras.utils.set_random_seed(0)
    forms = [CLASSES, CLASSES[:, None], np.eye(3)[CLASSES]]
    curves = []
    for labels in forms:
        keras.utils.set_random_seed(0)
        model = Subclassed()
        model(POINTS)
        curves.append(BOTH[1](model, labels).loss)
        with pytest.raises(ValueError, match=r"between 0 and 2.*Received: 3"):
            BOTH[1](model, CLASSES + 1)
    assert curves[0] == curves[1] == curves[2]


def branching(outputs):
    inputs = keras.Input((2,))
    return keras.Model(inputs, outputs(inputs))


@pytest.mark.parametrize(
    "outputs",
    [
        lambda x: [keras.layers.Dense(3)(x), keras.layers.Dense(2)(x)],
        lambda x: {name: keras.layers.Dense(3)(x) for name in "ab"},
        lambda x: keras.layers.Dense(3, "softmax")(keras.layers.RepeatVector(5)(x)),
    ],
    ids=["list", "dictionary", "series"],
)
@pytest.mark.parametrize("train", BOTH, ids=["minimize", "fit"])
def test_the_cross_entropy_of_other_outputs_is_refused(train, outputs):
    """Of the softmax of a series it was the cross-entropy of probabilities, as if of logits."""
    with pytest.raises(ValueError, match=r"one row of class scores.*give a `loss`"):
        train(branching(outputs), CLASSES)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": "mse"}, TypeError, r"`loss` must be a function .*'mse'"),
        (
            {"loss": keras.losses.mean_squared_error},
            ValueError,
            r"`loss` must give one number.*shape \(8,\)",
        ),
        ({"optimizer": None}, TypeError, "`optimizer` must be a Keras optimizer"),
        ({"inputs": tf.data.Dataset.from_tensors(POINTS)}, TypeError, "`inputs` .*Dataset"),
        ({"inputs": {"x": POINTS}}, TypeError, "`inputs` .*dict"),
        ({"inputs": [[0.0], [0.0, 1.0]]}, ValueError, "`inputs` .*differ in shape"),
        ({"targets": np.array([{}] * 24)}, TypeError, "`targets` .*ndarray of dtype object"),
    ],
    ids=lambda value: "",
)
def test_what_is_wrong_is_said_before_tensorflow_does(change, error, message):
    arguments = {"inputs": POINTS, "targets": np.eye(3)[CLASSES], "optimizer": "sgd", "epochs": 1}
    with pytest.raises(error, match=f"^{message}"):
        training.fit(small(), **arguments | {"batch_size": 8, "jit_compile": False} | change)


@pytest.mark.slow
@pytest.mark.parametrize("train", BOTH, ids=["minimize", "fit"])
def test_nothing_is_logged(train, caplog):
    tf.get_logger().addHandler(caplog.handler)
    try:
        train(small(), CLASSES)
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not caplog.records


@pytest.mark.slow
def test_an_axis_of_one_may_be_left_out_as_in_keras():
    images = np.repeat(POINTS[:, :, None], 2, axis=2)
    model = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    for given in (images, images[..., None]):
        training.fit(model, given, CLASSES, optimizer="sgd", epochs=1, batch_size=8)
