"""Tables whose values have different units: each value in units of its own range."""

import keras
import numpy as np
import pytest

from intriguing_tf.classifier import Classifier
from intriguing_tf.datasets import ImageSet
from intriguing_tf.evaluation import page
from intriguing_tf.evaluation.scaling import Ranges, check_pair, check_within
from intriguing_tf.reporting import Table
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
@pytest.mark.drawn(1)
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
    row = np.flatnonzero(found.l2 == found.nearest.l2[0])[0]
    np.testing.assert_allclose(
        found.nearest.originals[0], np.concatenate([table(), table(2)])[row], rtol=1e-5
    )  # years and money


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["memory", "folder"])
@pytest.mark.drawn(1)
def test_the_model_itself_classifies_the_examples_as_they_say(kept, tmp_path):
    """They are in the units of the data; distances in units of the ranges."""
    model, rows = of_units(network()), table()
    folder = tmp_path if kept == "folder" else None
    found = evaluate(model, rows, bounds="data", folder=folder, certify="none")
    for result in (found.result, found.nearest, found.farthest):
        for inputs, classes in (
            (result.images, result.predictions),
            (result.originals, result.original_predictions),
        ):
            np.testing.assert_array_equal(model.predict(inputs, verbose=0).argmax(1), classes)
        np.testing.assert_array_equal(result.bounds, (rows.min(0), rows.max(0)))
        changes = (result.images - result.originals) / (rows.max(0) - rows.min(0))
        np.testing.assert_allclose(np.linalg.norm(changes, axis=1), result.l2, rtol=1e-3)
        np.testing.assert_allclose(result.l2 / 2, result.distortion, rtol=1e-5)
        assert (result.images <= rows.max(0) * (1 + 1e-6)).all()
        assert result.settings["bounds"][1] == [rows.max(0).min(), rows.max(0).max()]
    np.testing.assert_allclose(found.result.originals, rows, rtol=1e-5)
    np.testing.assert_array_equal(found.result.l2, found.l2)
    again = found.ranges.restored(found.result)
    np.testing.assert_array_equal(again.images, found.result.images)
    logits = model.predict(found.nearest.images, verbose=0)
    np.testing.assert_allclose(
        found.nearest.classifier.predict_logits(found.nearest.images), logits
    )


@pytest.mark.slow
def test_series_of_ranges_share_an_axis(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        page, "changed_series", lambda *given: drawn.append(given) or Table("", (), [])
    )
    series = np.stack([table(), 2 * table()], axis=1)[:, :, :3].repeat(2, axis=1)
    above = [keras.layers.Rescaling(1e-4), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4, 3)), *above])
    middle = 1e-4 * np.median(series.sum((1, 2)))  # half of the series lie on each side
    model.set_weights([np.tile([1.0, -1.0], (12, 1)), np.array([-middle, middle])])
    found = evaluate(model, series, bounds="data", certify="none")
    page._drawn(found, found.nearest, list(range(len(found.nearest))))
    ((before, after, heads),) = drawn
    assert min(before.min(), after.min()) >= 0 and max(before.max(), after.max()) <= 1
    assert found.nearest.originals.max() > 1e4 and "%" in heads[0]


