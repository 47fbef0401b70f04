import numpy as np
import pytest

from intriguing_tf.experiments import Sandwich


def test_quartiles_are_those_of_images_that_were_moved():
    result = Sandwich(np.array([1.0, 2.0, 3.0, 9.0]), np.array([2.0, 4.0, 6.0, np.inf]))
    rows = {name: values for name, *values in result.table().rows}
    assert rows["certified radius"] == [1.5, 2.0, 2.5]
    assert rows["adversary's distance"] == [3.0, 4.0, 5.0]
    assert rows["ratio"] == [0.5, 0.5, 0.5]
    assert "violations: 0; the adversary found none for 1 images" in str(result)
    assert Sandwich(np.array([3.0, 1.0]), np.array([2.0, np.inf])).violations == 1


@pytest.mark.parametrize(
    ("certified", "found"),
    [(np.ones(3), np.ones(2)), (np.ones((2, 2)), np.ones((2, 2))), (np.float64(1), np.float64(1))],
)
def test_bounds_of_other_images_are_refused(certified, found):
    with pytest.raises(ValueError, match=r"arrays \[n\] of one length. Received: shapes"):
        Sandwich(certified, found)
    with pytest.raises(TypeError, match="`found` must be real numbers"):
        Sandwich(np.ones(1), np.array(["a"]))
