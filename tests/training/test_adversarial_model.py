"""Training with pools and penalties: what is added to the loss, kept, renewed, saved, refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import datasets, lipschitz, training

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def points():
    """Three classes in the unit square: images [n, 2] and labels [n]."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 240)
    centres = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.8]])
    points = centres[labels] + 0.08 * random.normal(size=(240, 2))
    return np.clip(points, 0, 1).astype(np.float32), labels


def network(seed=0, activation="sigmoid", width=8, output=3):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(width, activation, name="hidden"),
            keras.layers.Dense(output, name="logits"),
        ],
        name="network",
    )


def trained(model, points, epochs=1, rate=0.1, loss=LOGITS, **options):
    model.compile(keras.optimizers.SGD(rate), loss)
    options = {"batch_size": 24, "shuffle": False, "verbose": 0, **options}
    return model.fit(*points, epochs=epochs, **options)


def one_step(points, penalty, rate=0.5):
    """The change of the weights in one step that the penalty alone makes, and the plain model."""
    with_penalty, without = (
        training.AdversarialModel(network(), penalties=parts) for parts in ([penalty], [])
    )
    for model in (with_penalty, without):
        trained(model, points, rate=rate, batch_size=240)
    return [
        (a - b) / -rate
        for a, b in zip(with_penalty.model.get_weights(), without.model.get_weights(), strict=True)
    ]


def numerical_gradient(value, model):
    gradients = []
    for weight in model.trainable_variables:
        start = weight.numpy()
        gradient = np.zeros(start.shape)
        for place in np.ndindex(*start.shape):
            values = []
            for sign in (1, -1):
                moved = start.copy()
                moved[place] += sign * 1e-3
                weight.assign(moved)
                values.append(value(model))
            weight.assign(start)
            gradient[place] = (values[0] - values[1]) / 2e-3
        gradients.append(gradient)
    return gradients


def jacobians(model, x):
    """d logits / d x of the one-hidden-layer sigmoid network, by hand, in float64."""
    w1, b1, w2, _ = (w.numpy().astype(np.float64) for w in model.trainable_variables)
    h = 1 / (1 + np.exp(-(x @ w1 + b1)))
    return np.einsum("ij,nj,jk->nik", w1, h * (1 - h), w2)


def probabilities(model, x):
    logits = model(x).numpy().astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.slow
def test_gradient_penalty_is_double_backpropagation(points):
    x, labels = points

    def value(model):
        residual = probabilities(model, x) - np.eye(3)[labels]
        gradient = np.einsum("nik,nk->ni", jacobians(model, x), residual)
        return 0.7 * np.mean(np.sum(gradient**2, 1))

    changes = one_step(points, training.GradientPenalty(0.7))
    expected = numerical_gradient(value, network())
    assert max(np.abs(g).max() for g in expected) > 1e-3
    for change, gradient in zip(changes, expected, strict=True):
        np.testing.assert_allclose(change, gradient, atol=1e-5)


def test_random_projections_estimate_the_jacobian_norm(points):
    x, labels = points
    model = network()
    exact = 0.7 * np.mean(np.sum(jacobians(model, x) ** 2, axis=(1, 2)))
    term = training.GradientPenalty(0.7, of="jacobian", projections=4, seed=1).prepare(model)
    run = tf.function(lambda step: term(tf.constant(x), tf.constant(labels), step))
    values = [float(run(tf.constant(step))) for step in range(20)]
    assert np.mean(values) == pytest.approx(exact, rel=0.02)
    assert np.std(values) > 0  # new directions in every step


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
    assert float(term(None, None, None)) == pytest.approx(3 * np.log(2) ** 2, rel=1e-2)
    assert float(training.LipschitzPenalty(total=1.01 * total).prepare(model)(0, 0, 0)) == 0


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
        model.compile(keras.optimizers.Adam(3e-3), LOGITS)
        model.fit(images[:500], labels[:500], batch_size=50, epochs=8, verbose=0)
        rows = lipschitz.bound(inner, method="product").rows
        bounds[name] = [row.bound for row in rows if row.kind != "Flatten"]
    assert max(bounds["plain"]) > 1.0
    assert max(bounds["held"]) < 0.9


def pool(layer=None, **options):
    defaults = {"size": 64, "refresh": 16, "interval": 5, "attack": {"maxcor": 1}}
    return training.AdversarialPool(layer, **defaults | options)


