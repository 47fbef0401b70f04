"""`evaluate` against closed forms: a linear model's distances are known."""

import json
import math
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.classifier import Classifier
from intriguing_tf.datasets import ImageSet
from intriguing_tf.evaluation import running
from intriguing_tf.evaluation.collecting import Certification
from intriguing_tf.evaluation.running import _radii
from intriguing_tf.lipschitz import Certifier, bound
from intriguing_tf.sweeps.shards import ShardFolder
from tests.evaluation.small import FAST, evaluate, images, network


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def labels(model):
    found = model.predict(images(), verbose=0).argmax(1)
    found[3] = (found[3] + 1) % 3  # one is misclassified
    return found


@pytest.fixture(scope="module")
def evaluation(model, labels):
    return evaluate(model, images(), labels, bounds=(-9.0, 9.0))  # the box does not matter


def distances(model):
    """Of a linear model: the least margin over the distance of the classes' weights."""
    kernel, _ = (w.numpy().astype(float) for w in model.layers[-1].weights)
    logits = model.predict(images(), verbose=0).astype(float)
    first = logits.argmax(1)
    margins = logits[np.arange(len(logits)), first, None] - logits
    norms = np.linalg.norm(kernel[:, first][:, :, None] - kernel[:, None, :], axis=0)
    ratios = margins / np.where(norms == 0, 1, norms)
    ratios[np.arange(len(logits)), first] = np.inf
    return ratios.min(axis=1)


@pytest.mark.slow
def test_distances_and_certificates_meet_at_the_closed_form(model, evaluation):
    expected = distances(model)
    found = evaluation.status == "found"
    assert found.tolist() == [i != 3 for i in range(10)]
    np.testing.assert_allclose(evaluation.l2[found], expected[found], rtol=0.2)
    assert (evaluation.l2[found] >= expected[found] * (1 - 1e-4)).all()
    np.testing.assert_allclose(evaluation.certified, expected, rtol=1e-3)
    assert (evaluation.certified <= expected * (1 + 1e-6)).all()


def test_accuracies_follow_from_the_distances(model, evaluation):
    expected = np.delete(distances(model), 3)
    assert evaluation.accuracy == evaluation.robust_accuracy(0) == 0.9
    for radius in (0.0, np.median(expected) * 1.001, expected.max() * 2):
        share = (expected > radius).sum() / 10
        assert abs(evaluation.robust_accuracy(radius) - share) <= 0.1 + 1e-9
        assert evaluation.certified_accuracy(radius) <= evaluation.robust_accuracy(radius)
    assert evaluation.certified_accuracy(0) == 0.9
    assert evaluation.robust_accuracy(expected.max() * 2) == 0
    assert evaluation.radii[0] == 0 and (np.diff(evaluation.radii) > 0).all()


@pytest.mark.parametrize(
    "given, bounds",
    [
        ({}, (-1, 1)),
        ({"bounds": (-3, 3)}, (-3, 3)),
        ({"bounds": "data"}, (-1, 1)),
        ({"bounds": (-np.inf, np.inf)}, (-1, 1)),
    ],
    ids=["by default", "given", "of the data", "infinite"],
)
def test_pictures_are_in_the_bounds_that_a_network_of_the_zoo_takes(
    given, bounds, signed, monkeypatch
):
    def load_data(*_, bounds, **__):
        raise ValueError(f"within {bounds}")

    signed("mnist/fc10-1")
    monkeypatch.setattr(running, "load_data", load_data)
    with pytest.raises(ValueError, match="within") as error:
        evaluate("mnist/fc10-1", "sample", **given)
    assert str(error.value) == f"within {tuple(map(float, bounds))}"


@pytest.mark.parametrize(
    "distances, last, steps",
    [([0.83, 0.83], 0.9, 6), ([0.0, np.inf], 0.0, 0), ([12.0] * 60 + [9e3] * 40, 48.0, 8)],
    ids=["round", "none", "a few far"],
)
def test_radii_show_the_curve(distances, last, steps):
    radii = _radii(np.array(distances))
    assert radii[0] == 0 and radii[-1] == last and len(radii) == steps + 1


