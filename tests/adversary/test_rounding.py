"""The lattice of pixel values, with linear classifiers, whose nearest lattice points are known."""

import itertools

import keras
import numpy as np
import pytest

from intriguing_tf.adversary.bounds import make_box
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.rounding import to_lattice
from intriguing_tf.adversary.settings import SearchConstants
from intriguing_tf.adversary.solver import make_batch
from intriguing_tf.classifier import Classifier

pytestmark = pytest.mark.processor
BOUNDS = (np.array(0.0), np.array(1.0))


def linear(weights, bias) -> Problem:
    """A classifier with logits x weights + bias."""
    weights = np.asarray(weights, np.float32)
    dense = keras.layers.Dense(weights.shape[1])
    model = keras.Sequential([keras.Input(weights.shape[:1]), dense])
    dense.set_weights([weights, np.asarray(bias, np.float32)])
    return Problem(Classifier(model), weights.shape[:1])


def rounded(problem, originals, adversarial, levels, mask=None):
    """`to_lattice` towards class 1."""
    originals, adversarial = (np.asarray(x, np.float32) for x in (originals, adversarial))
    n, box = len(originals), make_box(BOUNDS, originals, mask)
    logits = problem.classifier.predict_logits(originals)
    targets = np.ones(n, np.int64)
    batch = make_batch(problem, originals, logits, targets, box)
    x, found, _ = to_lattice(problem, batch, adversarial, levels, SearchConstants(), lambda: False)
    on_lattice = x * (levels - 1)
    moves = found[:, None] & (np.ones_like(x, bool) if mask is None else mask)
    np.testing.assert_allclose(on_lattice[moves], np.rint(on_lattice[moves]), atol=1e-4)
    assert (problem.hard_margins(x, targets)[found] < 0).all()
    return x, found


@pytest.mark.slow
def test_as_near_as_the_nearest_of_all_lattice_points():
    """Three classes, so that two cuts meet, and every lattice point looked at."""
    random = np.random.default_rng(0)
    values = np.linspace(0, 1, 9, dtype=np.float32)
    every = np.array(list(itertools.product(values, repeat=4)), np.float32)
    ratios = []
    for _ in range(20):
        problem = linear(random.normal(size=(4, 3)), random.normal(size=3) * 0.1)
        original = every[random.integers(len(every))][None]
        wins = problem.hard_margins(every, np.ones(len(every), np.int64)) < -1e-5
        if not wins.any() or problem.hard_margins(original, np.ones(1, np.int64))[0] < 0:
            continue
        least = np.linalg.norm(every[wins] - original, axis=1).min()
        fine = np.concatenate([random.uniform(size=(20_000, 4)).astype(np.float32), every])
        inside = fine[problem.hard_margins(fine, np.ones(len(fine), np.int64)) < -1e-5]
        start = inside[np.linalg.norm(inside - original, axis=1).argmin()][None]
        x, found = rounded(problem, original, start, levels=9)
        assert found.all()
        ratios.append(np.linalg.norm(x - original) / least)
    assert len(ratios) >= 8 and np.min(ratios) > 1 - 1e-6
    assert np.median(ratios) < 1.001 and np.mean(ratios) < 1.1


def test_changes_below_half_a_step_move_the_steepest_pixels_by_one():
    originals = np.full((1, 100), 0.5)
    change = np.linspace(0, 0.02, 100)
    slope = change / (change**2).sum()
    problem = linear(np.stack([0 * slope, slope], axis=1), [1 + slope.sum() / 2, 0])
    x, found = rounded(problem, originals, originals + 1.001 * change, levels=11)
    steps = np.rint((x - originals) * 10)[0]
    assert found.all() and set(steps) == {0, 1} and (np.diff(steps) >= 0).all()
    enough = (slope[::-1].cumsum() * 0.1 < 1).sum() + 1
    assert enough <= steps.sum() <= enough + 2


def test_what_no_lattice_point_brings_across_fails_and_held_variables_stay():
    originals = np.full((1, 4), 0.47)
    mask = np.array([True, True, False, True])
    slope = np.array([0.0, 0.0, 10.0, 0.0])  # only the variable that is held moves the margin
    problem = linear(np.stack([0 * slope, slope], axis=1), [9.0, 0.0])
    x, found = rounded(problem, originals, originals + 0.1, levels=2, mask=mask)
    assert not found.any() and x[0, 2] == np.float32(0.47)
