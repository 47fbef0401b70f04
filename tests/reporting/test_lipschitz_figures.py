"""Pictures of Lipschitz bounds."""

import pytest

from intriguing_tf.reporting import layer_bars


@pytest.mark.parametrize(
    "bounds, labels",
    [([3.84, 1.0, 0.167], ["0.2", "0.5", "1", "2", "5"]), ([3840.0, 0.0167], ["0.1", "1", "10"])],
    ids=["one decade", "six"],
)
def test_a_logarithmic_axis_has_few_plain_labels(bounds, labels):
    figure = layer_bars("a", "b", ["layer"] * len(bounds), bounds, bounds).figure
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    major = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    shown = [label.get_text() for place, label in major if low <= place <= high]
    assert shown[: len(labels)] == labels and len(shown) <= 9
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))
