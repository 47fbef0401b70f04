"""Noise belongs to the seed, the image, the target and the number of the start."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.adversary import search, starts
from intriguing_tf.adversary.margins import hard_margins
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch
from intriguing_tf.adversary.starts import descend, linear_model, noisy_starts
from intriguing_tf.classifier import Classifier
from tests.adversary.networks import confirm, points, small_network, zoo_model


def batch_of(problem, x, targets):
    logits = problem.classifier.predict_logits(x)
    confidence = problem.least_confidence(logits)
    return Batch(
        originals=x, starts=x, targets=targets, lower=np.zeros_like(x), upper=np.ones_like(x),
        logits=logits, gap=np.maximum(hard_margins(logits, targets), confidence),
        confidence=confidence, enough=np.zeros(len(x)),
        image=np.arange(len(x)), spent=np.zeros(len(x), np.int64),
        shares=np.ones(len(x), np.int64),
    )  # fmt: skip


@pytest.mark.slow
def test_starts_do_not_depend_on_the_batch_and_lead_towards_the_target():
    model = small_network()
    problem = Problem(Classifier(model), (8,))
    x = points(6)
    batch = batch_of(problem, x, (model.predict(x, verbose=0).argmax(axis=1) + 1) % 4)
    distance, numbers = np.full(6, 0.3), np.arange(6) % 2 + 1
    ends, evaluations = noisy_starts(problem, batch, distance, numbers, seed=2)
    assert (evaluations >= 10).all() and (ends >= 0).all() and (ends <= 1).all()
    some = [4, 1]
    part, _ = noisy_starts(problem, batch.rows(some), distance[some], numbers[some], seed=2)
    np.testing.assert_allclose(part, ends[some], atol=1e-4)
    other, _ = noisy_starts(problem, batch, distance, numbers + 1, seed=2)
    another, _ = noisy_starts(problem, batch, distance, numbers, seed=3)
    for different in (other, another):
        assert (np.abs(different - ends).max(axis=1) > 1e-3).all()
    before = hard_margins(batch.logits, batch.targets)
    after = hard_margins(problem.classifier.predict_logits(ends), batch.targets)
    assert (after < before).all()


def test_expected_distances_are_those_of_a_linear_margin():
    """Two classes whose logits differ by 3 x0 - 4 x1 + 10 x2, where x2 is held."""
    kernel = np.zeros((3, 2), np.float32)
    kernel[:, 0] = [3, -4, 10]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([kernel])
    problem = Problem(Classifier(model), (3,))
    x = np.array([[0.7, 0.4, 0.0], [0.5, 0.5, 0.15], [0.5, 0.5, 0.5]], np.float32)
    batch = batch_of(problem, x, np.ones(3, int))
    batch.upper[:, 2] = batch.lower[:, 2] = x[:, 2]
    farthest = 0.2 * np.sqrt(2)  # of the variables that may move, and not 4.5 / 5
    expected = [0.5 / 5, 1.0 / 5, farthest]
    np.testing.assert_allclose(linear_model(problem, batch)[0], expected, rtol=1e-5)
    model.set_weights([kernel * 0])
    assert np.isinf(linear_model(problem, batch)[0]).all()


def test_once_it_is_time_to_stop_a_descent_ends_where_it_is():
    model = small_network()
    problem = Problem(Classifier(model), (8,))
    batch = batch_of(problem, points(2), np.array([0, 1]))
    answers = iter([False, False, True])
    arguments = problem, batch, np.full(2, 0.3), np.zeros(2, int), 0
    early, _ = noisy_starts(*arguments, stop=lambda: next(answers))
    whole, _ = noisy_starts(*arguments)
    moved, further = (np.linalg.norm(point - batch.originals, axis=1) for point in (early, whole))
    assert (moved > 0).all() and (moved <= 2 * 0.15 * 0.3 * 1.001).all()
    assert (moved < further).all()


class Descents:
    """Notes which starts were asked for, and gives the images themselves instead if told to."""

    def __init__(self, monkeypatch, does: bool = True):
        self.numbers, self.does = [], does
        monkeypatch.setattr(search, "noisy_starts", self)
        monkeypatch.setattr(starts, "noisy_starts", self)

    def __call__(self, problem, batch, distance, numbers, *others):
        self.numbers += list(numbers)
        points, evaluations = noisy_starts(problem, batch, distance, numbers, *others)
        return (points if self.does else batch.originals), evaluations


@pytest.mark.parametrize(
    "settings, targets, numbers",
    [
        ({}, "random", [0, 0]),
        pytest.param({"starts": 3}, "random", [0, 0, 2, 2], marks=pytest.mark.slow),
        pytest.param(
            {"starts": 3, "loss": "cross_entropy"}, "random", [1, 2, 1, 2], marks=pytest.mark.slow
        ),
        pytest.param({"maxfun": 40}, "random", [], marks=pytest.mark.slow),
        pytest.param({"solver": "scipy"}, "random", [], marks=pytest.mark.slow),
        ({}, "nearest", []),
        ({"enough": 9.0}, "random", []),
    ],
    ids=["one", "three", "cross-entropy", "few evaluations", "scipy", "nearest", "enough"],
)
@pytest.mark.drawn(3)
def test_which_starts_are_descents(monkeypatch, network, adversary, settings, targets, numbers):
    """Where noise leaves the gradient much as it is."""
    monkeypatch.setattr(starts, "_ALIKE", -1.0)
    descents = Descents(monkeypatch)
    call = {"enough": settings["enough"]} if "enough" in settings else {}
    made = {name: value for name, value in settings.items() if name not in call}
    attack = itf.LBFGSAdversary(network, **made, jit_compile=False) if made else adversary
    result = attack(points(2), targets=targets, **call)
    assert descents.numbers == numbers and result.success.all()
    most = attack.maxfun * attack.starts * (3 if targets == "nearest" else 1)
    assert (result.nfev <= most + 10 * attack.starts).all() or attack.solver == "scipy"


@pytest.mark.parametrize("frequency, descends", [(1e-2, True), (300.0, False)])
def test_where_noise_turns_the_gradient_the_image_itself_is_the_start(frequency, descends):
    inputs = keras.Input((8,))
    waves = keras.ops.sin(keras.layers.Rescaling(frequency)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(waves))
    weights = np.random.default_rng(0).normal(size=(8, 2))
    model.set_weights([weights, np.array([0.3 * frequency, 0.0])])
    problem, x = Problem(Classifier(model), (8,)), points(6)
    batch = batch_of(problem, x, model.predict(x, verbose=0).argmin(axis=1))
    first = starts.first_starts(problem, batch, AttackSettings(), seed=0)
    ends, spent = first.starts, first.spent
    assert ((ends != x).any(axis=1) == descends).all()
    np.testing.assert_array_equal(spent, 12 if descends else 2)
    again = starts.first_starts(problem, batch.rows([3, 1]), AttackSettings(), seed=0).starts
    np.testing.assert_allclose(again, ends[[3, 1]], atol=1e-4)


def kinked(size, kinks, seed=0):
    """A classifier whose gradient turns on the way to the boundary: fine triangles on a slope."""
    random = np.random.default_rng(seed)
    inputs = keras.Input((size,))
    hidden = keras.layers.Dense(kinks, name="hidden")(inputs)
    waves = keras.ops.abs(hidden - keras.ops.floor(hidden) - 0.5) + 0.6 * hidden
    model = keras.Model(inputs, keras.layers.Dense(2)(waves))
    hidden, out = random.normal(size=(size, kinks)) / np.sqrt(size), random.normal(size=(kinks, 2))
    model.set_weights([60 * hidden, np.zeros(kinks), out / np.sqrt(kinks), np.zeros(2)])
    return model


@pytest.mark.slow
def test_steps_on_spheres_find_points_near_the_image_and_hold_what_is_held():
    model = kinked(40, 400)
    problem, x = Problem(Classifier(model), (40,)), 0.3 + 0.4 * points(6, size=40)
    batch = batch_of(problem, x, model.predict(x, verbose=0).argmin(axis=1))
    batch.lower[:, :5] = batch.upper[:, :5] = x[:, :5]
    distance, _ = starts.linear_model(problem, batch)
    found, spent = starts.on_spheres(problem, batch, distance, 60)
    assert spent == 60 and (problem.hard_margins(found, batch.targets) < 0).all()
    assert (found >= batch.lower).all() and (found <= batch.upper).all()
    some, few = batch.rows([4, 2]), 5  # more would follow the rounding
    first, _ = starts.on_spheres(problem, batch, distance, few)
    again, _ = starts.on_spheres(problem, some, distance[[4, 2]], few)
    np.testing.assert_allclose(again, first[[4, 2]], atol=1e-4)
    asked = iter([False, True])
    assert starts.on_spheres(problem, batch, distance, 60, lambda: next(asked))[1] == 2


@pytest.mark.slow
def test_spheres_are_for_many_variables_whose_gradient_turns(monkeypatch):
    model, x = kinked(40, 400), 0.3 + 0.4 * points(12, size=40)
    called = []
    spheres = starts.on_spheres
    monkeypatch.setattr(
        starts, "on_spheres", lambda *args: called.append(len(args[2])) or spheres(*args)
    )
    attack = itf.LBFGSAdversary(model, jit_compile=False)
    assert attack(x).success.all() and not called
    monkeypatch.setattr(starts, "_MANY", 40)
    result = attack(x)
    assert 0 < sum(called) < 12 and result.success.all()
    assert np.median(result.nfev) <= attack.maxfun + 10
    # One search has the evaluations of all starts, and comes nearer.
    called.clear()
    more = itf.LBFGSAdversary(model, jit_compile=False, starts=3)(x)
    assert len(called) == 1 and (more.nfev <= 3 * attack.maxfun + 30).all()
    assert more.l2.mean() < result.l2.mean()


@pytest.mark.slow
def test_c_of_a_start_that_nothing_is_nearer_than_is_finite(monkeypatch):
    model, x = kinked(40, 400), 0.3 + 0.4 * points(60, size=40)
    monkeypatch.setattr(starts, "_MANY", 40)
    spheres = starts.on_spheres

    def nearest(problem, batch, distance, steps):  # what is left of the budget is nothing
        return spheres(problem, batch, distance, steps)[0], 99

    monkeypatch.setattr(starts, "on_spheres", lambda *args: nearest(*args[:4]))
    result = itf.LBFGSAdversary(model, jit_compile=False)(x, targets=model.predict(x).argmin(1))
    assert result.success.all() and np.isfinite(result.c).all()


@pytest.mark.slow
def test_clipped_logits_are_descended_below_the_clipping():
    """Two classes of logits relu6(+-20 (x0 - x1)), whose gradient vanishes at the image."""
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, activation="relu6", use_bias=False)]
    )
    model.set_weights([np.array([[20.0, -20.0], [-20.0, 20.0]])])
    problem, x = Problem(Classifier(model), (2,)), np.array([[0.9, 0.1]], np.float32)
    batch = batch_of(problem, x, np.array([1]))
    assert not problem.evaluate_margin(x, batch.targets).gradient.numpy().any()
    near = problem.evaluate_unclipped(x, batch.targets)
    np.testing.assert_allclose(near.gradient, [[40.0, -40.0]])
    np.testing.assert_allclose(linear_model(problem, batch)[0], 0.2 * np.sqrt(2), rtol=1e-5)
    result = itf.LBFGSAdversary(model, jit_compile=False)(x, targets=[1])
    confirm(model, result)
    np.testing.assert_allclose(result.l2, 0.8 / np.sqrt(2), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "clip",
    [
        lambda z: 2 * keras.activations.hard_sigmoid(z),  # what sums to 1 looks like probabilities
        keras.activations.hard_tanh,
        lambda z: keras.ops.clip(z, -2.0, 2.0),
        lambda z: 1 + 2 * keras.ops.minimum(keras.ops.maximum(z, 0.0), 1.0),
        lambda z: keras.ops.relu(keras.ops.minimum(z, 6.0)) / 3,
        lambda z: keras.layers.Flatten()(keras.layers.Reshape((2, 1))(keras.ops.relu6(z))),
    ],
    ids=["hard_sigmoid", "hard_tanh", "clip", "ends", "relu6", "flattened"],
)
@pytest.mark.drawn(3)
def test_logits_may_be_clipped_in_other_ways(clip):
    """Between two classes, at (0.5, 0.5), none of them clips."""
    x = keras.Input((2,))
    dense = keras.layers.Dense(2)
    model = keras.Model(x, clip(dense(x)))
    dense.set_weights([np.array([[20.0, -20.0], [-20.0, 20.0]]), np.full(2, 0.5)])
    attack = itf.LBFGSAdversary(model, jit_compile=False)
    result = attack(np.array([[0.9, 0.1]], np.float32), targets=[1])
    assert attack.classifier.clips
    confirm(model, result)
    np.testing.assert_allclose(result.l2, 0.8 / np.sqrt(2), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("target, l2", [(1, np.sqrt(8) / 4), (2, 0.5)])
def test_where_every_logit_is_clipped_the_target_must_rise_above_the_clipping(target, l2):
    """ReLUs of 1 - s, s - 6 and t - 3; s the sum of eight pixels of 0.5, t that of four of them."""
    dense = keras.layers.Dense(3, "relu")
    model = keras.Sequential([keras.Input((8,)), dense])
    some = np.repeat([1.0, 0.0], 4)
    dense.set_weights([np.stack([-np.ones(8), np.ones(8), some], axis=1), np.array([1.0, -6, -3])])
    x = np.full((1, 8), 0.5, np.float32)
    assert not model.predict(x, verbose=0).any()
    result = itf.LBFGSAdversary(model, jit_compile=False)(x, targets=[target])
    confirm(model, result)
    np.testing.assert_allclose(result.l2, l2, rtol=2e-3)


@pytest.mark.parametrize("ending", ["leaky_relu", "linear", "tanh", "softmax"])
def test_other_endings_clip_nothing(ending):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, ending)])
    classifier = Classifier(model)
    classifier.predict(np.zeros((1, 2), np.float32))
    assert not classifier.clips


@pytest.mark.slow
def test_a_descent_leads_nearer_on_a_network_with_kinks_within_its_budget(sample, monkeypatch):
    x, y = sample[0][:24], sample[1][:24]
    attack = itf.LBFGSAdversary(zoo_model("mnist/fc100-100-10-lipschitz"), jit_compile=False)
    descended = attack(x, y)
    confirm(attack.classifier.model, descended)
    assert (descended.nfev <= attack.maxfun + 10).all()
    Descents(monkeypatch, does=False)
    straight = attack(x, y, descended.targets)
    found = (descended.status == "found") & (straight.status == "found")
    assert descended.l2[found].mean() < 0.995 * straight.l2[found].mean()


def test_a_descent_without_noise_goes_on_until_it_finds():
    """Logits clipped at 6 of 40 - s and s - 30, s the sum of a hundred pixels: from 35 on.

    The other image succeeds as it is.
    """
    kernel = np.stack([-np.ones(100), np.ones(100)], axis=1).astype(np.float32)
    dense = keras.layers.Dense(2, "relu6")
    model = keras.Sequential([keras.Input((100,)), dense])
    dense.set_weights([kernel, np.array([40, -30], np.float32)])
    problem = Problem(Classifier(model), (100,))
    x = np.stack([np.zeros(100), np.full(100, 0.4)]).astype(np.float32)
    batch = batch_of(problem, x, np.ones(2, int))
    ends, spent = descend(problem, batch, x)
    assert 34.9 < ends[0].sum() < 36.1  # a step of 0.1 adds 1 to the sum
    np.testing.assert_array_equal(ends[1], x[1])
    assert 2 * 36 <= spent[0] <= 2 * 37 and spent[1] == 2
    alone, _ = descend(problem, batch.rows([0]), x[:1])
    np.testing.assert_allclose(alone[0], ends[0], atol=1e-6)