def test_scaling_is_undone_in_the_precision_of_the_model(other_precision):
    model, rows = of_units(network()), table()
    other_precision()
    ranges = Ranges.of("data", ImageSet(rows))
    whole = ranges.before(model)
    assert Classifier(whole).dtype == "float32"
    np.testing.assert_allclose(whole(ranges.scaled(rows)), model(rows), rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_the_precision_of_layers_to_come_changes_no_evaluation(other_precision):
    model, rows = of_units(network()), table()
    before = evaluate(model, rows, bounds="data")
    other_precision()
    after = evaluate(model, rows, bounds="data")
    assert after.result.images.dtype == before.result.images.dtype == "float32"
    np.testing.assert_allclose(after.result.originals, rows, rtol=1e-5)
    np.testing.assert_allclose(after.l2, before.l2, rtol=1e-3)
    np.testing.assert_allclose(after.certified, before.certified, rtol=1e-3)


def test_a_value_that_never_changes_stays():
    rows = np.array([[1.0, 7.0], [3.0, 7.0]])
    ranges = Ranges.of("data", ImageSet(rows))
    assert ranges.scaled(rows).tolist() == [[0, 0], [1, 0]]
    assert ranges.width.tolist() == [2, 1]
    assert [bound.tolist() for bound in ranges.box] == [[0, 0], [1, 0]]


@pytest.mark.slow
def test_the_attack_holds_what_never_changes():
    rows = table()
    rows[:, 2] = 5e4
    found = evaluate(of_units(network()), rows, bounds="data", certify="none")
    assert (found.result.images[:, 2] == 5e4).all() and (found.status == "found").any()


@pytest.mark.parametrize("rows", [1, 3], ids=["one row", "equal rows"])
def test_ranges_of_nothing_are_refused(rows):
    with pytest.raises(ValueError, match="Some value must have a range"):
        Ranges.of("data", ImageSet(np.ones((rows, 4))))


@pytest.mark.slow
def test_more_rows_have_other_ranges(tmp_path):
    """They are refused in words; with the ranges of the first they are added."""
    options = {"folder": tmp_path, "shard_size": 5, "certify": "none"}
    rows = table(15)
    model = of_units(network())
    first = evaluate(model, rows[:10], bounds="data", **options)
    with pytest.raises(ValueError, match="give the ranges of its first ones as `bounds`"):
        evaluate(model, rows, bounds="data", **options)
    lower, upper = first.as_dict()["ranges"]
    more = evaluate(model, rows.clip(lower, upper), bounds=(lower, upper), **options)
    np.testing.assert_array_equal(more.l2[:10], first.l2)


def test_one_pair_for_all_values_scales_nothing():
    assert Ranges.of((0.0, 1.0), ImageSet(table())) is None


@pytest.mark.parametrize(
    "bounds, data, error, words",
    [
        ("data", np.zeros((2, 8, 8, 3)), ValueError, "All pixels of an image"),
        ("data", object(), TypeError, "are for arrays. Received: object"),
        ((np.zeros(3), 1.0), table(), ValueError, r"shape of an input, \(4,\)"),
        ((np.full(4, np.nan), 1.0), table(), ValueError, "must be finite"),
        ((LOWER + WIDTH, LOWER + 2 * WIDTH), table(), ValueError, r"at \[0\] values from"),
    ],
    ids=["images", "no array", "shape", "nan", "outside"],
)
def test_bounds_of_other_data_are_refused(bounds, data, error, words):
    with pytest.raises(error, match=words):
        Ranges.of(bounds, ImageSet(data))


@pytest.mark.parametrize(
    "bounds, error, words",
    [
        ("all", ValueError, "a pair or 'data'. Received: 'all'"),
        ((0, 1, 2), TypeError, r"must be a pair \(lower, upper\)"),
        (None, TypeError, "must be a pair"),
        (5, TypeError, "must be a pair"),
        (("0", "1"), TypeError, "must be a pair"),
        ((None, 1), TypeError, "must be a pair"),
        ((1, 0), ValueError, "lower bound must be below"),
        ((0, 0), ValueError, "lower bound must be below"),
        ((np.nan, 1), ValueError, "lower bound must be below"),
        ((np.inf, np.inf), ValueError, "lower bound must be below"),
    ],
)
def test_what_is_no_pair_is_refused(bounds, error, words):
    with pytest.raises(error, match=words):
        check_pair(bounds)


def test_pairs_may_be_of_any_kind():
    assert check_pair(np.array([0, 1])) == check_pair([0, 1]) == (0.0, 1.0)
    assert check_pair((-np.inf, np.inf)) == (-np.inf, np.inf) and check_pair("data") == "data"
    assert check_pair(([0, 0], 1))[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    "data, bounds",
    [
        (np.array([[-1.286, 1.272]]), r"--bounds=-1.3,1.3\), or bounds='data'"),
        (np.array([[0.0, 125019.0]]), r"--bounds=0,130000\), or"),
        (np.full((1, 8, 8, 1), 255.0), r"--bounds=0,255\). Received: bounds 0 to 1"),
        (np.full((1, 8, 8, 1), -0.3), r"--bounds=-1,1\). Received: bounds 0 to 1"),
        (
            np.linspace(12, 300, 64).reshape(1, 8, 8, 1),
            r"--bounds=12,300\). Received: bounds 0 to 1",
        ),
    ],
    ids=["series", "table", "pixels", "around zero", "other pixels"],
)
def test_bounds_that_would_do_are_named(data, bounds):
    with pytest.raises(ValueError, match=bounds):
        check_within(ImageSet(data), (0.0, 1.0))


def test_rounding_leaves_no_bounds():
    check_within(ImageSet(np.array([[1 + 1e-7, -1e-9]])), (0.0, 1.0))


def test_half_a_box_has_one_end():
    check_within(ImageSet(np.array([[5.0, 1e9]])), (0.0, np.inf))
    with pytest.raises(ValueError, match="bounds 0 to inf"):
        check_within(ImageSet(np.array([[-0.5, 1.0]])), (0.0, np.inf))


def test_of_integers_the_attack_says_that_they_are_wrong():
    check_within(ImageSet(np.full((1, 8, 8, 1), 254, np.uint8)), (0.0, 1.0))
