import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import pdist
from scipy.stats import entropy, ortho_group

import intriguing_tf as itf

CLASSES, PIXELS, IMAGES = 10, 40, 3000


def layer_of(kernel, activation=None):
    model = keras.Sequential(
        [
            keras.Input((len(kernel),), name="images"),
            keras.layers.Dense(kernel.shape[1], activation, use_bias=False, name="layer"),
            keras.layers.Dense(2, name="logits"),
        ]
    )
    model.get_layer("layer").set_weights([kernel.astype(np.float32)])
    return model


@pytest.fixture(scope="module")
def clusters():
    """Images in the corners of a simplex: class c lights pixel c, with noise on all pixels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, IMAGES)
    images = rng.normal(0, 0.5, (IMAGES, PIXELS))
    images[np.arange(IMAGES), labels] += 2
    return images.astype(np.float32), labels


def verdicts(comparison, first, second):
    return {
        c.measure: c.verdict for c in comparison.contrasts if (c.first, c.second) == (first, second)
    }


def test_measures_are_the_textbooks():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(50, 3, 2)), rng.integers(0, 4, 50)
    indices = rng.integers(0, 50, (6, 5))
    found = itf.units.coherence(indices, labels, {"p": points}, {"p": 2.0}).measures
    for i, row in enumerate(indices):
        counts = np.bincount(labels[row])
        assert found["purity"][i] == pytest.approx(counts.max() / 5)
        assert found["entropy"][i] == pytest.approx(entropy(counts, base=2))
        distances = pdist(points[row].reshape(5, -1))
        assert found["distance in p"][i] == pytest.approx(distances.mean() / 2)


def test_labels_may_be_large():
    """What is measured takes memory for the labels that there are, not up to the largest."""
    labels = np.array([0, 1, 1, 2]) * 10**15
    found = itf.units.coherence([[0, 1, 2], [1, 2, 3]], labels, {}, {}).measures
    np.testing.assert_allclose(found["purity"], 2 / 3)


@pytest.mark.slow
def test_units_that_detect_classes_are_told_from_random_directions(clusters):
    images, labels = clusters
    # Unit j is pixel j mod 10: each detects one class; a random direction mixes ten of them.
    detectors = np.tile(np.eye(PIXELS)[:, :CLASSES], 6) + 0.01
    comparison = itf.units.compare(
        layer_of(detectors), "layer", images, labels, k=9, random_number=200
    )
    natural, random = (comparison.populations[p].measures for p in ("natural", "random"))
    assert np.median(natural["purity"]) == 1
    assert natural["purity"].mean() > random["purity"].mean() + 0.05
    found = verdicts(comparison, "natural", "random")
    assert found["purity"] == found["entropy"] == "different"
    purity = comparison.contrasts[0]
    assert purity.test.delta > 0.147 and purity.p_difference < 1e-4


@pytest.mark.slow
def test_a_randomly_rotated_layer_is_shown_to_have_no_distinction(clusters):
    """Rotated at random, the units are random directions: equivalence, not just no difference."""
    images, labels = clusters
    rotations = [ortho_group.rvs(PIXELS, random_state=i) for i in range(15)]
    comparison = itf.units.compare(
        layer_of(np.concatenate(rotations, axis=1)), "layer", images, labels, random_number=1000
    )
    # The pixels' random directions are the same population again.
    for pair in (("natural", "random"), ("natural", "pixel space")):
        assert set(verdicts(comparison, *pair).values()) == {"equivalent"}
    assert all(c.test.power > 0.9 for c in comparison.contrasts if c.first == "natural")
    # Both are far from the null of no meaning.
    for population in ("natural", "random"):
        assert set(verdicts(comparison, population, "shuffled").values()) == {"different"}


@pytest.mark.slow
def test_the_null_of_no_meaning_is_at_chance(clusters):
    images, labels = clusters
    comparison = itf.units.compare(
        layer_of(np.random.default_rng(1).normal(size=(PIXELS, 300))),
        "layer",
        images,
        labels,
        random_number=50,
        k=9,
    )
    shuffled = comparison.populations["shuffled"].measures
    rng = np.random.default_rng(2)
    chance = [np.bincount(labels[rng.integers(0, IMAGES, 9)]).max() / 9 for _ in range(2000)]
    assert shuffled["purity"].mean() == pytest.approx(np.mean(chance), abs=0.02)
    assert shuffled["distance in pixels"].mean() == pytest.approx(1, abs=0.03)


def test_dead_units_are_left_out_and_counted(clusters):
    images, labels = clusters
    kernel = np.random.default_rng(1).normal(size=(PIXELS, 30))
    kernel[:, :7] = 0
    comparison = itf.units.compare(
        layer_of(kernel, "relu"), "layer", images, labels, random_number=20
    )
    assert comparison.left_out["natural"] == 7 and comparison.left_out["random"] == 0
    assert len(comparison.populations["natural"].measures["purity"]) == 23
    assert "23 natural (7 left out)" in str(comparison)


@pytest.mark.parametrize("active, left_out", [(8, 1), (9, 0)])
def test_units_that_are_active_for_fewer_than_k_images_are_left_out(active, left_out):
    """Above 0 for some images and 0 for all others: the last of its k images are arbitrary."""
    images = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    images[:, 0] = np.where(np.arange(200) < active, 1 + np.arange(200), -1)
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(5, "relu", use_bias=False, name="layer")]
    )
    model.set_weights([np.eye(5)])
    arguments = {"k": 9, "random_number": 5}
    found = itf.units.compare(model, "layer", images, np.arange(200) % 3, **arguments)
    assert found.left_out["natural"] == left_out
    assert found.natural.determined.tolist() == [not left_out, *[True] * 4]


@pytest.mark.slow
def test_another_models_features_are_a_space(clusters):
    images, labels = clusters
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 30)))
    # Features that are the pixels three times larger have the same relative distances.
    other = layer_of(3 * np.eye(PIXELS))
    other.name = "other"
    comparison = itf.units.compare(
        model, "layer", images, labels, feature_model=other, feature_layer="layer", random_number=20
    )
    measures = comparison.populations["natural"].measures
    np.testing.assert_allclose(
        measures["distance in layer of other"], measures["distance in pixels"], rtol=1e-5
    )


def test_streamed_images_give_the_same(clusters):
    images, labels = clusters
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 30)))
    whole = itf.units.compare(model, "layer", images, labels, random_number=20)
    batches = [images[i : i + 700] for i in range(0, IMAGES, 700)]
    streamed = itf.units.compare(model, "layer", batches, labels, random_number=20)
    assert str(whole) == str(streamed)


def test_images_in_another_order_each_time_are_refused(clusters):
    """Labels go by the places of the images, which a shuffled data set does not have."""
    images, labels = clusters
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 5)))
    dataset = tf.data.Dataset.from_tensor_slices((images[:200], labels[:200]))
    found = itf.units.compare(model, "layer", dataset.batch(64), labels[:200], random_number=5)
    whole = itf.units.compare(model, "layer", images[:200], labels[:200], random_number=5)
    assert str(found) == str(whole)
    with pytest.raises(ValueError, match="same order each time: no shuffling"):
        shuffled = dataset.shuffle(200).batch(64)
        itf.units.compare(model, "layer", shuffled, labels[:200], random_number=5)


def test_features_in_bfloat16_are_a_space(clusters):
    images, labels = clusters
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 5)))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        other = layer_of(np.eye(PIXELS))
    finally:
        keras.config.set_dtype_policy("float32")
    measures = (
        itf.units.compare(
            model,
            "layer",
            images[:200],
            labels[:200],
            feature_model=other,
            feature_layer="layer",
            random_number=5,
        )
        .populations["natural"]
        .measures
    )
    name = f"distance in layer of {other.name}"
    np.testing.assert_allclose(measures[name], measures["distance in pixels"], rtol=1e-2)
    other.set_weights([np.zeros_like(each) for each in other.get_weights()])
    with pytest.raises(ValueError, match="images must differ in layer of"):
        itf.units.compare(
            model, "layer", images[:200], labels[:200],
            feature_model=other, feature_layer="layer", random_number=5,
        )  # fmt: skip


def test_labels_come_in_any_form(clusters):
    images, labels = clusters
    images, labels = images[:200], labels[:200]
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 5)))
    one_hot = np.eye(labels.max() + 1)[labels]
    whole, *others = (
        str(itf.units.compare(model, "layer", images, form, random_number=5))
        for form in (labels, labels[:, None], one_hot, one_hot.astype(bool))
    )
    assert others == [whole] * 3


def test_the_confidence_of_the_intervals_is_printed_whole(clusters):
    images, labels = clusters
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 5)))
    found = itf.units.compare(
        model, "layer", images[:100], labels[:100], random_number=5, alpha=0.001
    )
    assert "[99.8 % interval]" in str(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(IMAGES)}, r"dtype float64.*astype\('int64'\)"),
        ({"labels": np.full((IMAGES, 3), 0.2)}, r"argmax\(axis=1\)"),
        ({"k": 1}, "at least 2"),
        ({"labels": np.zeros(9, int)}, "one per image"),
        ({"labels": np.full(IMAGES, -1)}, "at least 0"),
        ({"feature_layer": "layer"}, "go together"),
        ({"margin": 2}, "margin"),
        ({"alpha": 0.6}, "alpha"),
        ({"number": 2}, "at least 3"),
        ({"k": IMAGES + 1}, "at most the number"),
        ({"feature_layer": "layer", "feature_model": layer_of(np.eye(3))}, "take the images"),
    ],
)
def test_bad_input_is_refused_before_the_images_are_looked_at(
    clusters, change, message, monkeypatch
):
    monkeypatch.setattr("intriguing_tf.units.top.batches", None)
    images, labels = clusters
    model = layer_of(np.random.default_rng(1).normal(size=(PIXELS, 30)))
    arguments = {"labels": labels, "random_number": 10, **change}
    with pytest.raises(ValueError, match=message):
        itf.units.compare(model, "layer", images, **arguments)