@pytest.mark.slow
def test_without_labels_the_predictions_must_not_change(model):
    found = evaluate(model, images(), bounds=(-9.0, 9.0), radii=[0.5, 0.1])
    assert math.isnan(found.accuracy) and found.labels is None
    assert (found.status == "found").all() and found.robust_accuracy(0) == 1
    assert found.radii.tolist() == [0.1, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.drawn(1)
def test_a_data_set_is_read_as_the_array(model, labels, evaluation, batched):
    dataset = tf.data.Dataset.from_tensor_slices((images(), labels))
    found = evaluate(model, dataset.batch(4) if batched else dataset, bounds=(-9.0, 9.0))
    np.testing.assert_allclose(found.l2, evaluation.l2, rtol=0.05)
    assert found.accuracy == 0.9


@pytest.mark.slow
def test_names_of_models_and_data(model, labels, evaluation, tmp_path):
    model.save(tmp_path / "my.keras")
    np.savez(tmp_path / "my.npz", images=images(), labels=labels, class_names=["a", "b", "c"])
    found = evaluate(
        str(tmp_path / "my.keras"), str(tmp_path / "my.npz"), bounds=(-9.0, 9.0), number=5
    )
    assert (len(found), found.model, found.class_names) == (5, "my", ("a", "b", "c"))
    np.testing.assert_allclose(found.l2, evaluation.l2[:5], rtol=0.05)


@pytest.mark.slow
def test_a_folder_is_resumed_and_extended(model, labels, tmp_path, monkeypatch):
    options = {"folder": tmp_path, "bounds": (-9.0, 9.0), "shard_size": 4}
    whole = evaluate(model, images(), labels, **options)
    written = []
    write = ShardFolder.write
    monkeypatch.setattr(
        ShardFolder, "write", lambda *given: written.append(given[2]) or write(*given)
    )
    again = evaluate(model, images(), labels, **options)
    np.testing.assert_array_equal(again.l2, whole.l2)
    np.testing.assert_array_equal(again.result.images, whole.result.images)
    assert again.result.classifier is again.nearest.classifier is not None
    assert not written
    both = np.concatenate([labels, model.predict(images(20)[10:], verbose=0).argmax(1)])
    more = evaluate(model, images(20), both, **options)  # two of its five shards are whole
    assert len(more) == 20 and written == [2, 3, 4]
    np.testing.assert_array_equal(more.l2[:8], whole.l2[:8])
    with pytest.raises(ValueError, match="holds another sweep"):
        evaluate(network(activation="softmax"), images() * 0.9, labels, **options)


@pytest.mark.slow
def test_what_cannot_be_bounded_is_said_in_words():
    inputs = keras.Input((4,))
    squared = keras.layers.Dense(3)(inputs * inputs)
    found = evaluate(keras.Model(inputs, squared), images())
    assert found.certified is None and "multiply" in found.why_not_certified.lower()
    assert math.isnan(found.certified_accuracy(0.1)) and found.robust_accuracy(0) == 1
    assert found.why_not_certified in str(found)


@pytest.mark.slow
def test_nothing_is_certified_that_was_not_asked_for(model):
    found = evaluate(model, images(), certify="none", attack=FAST | {"outputs": "logits"})
    assert found.certified is None and found.lipschitz is None
    assert "it was not asked for" in str(found)
    with pytest.raises(ValueError, match="not asked for"):
        found.layers()


@pytest.mark.slow
def test_probabilities_that_the_graph_hides():
    """A SavedModel's softmax cannot be seen; as probabilities the distances are the same."""
    hidden = network(activation="softmax")
    logits = evaluate(hidden, images(), bounds=(-9.0, 9.0), certify="none")
    said = FAST | {"outputs": "probabilities"}
    found = evaluate(hidden, images(), bounds=(-9.0, 9.0), certify="none", attack=said)
    np.testing.assert_allclose(found.l2, logits.l2, rtol=0.2)


@pytest.mark.parametrize(
    "data, options, error, words",
    [
        (images(), {"radii": [-1.0]}, ValueError, "`radii` must be finite"),
        (images(), {"class_names": 3}, TypeError, "`class_names`"),
        (images(), {"number": 3}, ValueError, "cut arrays"),
        (images(), {"certify": "all"}, ValueError, "'global', 'local', 'none'"),
        ("sample", {"labels": [1]}, TypeError, "bring their own labels"),
        ("nowhere.npz", {}, FileNotFoundError, "no such file"),
        (images()[:0], {}, ValueError, "At least one"),
        (images() + 1, {}, ValueError, "bounds"),
        (images(), {"bounds": (1, 0)}, ValueError, "lower bound must be below"),
        (images(), {"attack": {"bounds": (0, 9)}}, TypeError, "give `bounds` themselves"),
        (images(), {"attack": {"layer": "scores"}}, TypeError, "the part of the model above it"),
        ((images(), np.zeros(10, int)), {}, TypeError, r"evaluate\(model, images, labels\)"),
        (ImageSet(images()), {"class_names": ["a"]}, ValueError, "3 classes apart"),
        (images(), {"shard_size": 0}, ValueError, "`shard_size` must be a positive"),
        (images(), {"name": np.nan}, TypeError, "`name` must be a str"),
    ],
    ids=[
        *("radii", "names", "number", "certify", "labels", "file", "none", "bounds", "pair"),
        *("attack's bounds", "attack's layer", "tuple", "names of a set", "shards", "name"),
    ],
)
def test_wrong_arguments(model, data, options, error, words):
    with pytest.raises(error, match=words):
        evaluate(model, data, **options)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.longdouble, np.float16, tf.bfloat16])
