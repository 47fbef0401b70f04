"""What an evaluation writes and draws."""

import csv
import dataclasses
import json
import math
import re

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.adversary import pictures
from intriguing_tf.digits import rounded_down, rounded_up
from intriguing_tf.evaluation import page
from tests.evaluation.small import FAST, evaluate, images, network


@pytest.fixture(scope="module")
def evaluation():
    model = network()
    labels = model.predict(images(), verbose=0).argmax(1)
    return evaluate(model, images(), labels, class_names=["a", "b", "c"], bounds=(-9.0, 9.0))


@pytest.mark.slow
def test_the_page_stands_alone(evaluation, tmp_path):
    file = evaluation.save(tmp_path / "page")
    html = file.read_text()
    assert "<title>How robust is m?</title>" in html
    assert 'src="http' not in html and 'href="http' not in html
    for words in ("Accuracy by radius", "Distances by class", "Lipschitz bounds of the layers"):
        assert words in html
    there = {path.relative_to(file.parent).as_posix() for path in file.parent.rglob("*.*")}
    assert {"evaluation.json", "images.csv", "curve.csv", "figures/accuracy.png"} <= there


@pytest.mark.slow
def test_the_numbers_are_those_of_the_evaluation(evaluation, tmp_path):
    evaluation.save(tmp_path)
    values = json.loads((tmp_path / "evaluation.json").read_text())
    assert values["accuracy"] == 1 and values["images"] == 10
    radius = values["radii"][2]
    assert values["robust_accuracy"][2] == evaluation.robust_accuracy(radius) < 1
    assert values["lipschitz"]["total"] == evaluation.lipschitz.total
    rows = list(csv.DictReader((tmp_path / "images.csv").open()))
    np.testing.assert_array_equal([float(row["l2"]) for row in rows], evaluation.l2)
    np.testing.assert_array_equal([int(row["labels"]) for row in rows], evaluation.labels)
    curve = list(csv.DictReader((tmp_path / "curve.csv").open()))
    assert float(curve[2]["certified_accuracy"]) == evaluation.certified_accuracy(radius)


@pytest.mark.parametrize("radius", [math.nan, -1.0])
def test_radii_that_are_none_are_refused(evaluation, radius):
    for accuracy in (evaluation.robust_accuracy, evaluation.certified_accuracy):
        with pytest.raises(ValueError, match=r"`radius` must be at least 0\. Received"):
            accuracy(radius)


@pytest.mark.slow
def test_figures_of_an_earlier_page_go(evaluation, tmp_path):
    """Those that it shows, and no others of these names."""
    evaluation.save(tmp_path)
    figures = tmp_path / "figures"
    assert (figures / "layers.svg").is_file() and (figures / "layers.png").is_file()
    for other in ("nearest.png", "mine.svg"):
        (figures / other).write_text("another's")
    dataclasses.replace(evaluation, lipschitz=None, why_not_bounded="no.").save(tmp_path)
    there = {path.name for path in figures.iterdir()}
    assert not {"layers.svg", "layers.png"} & there
    assert {"nearest.png", "mine.svg", "accuracy.svg", "accuracy.png"} <= there


def test_tables_tell_long_names_apart(evaluation):
    names = tuple(f"german_shepherd_dog_{i}, a dog" for i in range(3))
    rows = dataclasses.replace(evaluation, class_names=names).by_class().rows
    assert {row[0] for row in rows} <= {name.split(",")[0] for name in names}
    assert len(rows) == len({row[0] for row in rows}) and "german_shepherd_dog_" in rows[0][-1]


def test_tables(evaluation):
    rows = evaluation.by_class().rows
    assert sum(row[1] for row in rows) == 10 and {row[0] for row in rows} <= {"a", "b", "c"}
    (layer,) = evaluation.layers().rows
    assert layer[0] == "scores" and layer[4] == "100%"
    first, *_, last = evaluation.curve().rows
    assert first[1] == "100.0%" and float(last[1].rstrip("%")) < 50
    assert "<table>" in evaluation._repr_html_() and "accuracy" in str(evaluation)


