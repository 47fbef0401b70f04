"""What must not change the answer: the batch, its order, its size, the make of the model."""

import dataclasses
import functools
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import intriguing_tf as itf
from intriguing_tf.keras_graph import above, up_to
from tests.adversary.networks import confirm, points, small_network, zoo_adversary, zoo_model


@pytest.mark.slow
def test_every_success_is_confirmed_by_the_model_itself(network, adversary):
    result = adversary(points(40))
    assert (result.status == "found").all()
    confirm(network, result)


@pytest.mark.slow
def test_an_adversary_that_is_dropped_leaves_nothing_behind(network):
    attack = itf.LBFGSAdversary(network, maxfun=5, jit_compile=False)
    attack(points(2))
    parts = (attack, attack.classifier, attack.classifier.graph((8,)), *attack._solvers.values())
    held = [weakref.ref(part) for part in parts]
    del attack, parts
    gc.collect()
    assert [each() for each in held] == [None] * 4


@pytest.mark.slow
def _softened(model):
    model.layers[1].activation = keras.activations.tanh


def _of_other_classes(model):
    model.pop()
    model.add(keras.layers.Dense(5, "softmax"))


@pytest.mark.slow
@pytest.mark.parametrize("change", [_softened, _of_other_classes])
@pytest.mark.parametrize("layer", [None, "first"])
def test_a_model_that_was_changed_is_attacked_as_it_is(change, layer):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, a) for n, a in ((6, "relu"), (6, "relu"), (3, "sigmoid"))]
    first = keras.layers.Dense(8, name="first")
    whole = keras.Sequential([keras.Input((8,)), first, *layers])
    whole.set_weights([4 * w for w in whole.get_weights()])
    attack = itf.LBFGSAdversary(whole, layer=layer, bounds=(0.0, 1.0), solver="scipy", maxfun=30)
    x = np.random.default_rng(0).random((16, 8)).astype("float32")
    attack(x)
    whole.predict(x, verbose=0)
    change(whole)
    result = attack(x)
    model = whole if layer is None else above(whole, "first")
    np.testing.assert_array_equal(result.predictions, model(result.images).numpy().argmax(axis=1))
    if layer is None:
        np.testing.assert_array_equal(
            result.predictions, model.predict(result.images, verbose=0).argmax(axis=1)
        )
    assert (result.status == "found").any()


def test_finds_within_rounding_of_the_boundary_are_moved_beyond_it():
    """Many inputs and small logits: what lies 1e-6 beyond the boundary comes and goes."""
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), *layers, keras.layers.Dense(10, activation="softmax")]
    )
    images = np.random.default_rng(5).uniform(-1, 1, (16, 32, 32, 3)).astype("float32")
    adversary = itf.LBFGSAdversary(model, bounds=(-1.0, 1.0), loss="margin")
    result = adversary(images, targets="nearest")
    assert (result.status == "found").all()
    confirm(model, result, (-1.0, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-3), ("float64", 1e-6)])
@pytest.mark.drawn(1)
def test_a_batch_gives_what_each_image_gives_alone(adversary, dtype, rtol):
    attack = adversary
    if dtype == "float64":
        model = small_network(dtype=dtype)
        attack = itf.LBFGSAdversary(model, loss="margin", jit_compile=False)
    x = points(6).astype(dtype)
    together = attack(x)
    alone = [attack(x[i : i + 1], targets=together.targets[i : i + 1]) for i in range(6)]
    np.testing.assert_array_equal(together.success, [each.success[0] for each in alone])
    distortion = np.array([each.distortion[0] for each in alone])
    np.testing.assert_allclose(together.distortion, distortion, rtol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, loss",
    [
        ("mnist/fc10-1e-4", "cross_entropy"),
        ("mnist/fc100-100-10", "margin"),
        ("mnist/conv", "margin"),
    ],
)
@pytest.mark.drawn(1)
def test_digits_in_small_batches_give_what_they_give_in_one(sample, name, loss):
    x, y = sample[0][:12], sample[1][:12]
    attack = zoo_adversary(name, loss)
    together = attack(x, y)
    confirm(zoo_model(name), together)
    parts = [attack(x[i], y[i], together.targets[i]) for i in (slice(4), slice(4, 12))]
    np.testing.assert_array_equal(together.success, np.concatenate([p.success for p in parts]))
    apart = np.concatenate([p.distortion for p in parts])
    # A network with kinks turns rounding into another path, to an end that is as good.
    rtol = 1e-3 if name != "mnist/conv" else 0.05
    np.testing.assert_allclose(together.distortion, apart, rtol=rtol)
    np.testing.assert_allclose(together.distortion.mean(), apart.mean(), rtol=max(1e-3, rtol / 5))


