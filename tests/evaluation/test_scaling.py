"""Tables whose values have different units: each value in units of its own range."""

import keras
import numpy as np
import pytest

from intriguing_tf.datasets import ImageSet
from intriguing_tf.evaluation.scaling import Ranges, check_within
from tests.evaluation.small import evaluate, images, network

LOWER, WIDTH = np.array([20.0, -5.0, 1e4, 0.0]), np.array([70.0, 10.0, 9e4, 0.5])


def table(number=10):
    """The rows of `images`, in units of years, degrees, money and meters."""
    return (LOWER + WIDTH * images(number)).astype("float32")


def of_units(model):
    """The model that takes them."""
    first = keras.layers.Rescaling((1 / WIDTH).tolist(), (-LOWER / WIDTH).tolist())
    return keras.Sequential([keras.Input((4,)), first, model])


@pytest.mark.slow
@pytest.mark.parametrize("of_data", [False, True], ids=["given", "of the data"])
def test_distances_are_those_of_the_scaled_table(of_data, tmp_path):
    model = network()
    bounds = (LOWER - WIDTH, LOWER + 2 * WIDTH)  # nothing is at its bounds
    if of_data:
        ends = np.stack([bounds[0], bounds[1]]).astype("float32")
        rows = np.concatenate([table(), ends])
        found = evaluate(of_units(model), rows, bounds="data")
    else:
        found = evaluate(of_units(model), table(), bounds=bounds)
    scaled = evaluate(model, images(), bounds=(-1.0, 2.0))
    np.testing.assert_allclose(3 * found.l2[:10], scaled.l2, rtol=0.05)
    np.testing.assert_allclose(3 * found.certified[:10], scaled.certified, rtol=1e-3)
    np.testing.assert_array_equal(found.predictions[:10], scaled.predictions)
    assert "ranges from" not in str(found.doubts)  # as there would be without scaling
    assert found.as_dict()["ranges"][1][2] == pytest.approx(1.9e5)
    page = found.save(tmp_path).read_text()
    assert "in units of these ranges" in page
    first = found.ranges.restored(found.nearest).originals[0]  # the page shows years and money
    row = np.flatnonzero(found.l2 == found.nearest.l2[0])[0]
    np.testing.assert_allclose(first, np.concatenate([table(), table(2)])[row], rtol=1e-5)


def test_a_value_that_never_changes_stays():
    rows = np.array([[1.0, 7.0], [3.0, 7.0]])
    ranges = Ranges.of("data", ImageSet(rows))
    assert ranges.scaled(ImageSet(rows)).images.tolist() == [[0, 0], [1, 0]]
    assert ranges.width.tolist() == [2, 1]


def test_one_pair_for_all_values_scales_nothing():
    assert Ranges.of((0.0, 1.0), ImageSet(table())) is None


@pytest.mark.parametrize(
    "bounds, data, error, words",
    [
        ("all", table(), ValueError, "a pair or 'data'. Received: 'all'"),
        ("data", np.zeros((2, 8, 8, 3)), ValueError, "All pixels of an image"),
        ("data", object(), TypeError, "are for arrays. Received: object"),
        ((np.zeros(3), 1.0), table(), ValueError, r"shape of an input, \(4,\)"),
        ((np.full(4, np.nan), 1.0), table(), ValueError, "must be finite"),
        ((LOWER + WIDTH, LOWER + 2 * WIDTH), table(), ValueError, r"at \[0\] values from"),
    ],
    ids=["word", "images", "no array", "shape", "nan", "outside"],
)
def test_other_bounds_are_refused(bounds, data, error, words):
    with pytest.raises(error, match=words):
        Ranges.of(bounds, ImageSet(data))


@pytest.mark.parametrize(
    "data, bounds",
    [
        (np.array([[-1.286, 1.272]]), r"--bounds=-1.3,1.3\), or bounds='data'"),
        (np.array([[0.0, 125019.0]]), r"--bounds=0,130000\), or"),
        (np.full((1, 8, 8, 1), 255.0), r"--bounds=250,260\). Received: bounds 0 to 1"),
    ],
    ids=["series", "table", "pixels"],
)
def test_bounds_that_would_do_are_named(data, bounds):
    with pytest.raises(ValueError, match=bounds):
        check_within(ImageSet(data), (0.0, 1.0))


def test_rounding_leaves_no_bounds():
    check_within(ImageSet(np.array([[1 + 1e-7, -1e-9]])), (0.0, 1.0))