def test_no_more_is_claimed_than_was_proven(evaluation):
    counts = np.arange(3000)
    rows = dataclasses.replace(
        evaluation,
        labels=np.zeros(3000, int),
        predictions=np.zeros(3000, int),
        adversarial_predictions=np.ones(3000, int),
        status=np.full(3000, "found"),
        distortion=None,
        survives_rounding=None,
        l2=np.where(counts < 1, 1.23456, 0.5),
        certified=np.where(counts < 2999, 0.123456, 0.01),
        radii=np.array([0.1, 0.6]),
    )
    assert [row[1:] for row in rows.curve().rows] == [("100.0%", "99.9%"), ("0.1%", "0.0%")]
    summary = dict(page.summary(rows).rows)
    assert summary["robust at l2 0.1"] == "at most 100.0% (attack), at least 99.9% (certified)"
    assert summary["certified radius, median"] == 0.1234
    assert {row[4] for row in rows.by_class().rows} == {0.1234}


def test_examples_know_their_model_and_bounds(evaluation):
    """So that `save_images` can say which PNGs fool it."""
    assert evaluation.result.bounds == evaluation.nearest.bounds == (-9, 9)
    assert evaluation.result.classifier is evaluation.nearest.classifier is not None


def test_examples_are_the_nearest_and_the_farthest(evaluation):
    order = np.sort(evaluation.l2)
    np.testing.assert_array_equal(evaluation.nearest.l2, order)
    np.testing.assert_array_equal(evaluation.farthest.l2, order[::-1])
    assert evaluation.plot().png().startswith(b"\x89PNG")


def test_few_examples_are_shown_once(evaluation):
    """All ten are the nearest and the farthest."""
    examples = next(each for each in page.report(evaluation).sections if each.title == "Examples")
    assert [table.title for table in examples.tables] == ["All examples, the nearest first"]


def rows_of(evaluation):
    """The rows of each table of examples, with what it says of them."""
    examples = next(each for each in page.report(evaluation).sections if each.title == "Examples")
    return [[(row[0], row[4], row[5]) for row in table.rows] for table in examples.tables]


