"""The last step of every search, on margins whose roots are known."""

import numpy as np

from intriguing_tf.adversary.segment import shorten

ORIGINALS = np.zeros((4, 2))
ADVERSARIAL = np.tile([1.0, 0.5], (4, 1))
ROOTS = np.array([0.25, 0.5, 0.9, 0.999])  # shares of the segment where the margin vanishes


def test_points_just_beyond_the_boundary():
    def margin(points):
        share = points[:, 0]
        return (ROOTS - share) * (1 + share)  # 1 + share: not linear

    confidence = np.full(4, 1e-6)
    points, evaluations = shorten(
        margin, ORIGINALS, ADVERSARIAL, ROOTS, confidence, np.zeros(2), np.ones(2)
    )
    assert (margin(points) < -confidence).all()
    np.testing.assert_allclose(points[:, 0], ROOTS, atol=5e-3)
    np.testing.assert_allclose(points[:, 1], points[:, 0] / 2)
    assert (points[:, 0] > ROOTS).all() and evaluations < 10


def test_a_point_that_does_not_succeed_stays_as_it_is():
    points, _ = shorten(
        lambda points: 0.1 - 1e-9 * points[:, 0], ORIGINALS, ADVERSARIAL, np.full(4, 0.1),
        np.full(4, 1e-6), np.zeros(2), np.ones(2),
    )  # fmt: skip
    np.testing.assert_array_equal(points, ADVERSARIAL)