@pytest.mark.drawn(1)
def test_numbers_of_any_precision(model, dtype):
    data = tf.cast(images(4), dtype) if dtype is tf.bfloat16 else images(4).astype(dtype)
    found = evaluate(model, data, certify="none", shard_size=np.int64(2))
    assert len(found) == 4


def test_a_table_of_pandas_is_an_array(model):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rows = images(4) * np.array([1, 10, 100, 1000], np.float32)
    options = {"bounds": "data", "certify": "none"}
    whole, read = (evaluate(model, each, **options) for each in (rows, pandas.DataFrame(rows)))
    np.testing.assert_array_equal(read.l2, whole.l2)
    np.testing.assert_array_equal(read.result.originals, whole.result.originals)


@pytest.mark.slow
def test_class_names_win_over_those_of_the_data(model):
    data = ImageSet(images(4), None, ("x", "y", "z"))
    found = evaluate(model, data, certify="none", class_names=["a", "b", "c"])
    assert found.class_names == ("a", "b", "c")


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("shape", [(4,), (2, 2, 1)], ids=["rows", "images"])
@pytest.mark.drawn(1)
def test_without_bounds_there_are_distances(shape, tmp_path):
    """Of a linear model they are those in a box that does not matter."""
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), network()])
    found = evaluate(model, images().reshape(-1, *shape), bounds=(-np.inf, np.inf))
    expected = distances(network())
    np.testing.assert_allclose(found.l2, expected, rtol=0.2)
    np.testing.assert_allclose(found.certified, expected, rtol=1e-3)
    assert found.distortion is None and found.survives_rounding is None
    assert "distortion" not in str(found) + ",".join(found.columns()) and not found.doubts
    page = found.save(tmp_path)
    assert "root mean square" not in page.read_text()
    assert json.loads((tmp_path / "evaluation.json").read_text())["bounds"] == [None, None]


@pytest.mark.slow
def test_no_time_is_spent_on_radii_that_are_next_to_nothing(model, monkeypatch):
    """Layers that multiply to 1e20 in front of a classifier, and logits that are not that large."""
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, "sigmoid", name="steep")(inputs)
    far = keras.Model(inputs, keras.layers.Dense(3)(x))
    far.get_layer("steep").set_weights([1e20 * np.eye(4), -5e19 * np.ones(4)])
    monkeypatch.setattr(Certifier, "__init__", None)  # is not called
    found = evaluate(far, images())
    assert found.certified is None and found.lipschitz is not None
    said = found.why_not_certified
    assert "They are left out" in said and "certified_radius` finds them" in said
    assert "no radius" not in said


@pytest.mark.parametrize("width, quick", [(2.0, False), (2e6, True)])
def test_little_time_is_spent_on_small_radii(model, monkeypatch, width, quick):
    asked = []
    make = Certifier.__init__
    monkeypatch.setattr(
        Certifier, "__init__", lambda *given, **more: asked.append(more) or make(*given, **more)
    )
    report = bound(model, "quick")
    done = mock.Mock()
    done.shards.return_value = [mock.Mock(result=mock.Mock(originals=images()))]
    certification = Certification(Classifier(model), "global", report, "", width, done, False)
    assert (certification._made().radius(images()) > 0).all() and asked[0]["quick"] is quick


@pytest.mark.slow
def test_what_a_saved_model_computes_is_not_known(tmp_path):
    network(activation="softmax").export(tmp_path / "saved", verbose=False)
    attack = FAST | {"outputs": "probabilities"}
    found = evaluate(str(tmp_path / "saved"), images(), attack=attack)
    assert found.certified is None and "such as its .keras file" in found.why_not_certified