@pytest.mark.slow
@pytest.mark.parametrize("shards", [None, 7])
def test_examples_go_by_their_rows_in_the_data(shards, tmp_path):
    points = images(40)
    found = evaluate(
        network(), points, None, bounds=(-9.0, 9.0), folder=tmp_path, shard_size=shards
    )
    number = min(16, (found.status == "found").sum() // 2)
    nearest, farthest = rows_of(found)
    assert len(nearest) == len(farthest) == number > 5
    assert not {row for row, *_ in nearest} & {row for row, *_ in farthest}
    order = np.argsort(found.l2, kind="stable")
    assert [row for row, *_ in nearest] == order[:number].tolist()
    assert [row for row, *_ in farthest] == order[::-1][:number].tolist()
    for row, l2, changes in nearest + farthest:
        assert l2 == pytest.approx(found.l2[row])
        place, before, after = re.match(r"\[(\d)\] (\S+) → ([^\s,]+)", changes).groups()
        assert before != after and float(before) == pytest.approx(points[row][int(place)], rel=0.01)


def test_changes_of_few_digits_are_told():
    assert pictures._apart(60.8, 60.8004) == "60.8 → 60.8004"
    assert pictures._apart(1.0, 1.5) == "1 → 1.5"
    one = np.float32(1)
    assert pictures._apart(one, np.nextafter(one, np.float32(2))) == "1 → 1.0000001"


@pytest.fixture(scope="module")
def without_a_class():
    """An evaluation without labels, of images of which the first and the last give NaN."""
    inputs = keras.Input((4,))
    total = keras.ops.sum(inputs, axis=1, keepdims=True)
    model = keras.Model(inputs, network()(inputs * keras.ops.sqrt(2.4 - total)))
    data = images()
    data[[0, -1]] = 0.65
    return evaluate(model, data, certify="none")


def test_images_without_a_class_are_not_robust(without_a_class):
    found = without_a_class
    assert np.flatnonzero(found.predictions < 0).tolist() == [0, 9]
    assert found.robust_accuracy(0) == 0.8 and found.robust_accuracy(100) == found.failed.mean()
    assert not found.failed[[0, 9]].any()
    assert all(row[0] != "-1" for row in found.by_class().rows)
    assert "NaN or infinite for 2 of 10" in found.doubts[-1]


def test_labels_do_not_make_images_without_a_class_robust(without_a_class):
    labels = np.maximum(without_a_class.predictions, 0)
    named = dataclasses.replace(without_a_class, labels=labels)
    assert named.accuracy == named.robust_accuracy(0) == 0.8
    assert not any("attack found nothing" in doubt for doubt in named.own_doubts())


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (0, "Half of the rows that were attacked take another class within an l2 distance of 5.5:"),
        (2, "Half of the rows that were attacked take another class within an l2 distance of 7.5:"),
        (6, "Of the rows that were attacked 40.0% take another class, half of these within an l2 "
            "distance of 8.5:"),
    ],
)  # fmt: skip
def test_half_of_the_rows_are_half_of_those_too_for_which_nothing_was_found(
    failed, words, evaluation
):
    status = np.repeat(["failed", "found"], [failed, 10 - failed])
    distances = np.where(status == "found", np.arange(1.0, 11), np.inf)
    found = dataclasses.replace(evaluation, status=status, l2=distances, distortion=distances / 2)
    (line,) = (each for each in page.report(found).summary if "take another class" in each)
    assert line.startswith(words) and f" of {float(words[:-1].split()[-1]) / 2:g} of the" in line


@pytest.mark.slow
def test_medians_are_over_the_correctly_classified():
    model, points = network(), images(20)
    labels = model.predict(points, verbose=0).argmax(1)
    wrong = (labels + 1) % 3
    right = np.arange(20) < 7
    found = evaluate(model, points, np.where(right, labels, wrong), bounds=(-9.0, 9.0))
    summary = dict(page.summary(found).rows)
    assert summary["certified radius, median"] == rounded_down(np.median(found.certified[right]))
    assert summary["distance found, median"] == rounded_up(
        np.median(found.l2[right & (found.l2 > 0)])
    )
    none = evaluate(model, points, wrong, bounds=(-9.0, 9.0))
    assert "certified radius, median" not in dict(page.summary(none).rows)
    assert {row[4] for row in none.by_class().rows} == {None}


@pytest.mark.slow
def test_a_folder_that_grew_gives_each_evaluation_its_rows(tmp_path):
    model, points = network(), images(12)
    first = evaluate(model, points[:4], folder=tmp_path, shard_size=4, bounds=(-9.0, 9.0))
    more = evaluate(model, points, folder=tmp_path, shard_size=4, bounds=(-9.0, 9.0))
    assert len(first.result) == 4 and len(more.result) == 12
    np.testing.assert_array_equal(first.result.l2, first.l2)


def test_nothing_certified_is_no_column(evaluation):
    assert "certified, median" in evaluation.by_class().columns
    without = dataclasses.replace(evaluation, certified=None)
    assert "certified, median" not in without.by_class().columns
    assert {len(row) for row in without.by_class().rows} == {5}


@pytest.mark.slow
def test_pictures_of_digits(tmp_path):
    digits, labels = itf.datasets.mnist_sample()
    found = itf.evaluate(
        "mnist/fc10-1e-4", digits[:20], labels[:20], attack=FAST, class_names=list("0123456789")
    )
    file = found.save(tmp_path)
    assert {"nearest.png", "farthest.png"} <= {p.name for p in (tmp_path / "figures").iterdir()}
    assert "still have another class" in file.read_text()
    assert found.survives_rounding.shape == (20,)
    assert not math.isnan(found.certified_accuracy(0.1))
