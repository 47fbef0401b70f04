"""The lattice of pixel values, on a margin that is known."""

import numpy as np

from intriguing_tf.adversary.bounds import make_box
from intriguing_tf.adversary.rounding import to_lattice

BOUNDS = (np.array(0.0), np.array(1.0))


def test_the_least_factor_that_still_succeeds():
    originals = np.full((2, 4), 0.5)
    adversarial = originals + np.array([0.3, 0.2, 0.0, 0.0])
    box = make_box(BOUNDS, originals)

    def margin(x):
        return 0.4 - (x - originals).sum(axis=1)

    x, found, _ = to_lattice(margin, originals, adversarial, box, np.full(2, 1e-3), levels=11)
    assert found.all() and (margin(x) < -1e-3).all()
    np.testing.assert_allclose(x * 10, np.rint(x * 10), atol=1e-9)
    np.testing.assert_allclose(x, [[0.8, 0.7, 0.5, 0.5]] * 2)


def test_changes_below_half_a_step_move_the_steepest_pixels_by_one():
    originals = np.full((1, 100), 0.5)
    change = np.linspace(0, 0.02, 100)
    box = make_box(BOUNDS, originals)

    def margin(x):
        return 1.0 - ((x - originals) * change).sum(axis=1) / (change**2).sum()

    x, found, _ = to_lattice(margin, originals, originals + change, box, np.zeros(1), levels=11)
    steps = np.rint((x - originals) * 10)[0]
    assert found.all() and set(steps) == {0, 1} and (np.diff(steps) >= 0).all()


def test_what_no_factor_brings_across_fails_and_held_variables_stay():
    originals = np.full((1, 4), 0.47)
    mask = np.array([True, True, False, True])
    box = make_box(BOUNDS, originals, mask)
    x, found, _ = to_lattice(
        lambda x: np.ones(len(x)), originals, originals + 0.1, box, np.zeros(1), levels=2
    )
    assert not found.any() and x[0, 2] == originals[0, 2]
