import numpy as np
import pytest

from intriguing_tf.experiments import Sandwich


def test_quartiles_are_of_all_radii_and_of_images_that_were_moved():
    result = Sandwich(np.array([1.0, 2.0, 3.0, 9.0]), np.array([2.0, 4.0, 6.0, np.inf]))
    rows = {name: values for name, *values in result.table().rows}
    assert rows["certified radius"] == [1.75, 2.5, 4.5]
    assert rows["adversary's distance"] == [3.0, 4.0, 5.0]
    assert rows["ratio"] == [0.5, 0.5, 0.5]
    assert "violations: 0; the adversary found none for 1 images" in str(result)
    assert Sandwich(np.array([3.0, 1.0]), np.array([2.0, np.inf])).violations == 1


def test_infinite_radii_are_counted_and_not_drawn():
    result = Sandwich(np.array([1.0, np.inf, np.inf, 2.0, 3.0]), np.array([2.0, *[np.inf] * 4]))
    rows = {name: values for name, *values in result.table().rows}
    assert rows["certified radius"] == [2.0, 3.0, np.inf]
    assert "; 2 radii are infinite" in str(result)
    picture = result.picture()
    assert "2 radii are infinite and not drawn" in picture.caption and picture.svg()
    drawn = [line.get_ydata() for line in picture.figure.axes[0].lines]
    assert sorted(map(len, drawn)) == [1, 3]
    nowhere = Sandwich(np.full(3, np.inf), np.full(3, np.inf))
    rows = {name: values for name, *values in nowhere.table().rows}
    assert rows["certified radius"] == [np.inf] * 3 and rows["ratio"] == [None] * 3
    assert nowhere.picture().png()


@pytest.mark.parametrize("wrong", [np.nan, -1.0])
def test_what_is_no_distance_is_refused(wrong):
    right = np.array([2.0, 1.0])
    with pytest.raises(ValueError, match=f"`certified` must be distances.*Received: {wrong}"):
        Sandwich(np.array([1.0, wrong]), right)
    with pytest.raises(ValueError, match="`found` must be distances"):
        Sandwich(right, np.array([1.0, wrong]))


@pytest.mark.parametrize(
    ("certified", "found"),
    [(np.ones(3), np.ones(2)), (np.ones((2, 2)), np.ones((2, 2))), (np.float64(1), np.float64(1))],
)
def test_bounds_of_other_images_are_refused(certified, found):
    with pytest.raises(ValueError, match=r"arrays \[n\] of one length. Received: shapes"):
        Sandwich(certified, found)
    with pytest.raises(TypeError, match="`found` must be real numbers"):
        Sandwich(np.ones(1), np.array(["a"]))
