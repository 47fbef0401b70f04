"""Pictures of accuracy by radius and of distances by class."""

import numpy as np
import pytest

from intriguing_tf.reporting import accuracy_curves, distances_by_class

RADII = [0.0, 1.0, 2.0]


def test_curves_are_drawn_as_given():
    upper, lower = [1.0, 0.5, 0.25], [0.75, 0.25, 0.0]
    picture = accuracy_curves("a", "Words.", RADII, {"attack": upper, "proof": lower}, "l2")
    (axes,) = picture.figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(drawn["attack"], np.multiply(100, upper))
    np.testing.assert_allclose(drawn["proof"], np.multiply(100, lower))
    assert len(axes.collections) == 1 and picture.svg().startswith("<?xml")


def test_medians_of_classes():
    picture = distances_by_class("d", "Words.", ["cat", "dog"], [[1.0, 2.0, 9.0], [4.0]], "l2")
    (axes,) = picture.figure.axes
    bars = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_ydata())) == 2]
    assert bars == [2.0, 4.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        accuracy_curves("a", "", RADII, {"attack": [2.0, 1.0, 1.0]}, "l2")
    with pytest.raises(ValueError, match="of shape"):
        accuracy_curves("a", "", RADII, {"attack": [1.0]}, "l2")
    with pytest.raises(ValueError, match="one list for each class"):
        distances_by_class("d", "", ["cat"], [], "l2")
