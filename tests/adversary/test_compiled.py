"""Softmax regression, where the least distortion is a small quadratic programme."""

import numpy as np
import pytest
from scipy import sparse

import intriguing_tf as itf
from tests.adversary.networks import zoo_adversary, zoo_model

clarabel = pytest.importorskip("clarabel")


def exact_distances(weights, bias, images, targets):
    """The least |r| with the target's logit on top and x + r in [0, 1], by interior points."""
    size = len(weights)
    identity = sparse.identity(size, format="csc")
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    distances = []
    for x, target in zip(images, targets, strict=True):
        others = np.arange(len(bias)) != target
        difference = weights[:, others] - weights[:, [target]]
        gap = x @ difference + bias[others] - bias[target]
        constraints = sparse.vstack([sparse.csc_matrix(difference.T), identity, -identity])
        limits = np.concatenate([-gap, 1 - x, x])
        cones = [clarabel.NonnegativeConeT(len(limits))]
        solution = clarabel.DefaultSolver(
            2 * identity, np.zeros(size), constraints.tocsc(), limits, cones, settings
        ).solve()
        assert str(solution.status) == "Solved"
        distances.append(np.linalg.norm(solution.x))
    return np.array(distances)


@pytest.fixture(scope="module")
def pairs(sample):
    """16 images, each with every class besides its own, and the exact distances."""
    images, labels = sample
    model = zoo_model("mnist/fc10-1e-4")
    right = np.flatnonzero(model.predict(images[:24], verbose=0).argmax(1) == labels[:24])[:16]
    assert len(right) == 16
    x = np.repeat(images[right], 9, axis=0)
    y = np.repeat(labels[right], 9)
    targets = (y + np.tile(np.arange(1, 10), 16)) % 10
    weights, bias = (np.asarray(w, np.float64) for w in model.get_weights())
    exact = exact_distances(weights, bias, x.reshape(len(x), -1).astype(np.float64), targets)
    return model, x, y, targets, exact


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss, median, largest", [("cross_entropy", 1.03, 1.10), ("margin", 1.0005, 1.003)]
)
def test_the_found_distortion_is_nearly_the_least_there_is(pairs, loss, median, largest):
    _, x, y, targets, exact = pairs
    result = zoo_adversary("mnist/fc10-1e-4", loss)(x, y, targets)
    assert (result.status == "found").all()
    ratio = result.l2 / exact
    assert ratio.min() > 1 - 1e-4  # nothing is nearer than the exact optimum
    assert np.median(ratio) <= median
    assert ratio.max() <= largest


@pytest.mark.slow
def test_the_reference_solver_is_as_near_with_the_papers_loss(pairs):
    model, x, y, targets, exact = pairs
    some = slice(0, 18)
    result = itf.LBFGSAdversary(model, solver="scipy", loss="cross_entropy")(
        x[some], y[some], targets[some]
    )
    ratio = result.l2 / exact[some]
    assert (result.status == "found").all()
    assert ratio.min() > 1 - 1e-4 and np.median(ratio) <= 1.03 and ratio.max() <= 1.10


def two_class_distance(images, direction, offset, margin=0.0):
    """Distance to a half space inside the box, by bisection on the multiplier."""
    distances = []
    for x in np.asarray(images, np.float64):
        low, high = 0.0, 1e6
        for _ in range(200):
            middle = (low + high) / 2
            moved = np.clip(x + middle * direction, 0, 1)
            low, high = (middle, high) if moved @ direction + offset < margin else (low, middle)
        distances.append(np.linalg.norm(np.clip(x + high * direction, 0, 1) - x))
    return np.array(distances)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
def test_a_linear_network_of_two_classes_is_solved_exactly(loss):
    import keras

    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(1)])
    direction = random.normal(size=20)
    model.set_weights([direction[:, None], np.array([-1.5])])
    direction = direction.astype(np.float32).astype(np.float64)
    images = random.uniform(0, 1, (40, 20)).astype("float32")
    images = images[images @ direction - 1.5 < 0]
    targets = np.ones(len(images), int)
    result = itf.LBFGSAdversary(model, loss=loss, jit_compile=False)(images, targets=targets)
    exact = two_class_distance(images, direction, -1.5)
    possible = np.clip(direction, 0, None).sum() > 1.5
    assert possible and (result.status == "found").all()
    np.testing.assert_allclose(result.l2, exact, rtol=2e-3)