@pytest.mark.slow
def test_order_and_duplicates_do_not_matter(adversary):
    x = points(12)
    result = adversary(x)
    order = np.random.default_rng(0).permutation(12)
    shuffled = adversary(x[order], targets=result.targets[order])
    np.testing.assert_allclose(shuffled.distortion, result.distortion[order], rtol=1e-3)
    twice = adversary(np.repeat(x, 2, axis=0), targets=np.repeat(result.targets, 2))
    np.testing.assert_allclose(twice.images[::2], twice.images[1::2], atol=1e-3)
    np.testing.assert_allclose(twice.distortion[::2], result.distortion, rtol=1e-3)


@pytest.mark.slow
def test_memory_that_cuts_the_batch_changes_nothing(network, adversary):
    x = points(11)
    whole = adversary(x)
    cut = itf.LBFGSAdversary(network, loss="margin", jit_compile=False, memory=2**13)
    assert 1 <= cut.batch_size((8,)) < 5
    np.testing.assert_allclose(cut(x).distortion, whole.distortion, rtol=1e-3)


@pytest.mark.slow
def test_a_seed_determines_everything(adversary):
    x = points(8)
    first, second, other = adversary(x, seed=3), adversary(x, seed=3), adversary(x, seed=4)
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.targets, second.targets)
    assert (first.targets != other.targets).any()


@pytest.mark.slow
def test_padding_and_xla_change_nothing(network, adversary):
    x = points(5)
    plain = adversary(x)
    compiled = itf.LBFGSAdversary(network, loss="margin", jit_compile=True)(x)
    assert compiled.settings["jit_compile"] is True and plain.settings["jit_compile"] is False
    np.testing.assert_allclose(compiled.distortion, plain.distortion, rtol=1e-3)


@pytest.mark.slow
def test_already_misclassified_images_come_back_unchanged(network, adversary):
    x = points(10)
    predicted = network.predict(x, verbose=0).argmax(1)
    labels = predicted.copy()
    labels[:4] = (labels[:4] + 1) % 4
    result = adversary(x, labels)
    np.testing.assert_array_equal(result.status, ["already"] * 4 + ["found"] * 6)
    assert (result.distortion[:4] == 0).all() and result.success.all()
    confirm(network, result)
    same = adversary(x, targets=predicted)
    assert (same.status == "already").all() and same.success.all() and (same.l2 == 0).all()
    np.testing.assert_array_equal(same.images, x)


@pytest.mark.slow
def test_a_mask_and_equal_bounds_hold_variables(network, adversary):
    x = points(10)
    mask = np.arange(8) != 3
    result = adversary(x, targets="nearest", mask=mask)
    confirm(network, result)
    assert (result.images[:, 3] == x[:, 3]).all() and (result.status == "found").mean() > 0.5
    y = x.copy()
    y[:, 3] = 0.5
    bounds = np.where(mask, 0.0, 0.5), np.where(mask, 1.0, 0.5)
    held = itf.LBFGSAdversary(network, bounds=bounds, jit_compile=False)(y, targets="nearest")
    np.testing.assert_allclose(held.l2, adversary(y, targets="nearest", mask=mask).l2, rtol=1e-3)
    assert (held.images[:, 3] == 0.5).all()