@pytest.mark.slow
def test_pools_hold_adversarial_examples_with_their_true_labels(points):
    inner = network(width=16)
    model = training.AdversarialModel(inner, pools=[pool(), pool("hidden")])
    history = trained(model, points, epochs=12, rate=0.5).history
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
        mixed, labels = memory.mix(below, tf.zeros(10, tf.int64), tf.constant(3))
        outputs = memory.upper_part(mixed, training=True)[10:]
    assert mixed.shape == (100, 8)
    assert labels.shape == (100,)
    gradients = tape.gradient(outputs, model.trainable_weights)
    assert [g is None or not np.abs(g).any() for g in gradients] == [True, True, False, False]


@pytest.mark.parametrize("layer", [None, "hidden"])
@pytest.mark.parametrize("targets", ["runner_up", "least_likely"])
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
    mixed, classes = made.mix(activations, tf.constant(labels), tf.constant(7))
    examples = mixed.numpy()[16:]
    np.testing.assert_array_equal(classes, np.tile(labels, 2))
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
    part, x = model._examples[0], tf.constant(points[0])
    logits = model.model(x)
    drawn = [part._targets(logits, tf.constant([0, step])).numpy() for step in (1, 1, 2)]
    assert (drawn[0] != logits.numpy().argmax(1)).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert len(np.unique(drawn[0])) > 1


@pytest.mark.parametrize(
    "how", [{}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow), {"run_eagerly": True}]
)
def test_a_step_with_examples_made_within_it_is_one_on_both(points, how):
    model = training.AdversarialModel(network(), pools=[pool(distortion=0.1, interval=0)])
    images, labels = (tf.constant(each) for each in points)
    both = model._examples[0].mix(images, labels, tf.constant(0))
    assert both[0].numpy().min() == 0.0
    assert both[0].numpy().max() <= 1.0
    model.compile(keras.optimizers.SGD(0.5), LOGITS, **how)
    logs = model.fit(*points, batch_size=240, verbose=0).history
    assert "pool_seconds" not in logs  # nothing is kept and renewed
    plain = training.AdversarialModel(network())
    trained(plain, tuple(each.numpy() for each in both), rate=0.5, batch_size=480)
    for a, b in zip(model.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_training_goes_on_where_it_was_saved(points, tmp_path):
    whole, half = (training.AdversarialModel(network(), [pool("hidden", seed=4)]) for _ in range(2))
    trained(whole, points, epochs=4)
    trained(half, points, epochs=2)
    half.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    resumed.fit(*points, batch_size=24, shuffle=False, verbose=0, epochs=2)
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
@pytest.mark.parametrize("form", ["one-hot", "column", "functional", "softmax", "binary"])
def test_forms_of_labels_and_models(points, form):
    x, labels = points
    inner, loss = network(), LOGITS
    if form == "one-hot":
        labels = keras.utils.to_categorical(labels, 3)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    elif form == "column":
        labels = labels[:, None]
    elif form in ("functional", "softmax"):
        inputs = keras.Input((2,))
        hidden = keras.layers.Dense(8, "tanh", name="hidden")(inputs)
        end = "softmax" if form == "softmax" else None
        inner = keras.Model(inputs, keras.layers.Dense(3, end)(hidden))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=form == "functional")
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
    model.compile(keras.optimizers.SGD(0.5), LOGITS, steps_per_execution=5, metrics=["accuracy"])
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
            [pool(distortion=0.1), pool("hidden", distortion=0.1)],
            [training.GradientPenalty(0.1), training.LipschitzPenalty(total=1.0)],
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


def test_labels_that_are_no_class_are_refused(points):
    model = training.AdversarialModel(network())
    model.compile("sgd", LOGITS)
    with pytest.raises(ValueError, match=r"between 0 and 2.*Received: 3"):
        model.fit(points[0], points[1] + 1, verbose=0)


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


def test_rescaling_is_a_part_of_the_total(points):
    plain = network()
    scaled = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(3.0), *plain.layers])
    penalties = [training.LipschitzPenalty(total=total) for total in (0.1, 0.3)]
    losses = [
        float(penalty.prepare(model)(None, None, None))
        for penalty, model in zip(penalties, (plain, scaled), strict=True)
    ]
    assert losses[0] > 0
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_batches_too_small_for_a_share_are_refused(points):
    model = training.AdversarialModel(network(), [pool("hidden", share=0.01)])
    with pytest.raises(ValueError, match=r"batch of 24 images is too small for the share 0.01"):
        trained(model, points)


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
        (network, {"penalties": [0.1]}, TypeError, "LipschitzPenalty or GradientPenalty"),
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
        (lambda: training.AdversarialPool(share=1.0), ValueError, "between 0 and 1. Received: 1.0"),
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
