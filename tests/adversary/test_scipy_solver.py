"""The reference solver: runs in lockstep are the runs that each image would have alone."""

import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.adversary.margins import hard_margins
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.scipy_solver import SciPySolver
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch
from intriguing_tf.classifier import Classifier
from tests.adversary.networks import points, small_network, zoo_adversary, zoo_model


def reference(model, loss, lockstep):
    settings = AttackSettings(loss=loss, maxcor=10, maxfun=200, jit_compile=False)
    problem = Problem(Classifier(model), (8,))
    return SciPySolver(problem, settings, lockstep=lockstep, ftol=1e-12, gtol=1e-8)


def other_classes(model, x, classes):
    return (np.asarray(model(x)).argmax(1) + 1 + np.arange(len(x)) % (classes - 1)) % classes


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_lockstep_equals_one_at_a_time(loss):
    model = small_network(dtype="float64")
    x = points(12).astype("float64")
    targets = other_classes(model, x, 4)
    c = np.geomspace(0.01, 1, 12)
    box = np.zeros_like(x), np.ones_like(x)
    together, nfev = reference(model, loss, True).minimize(x, targets, *box, c)
    alone, alone_nfev = reference(model, loss, False).minimize(x, targets, *box, c)
    np.testing.assert_allclose(together, alone, atol=1e-7)
    # Rounding depends on the batch, and may cost or save a few evaluations at the very end.
    np.testing.assert_allclose(nfev, alone_nfev, atol=10)
    assert (np.linalg.norm(together - x, axis=1) > 1e-3).mean() > 0.5  # and it went somewhere


@pytest.mark.slow
def test_the_whole_search_in_lockstep_equals_one_at_a_time():
    model = small_network(dtype="float64")
    x = points(6).astype("float64")
    targets = other_classes(model, x, 4)
    logits = np.asarray(model(x))
    found = []
    for lockstep in (True, False):
        each = reference(model, "margin", lockstep)
        batch = Batch(
            originals=x, starts=x, targets=targets, lower=np.zeros_like(x), upper=np.ones_like(x),
            logits=logits, gap=hard_margins(logits, targets),
            confidence=each.problem.least_confidence(logits), enough=np.zeros(6),
            image=np.arange(6), spent=np.zeros(6, np.int64),
            shares=np.ones(6, np.int64),
        )  # fmt: skip
        found.append(each.search(batch))
    np.testing.assert_array_equal(found[0].found, found[1].found)
    np.testing.assert_allclose(found[0].x, found[1].x, atol=1e-6)
    np.testing.assert_allclose(found[0].c, found[1].c, rtol=1e-6)
    assert found[0].found.all()


def objective(model, x, originals, targets, c, loss):
    """c |r|^2 + loss in NumPy, from the model's logits."""
    logits = np.asarray(model(x), np.float64)
    above = logits - logits[np.arange(len(x)), targets][:, None]
    above[np.arange(len(x)), targets] = -np.inf
    soft = np.log(np.exp(above).sum(axis=1))
    value = soft if loss == "margin" else np.logaddexp(0, soft)
    square = ((x - originals).reshape(len(x), -1).astype(np.float64) ** 2).sum(axis=1)
    return c * square + value


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_minimizers_for_given_c_are_equally_good_with_both_solvers(sample, loss):
    model = zoo_model("mnist/fc100-100-10")
    x = sample[0][:24]
    targets = other_classes(model, x, 10)
    c = np.geomspace(0.05, 1.0, 24)
    values = []
    for name in ("compiled", "scipy"):
        attack = itf.LBFGSAdversary(model, loss=loss, solver=name, maxfun=400, jit_compile=False)
        found = attack.minimize(x, targets, c)
        assert found.min() >= 0 and found.max() <= 1
        values.append(objective(model, found, x, targets, c, loss))
    decrease = objective(model, x, x, targets, c, loss) - values[1]
    assert (decrease > 0.01).all()
    gap = (values[0] - values[1]) / decrease  # the margin's values cross 0, decreases do not
    assert np.median(np.abs(gap)) < 1e-6
    assert (gap < 1e-6).mean() > 0.9  # the rest: other local minima


@pytest.mark.slow
def test_minimizers_of_a_convex_problem_are_the_same_with_both_solvers():
    import keras

    model = keras.Sequential([keras.Input((8,), dtype="float64"),
                              keras.layers.Dense(4, dtype="float64")])  # fmt: skip
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=(8, 4)), random.normal(size=4)])
    x = points(10).astype("float64")
    targets = other_classes(model, x, 4)
    c = np.geomspace(0.01, 10, 10)
    values = []
    for name in ("compiled", "scipy"):
        attack = itf.LBFGSAdversary(
            model, loss="cross_entropy", solver=name, maxfun=500, jit_compile=False
        )
        found = attack.minimize(x, targets, c)
        values.append(objective(model, found, x, targets, c, "cross_entropy"))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name, number", [("mnist/fc100-100-10", 24), ("mnist/conv", 4)])
@pytest.mark.drawn(1)
def test_the_compiled_solver_is_at_least_as_good_as_scipys(sample, name, number):
    images, labels = sample[0][:number], sample[1][:number]
    options = {"loss": "cross_entropy", "solver": "scipy", "jit_compile": False}
    solvers = {
        "compiled": zoo_adversary(name, "cross_entropy"),
        "scipy": itf.LBFGSAdversary(zoo_model(name), **options),
    }
    distortion = {}
    for each, attack in solvers.items():
        result = attack(images, labels)
        assert result.success.all()
        distortion[each] = result.mean_distortion
    assert distortion["compiled"] <= distortion["scipy"] * 1.001