@pytest.mark.slow
def test_bounds_of_each_image(network, adversary):
    x = points(10)
    bounds = np.maximum(x - 0.2, 0), np.minimum(x + 0.2, 1)
    result = itf.LBFGSAdversary(network, bounds=bounds, jit_compile=False)(x, targets="nearest")
    confirm(network, result, bounds)
    assert (result.status == "found").mean() > 0.5
    assert (result.l2 >= adversary(x, targets="nearest").l2 * (1 - 1e-3)).all()


@pytest.mark.slow
@pytest.mark.parametrize("scales", [1e-4, 1.0, 1e8, [1, 10, 100, 0, 1000]], ids=str)
@pytest.mark.parametrize("lower", [-np.inf, -1e9])
def test_without_bounds_a_linear_model_is_fooled_at_any_scale(scales, lower):
    """Exactly: at the nearest hyperplane; no range tells how far to go."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    rows = (np.random.default_rng(0).normal(size=(20, 5)) * scales).astype("float32")
    result = itf.LBFGSAdversary(model, bounds=(lower, np.inf))(rows, targets="nearest")
    kernel, bias = (weight.numpy().astype(np.float64) for weight in model.weights)
    logits = rows @ kernel + bias
    mine = logits.argmax(axis=1)
    slopes = np.linalg.norm(kernel[:, :, None] - kernel[:, None], axis=0)[mine]
    gaps = logits.max(axis=1, keepdims=True) - logits
    others = np.arange(3) != mine[:, None]
    exact = np.min(gaps / np.where(others, slopes, 1), axis=1, where=others, initial=np.inf)
    np.testing.assert_allclose(result.l2, exact, rtol=3e-3)  # logits of 1 000 are rounded


def test_without_bounds_the_scale_of_the_pixels_does_not_matter(network):
    images = points(8)
    inputs = keras.Input(network.input_shape[1:])
    scaled = keras.Model(inputs, network(keras.layers.Rescaling(2.0**-14)(inputs)))
    bounds = -np.inf, np.inf
    near = itf.LBFGSAdversary(network, bounds=bounds)(images, targets="nearest")
    far = itf.LBFGSAdversary(scaled, bounds=bounds)(images * 2.0**14, targets="nearest")
    assert (near.status == "found").all() and (far.status == "found").all()
    np.testing.assert_allclose(far.l2, near.l2 * 2.0**14, rtol=1e-3)


def test_confidence_is_reached_in_logits(network, adversary):
    x = points(10)
    sure = itf.LBFGSAdversary(network, confidence=0.5, jit_compile=False)(x, targets="nearest")
    logits = np.sort(network.predict(sure.images, verbose=0), axis=1)
    found = sure.status == "found"
    assert found.any() and (logits[found, -1] - logits[found, -2] >= 0.5 - 1e-5).all()
    assert (sure.l2[found] > adversary(x, targets=sure.targets).l2[found]).all()
    # An image that is its target, but not with confidence, is attacked; otherwise it is not.
    own = network.predict(x, verbose=0).argmax(axis=1)
    surer = itf.LBFGSAdversary(network, confidence=1.0, jit_compile=False)(x, targets=own)
    margins = np.sort(network.predict(x, verbose=0), axis=1)
    np.testing.assert_array_equal(surer.status == "already", margins[:, -1] - margins[:, -2] >= 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.drawn(1)
def test_levels_put_the_result_on_a_lattice(network, adversary, levels):
    x = np.rint(points(12) * (levels - 1)).astype("float32") / np.float32(levels - 1)
    free = adversary(x, targets="nearest")
    attack = itf.LBFGSAdversary(network, levels=levels, jit_compile=False)
    result = attack(x, targets=free.targets)
    confirm(network, result)
    steps = result.images.astype(np.float64) * (levels - 1)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    found = result.status == "found"
    assert found.mean() >= (0.9 if levels > 2 else 0.5)
    if levels == 256:
        # Half a step in every variable: more than 5 % of the distance of the nearest.
        rounding = np.sqrt(x.shape[1]) / 2 / (levels - 1)
        assert (result.l2[found] <= free.l2[found] * 1.05 + rounding).all()


def test_enough_ends_a_search_early(network, adversary):
    x = points(10)
    whole = adversary(x, targets="nearest")
    early = adversary(x, targets=whole.targets, enough=float(whole.l2.max() * 1.5))
    assert early.nfev.mean() < 0.7 * whole.nfev.mean()
    assert (early.l2 <= whole.l2.max() * 1.5).all() and early.settings["enough"] > 0
    confirm(network, early)


@pytest.mark.slow
def test_more_starts_come_no_less_near_and_keep_their_noise(network, adversary):
    x = points(8)
    one = adversary(x, seed=3)
    attack = itf.LBFGSAdversary(network, starts=3, jit_compile=False)
    three = attack(x, targets=one.targets, seed=3)
    confirm(network, three)
    assert (three.l2 <= one.l2 * (1 + 1e-5)).all() and (three.nfev > one.nfev + 20).all()
    alone = attack(x[5:6], targets=one.targets[5:6], seed=3)
    np.testing.assert_allclose(alone.l2, three.l2[5:6], rtol=1e-3)
    assert three.settings["starts"] == 3


def average_of_softmaxes(network):
    inputs = keras.Input((8,))
    members = [keras.layers.Softmax()(each(inputs)) for each in (network, small_network(seed=5))]
    return keras.Model(inputs, keras.layers.Average()(members))


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["auto", "probabilities"])
@pytest.mark.drawn(1)
def test_an_ensemble_that_averages_probabilities(network, outputs):
    model = average_of_softmaxes(network)
    attack = itf.LBFGSAdversary(model, outputs=outputs, jit_compile=False)
    result = attack(points(10), targets="nearest")
    assert (result.status == "found").all()
    confirm(model, result)


@pytest.mark.slow
def test_targets_by_name_are_what_they_say(network, adversary):
    x = points(24)
    logits = network.predict(x, verbose=0)
    own = logits.argmax(1)
    least = adversary(x, own, targets="least_likely")
    np.testing.assert_array_equal(least.targets, logits.argmin(1))
    drawn = adversary(x, own, targets="random")
    assert (drawn.targets != own).all() and len(set((drawn.targets - own) % 4)) == 3


BOXES = {
    "0.1 to 0.9": (0.1, 0.9),
    "0 to 255": (0.0, 255.0),
    "per variable": (np.linspace(-0.3, 0.1, 8), np.linspace(0.7, 3.1, 8)),
    "open above": (0.1, np.inf),
    "open": (-np.inf, np.inf),
}


@pytest.mark.slow
@pytest.mark.parametrize("bounds", BOXES.values(), ids=BOXES)
@pytest.mark.drawn(2)
def test_the_box_holds_to_the_last_bit(bounds):
    inner = small_network()
    lower, upper = (np.asarray(b, np.float32) for b in bounds)
    low = np.where(np.isfinite(lower), lower, 0.0)
    width = np.where(np.isfinite(upper - lower), upper - lower, 1.0)
    model = keras.Sequential([keras.Input((8,)),
                              keras.layers.Rescaling(1 / width, -low / width), inner])  # fmt: skip
    x = np.clip(low + width * np.round(points(10), 0), lower, upper).astype("float32")  # corners
    result = itf.LBFGSAdversary(model, bounds=bounds, jit_compile=False)(x, targets="nearest")
    confirm(model, result, (lower, upper))
    assert (result.status == "found").mean() >= 0.8
    reference = itf.LBFGSAdversary(
        model, bounds=bounds, solver="scipy", jit_compile=False, maxfun=15
    )
    confirm(model, reference(x[:3]), (lower, upper))
    scale = np.where(np.isfinite(upper - lower), upper - lower, 1.0)
    change = (result.images.astype(np.float64) - result.originals) / scale
    found = result.status == "found"
    expected = np.sqrt((change**2).mean(axis=1))
    np.testing.assert_allclose(result.distortion[found], expected[found], rtol=1e-6)


@pytest.mark.slow
def test_constant_models_fail_cleanly():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model.set_weights([np.zeros((8, 3)), np.array([1.0, 0.0, -1.0])])
    for solver in ("compiled", "scipy"):
        attack = itf.LBFGSAdversary(model, solver=solver, jit_compile=False)
        for targets in ("random", "nearest"):
            result = attack(points(5), targets=targets)
            assert (result.status == "failed").all() and not result.success.any()
            np.testing.assert_array_equal(result.images, points(5))
            confirm(model, result)


class Exploding(keras.layers.Layer):
    """Not finite where the first variable is above 0.9, and no derivative there either."""

    def call(self, x):
        return keras.ops.where(x[:, :1] > 0.9, np.nan, x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver, targets", [("compiled", "random"), ("compiled", "nearest"), ("scipy", "random")]
)
@pytest.mark.drawn(1)
def test_an_image_that_is_not_finite_fails_alone(solver, targets):
    inner = small_network()
    model = keras.Sequential([keras.Input((8,)), Exploding(), inner])
    x = points(8)
    x[:, 0] *= 0.5
    x[3, 0] = 0.95
    result = itf.LBFGSAdversary(model, solver=solver, jit_compile=False)(x, targets=targets)
    assert result.status[3] == "failed" and result.original_predictions[3] == -1
    # SciPy's line search cannot step back from where nothing is finite, so some runs end there.
    assert (np.delete(result.status, 3) == "found").mean() > (0.99 if solver == "compiled" else 0.1)
    assert np.isfinite(result.images).all()


class RootGradient(keras.layers.Layer):
    """sqrt(|x - 1/2|): its derivative is infinite at 1/2, its value is not."""

    def call(self, x):
        return keras.ops.sqrt(keras.ops.abs(x - 0.5))


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_fails_alone():
    model = keras.Sequential([keras.Input((8,)), RootGradient(), small_network()])
    x = points(6)
    x[2] = 0.5
    attack = itf.LBFGSAdversary(model, loss="cross_entropy", jit_compile=False)
    result = attack(x)
    assert (np.delete(result.status, 2) == "found").sum() >= 4
    confirm(model, result)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.drawn(1)
def test_low_precision_models(policy):
    model = small_network(dtype=policy)
    result = itf.LBFGSAdversary(model, loss="margin", jit_compile=False)(points(16))
    assert (result.status == "found").mean() >= 0.9
    confirm(model, result)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from(["random", "nearest"]))
def test_anything_within_the_contract(network, adversary, seed, n, targets):
    random = np.random.default_rng(seed)
    x = random.uniform(0, 1, (n, 8)).astype("float32")
    x = np.where(random.uniform(size=x.shape) < 0.3, np.round(x), x)
    labels = random.integers(0, 4, n)
    result = adversary(x, labels, targets=targets, seed=seed)
    confirm(network, result)
    misclassified = network.predict(x, verbose=0).argmax(1) != labels
    np.testing.assert_array_equal(result.status == "already", misclassified)
    assert (result.targets[~misclassified] != labels[~misclassified]).all()


def attack(model, **settings):
    return itf.LBFGSAdversary(model, loss="margin", jit_compile=False, **settings)


RANGES = [
    ("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, np.inf), ("linear", -np.inf, np.inf),
    ("softplus", 0, np.inf), ("elu", -1, np.inf), ("relu6", 0, 6),
    (keras.ops.relu, 0, np.inf), (tf.nn.tanh, -1, 1),
]  # fmt: skip


@pytest.mark.parametrize("activation, lower, upper", RANGES)
def test_bounds_at_a_layer_are_its_activations_range(activation, lower, upper):
    model = small_network(activation=activation)
    adversary = itf.LBFGSAdversary(model, layer="hidden")
    assert tuple(map(float, adversary.bounds)) == (lower, upper)


def relu(z):
    return 10 * keras.ops.tanh(z) - 5


@functools.wraps(keras.activations.relu)
def shifted(z):
    return keras.activations.relu(z) - 1


@dataclasses.dataclass(eq=True)  # and so not hashable
class Named:
    __name__: str = "relu"

    def __call__(self, z):
        return relu(z)


@pytest.mark.parametrize("activation", [relu, shifted, Named()], ids=["name", "wrapped", "object"])
def test_the_range_of_an_activation_is_not_told_by_its_name(activation):
    model = small_network(activation=activation)
    with pytest.raises(ValueError, match="'hidden' is not known"):
        itf.LBFGSAdversary(model, layer="hidden")


def test_the_range_of_a_layer_whose_call_was_replaced_is_not_known():
    model = small_network(activation="relu")
    model.get_layer("hidden").call = lambda x: x[:, :12] - 1
    with pytest.raises(ValueError, match="'hidden' is not known"):
        itf.LBFGSAdversary(model, layer="hidden")


@pytest.mark.slow
def test_attack_above_a_hidden_layer():
    model = small_network(activation="sigmoid")
    hidden = up_to(model, "hidden").predict(points(20), verbose=0)
    result = attack(model, layer="hidden")(hidden)
    assert result.images.shape == (20, 12) and (result.status == "found").mean() > 0.9
    confirm(above(model, "hidden"), result)
    assert (result.original_predictions == model.predict(points(20), verbose=0).argmax(1)).all()


def test_a_layer_without_a_known_range_needs_bounds():
    model = keras.Sequential([keras.Input((8,)), keras.layers.LayerNormalization(name="norm"),
                              keras.layers.Dense(3)])  # fmt: skip
    with pytest.raises(ValueError, match=r"'norm'.*not known.*Give `bounds`"):
        itf.LBFGSAdversary(model, layer="norm")
    itf.LBFGSAdversary(model, layer="norm", bounds=(-np.inf, np.inf))


class Subclassed(keras.Model):
    """A network without a graph of layers."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, x, training=None):
        return self.dropout(self.inner(keras.ops.reshape(x, (-1, 8))), training=training)


@pytest.mark.slow
def test_subclassed_models_run_without_dropout(network, adversary):
    model = Subclassed(network)
    model(np.zeros((1, 2, 4), "float32"))
    x = points(10).reshape(10, 2, 4)
    result = attack(model)(x)
    assert result.images.shape == (10, 2, 4)
    flat = adversary(x.reshape(10, 8), targets=result.targets)
    np.testing.assert_allclose(result.distortion, flat.distortion, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["activation", "layer", "functional"])
@pytest.mark.drawn(1)
def test_softmax_outputs_give_what_their_logits_give(network, adversary, ending):
    if ending == "activation":
        model = small_network(last="softmax")
    elif ending == "layer":
        model = keras.Sequential([keras.Input((8,)), small_network(), keras.layers.Softmax()])
    else:
        inputs = keras.Input((8,))
        model = keras.Model(inputs, keras.layers.Activation("softmax")(small_network()(inputs)))
    plain = adversary(points(10))
    result = attack(model)(points(10), targets=plain.targets)
    np.testing.assert_allclose(result.distortion, plain.distortion, rtol=1e-3)
    confirm(model, result)


@pytest.mark.slow
@pytest.mark.parametrize("last", [None, "sigmoid"])
@pytest.mark.drawn(1)
def test_one_unit_means_two_classes(last):
    model = small_network(classes=1, last=last)
    result = attack(model)(points(20))
    assert set(result.original_predictions) == {0, 1}
    np.testing.assert_array_equal(result.targets, 1 - result.original_predictions)
    assert (result.status == "found").all()
    scores = model.predict(result.images, verbose=0)[:, 0]
    threshold = 0.5 if last else 0.0
    np.testing.assert_array_equal(scores > threshold, result.targets == 1)


@pytest.mark.slow
def test_images_of_any_shape():
    model = keras.Sequential(
        [keras.Input((None, 6, 2)), keras.layers.Conv2D(5, 3), keras.layers.Activation("tanh"),
         keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    )  # fmt: skip
    adversary = attack(model)
    random = np.random.default_rng(0)
    for height in (5, 7):
        x = random.uniform(0, 1, (4, height, 6, 2)).astype("float32")
        result = adversary(x)
        assert result.images.shape == x.shape
        confirm(model, result)
