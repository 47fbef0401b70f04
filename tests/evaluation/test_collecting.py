"""What is kept of the shards."""

import dataclasses
import shutil
from unittest import mock

import keras
import numpy as np
import pytest

from intriguing_tf.classifier import Classifier
from intriguing_tf.evaluation import collecting
from intriguing_tf.evaluation.collecting import Certification
from intriguing_tf.lipschitz import Certifier, bound
from tests.evaluation.small import evaluate, images, network


@pytest.mark.slow
def test_certified_radii_are_kept_and_a_damaged_file_is_not_believed(tmp_path, monkeypatch):
    options = {"folder": tmp_path, "bounds": (-9.0, 9.0), "shard_size": 4}
    whole = evaluate(network(), images(), **options)
    asked = []
    radius = Certifier.radius
    monkeypatch.setattr(
        Certifier, "radius", lambda *given, **more: asked.append(1) or radius(*given, **more)
    )
    np.testing.assert_array_equal(
        evaluate(network(), images(), **options).certified, whole.certified
    )
    assert not asked
    (tmp_path / "certified" / "global-000001.npz").write_bytes(b"damaged")
    np.testing.assert_array_equal(
        evaluate(network(), images(), **options).certified, whole.certified
    )
    assert len(asked) == 1


@pytest.mark.slow
def test_radii_of_another_model_are_not_believed(tmp_path):
    """Who deletes the sweep that another model made, keeps the certified radii beside it."""
    options = {"folder": tmp_path, "bounds": (-9.0, 9.0), "shard_size": 4}
    before = evaluate(network(), images(), **options).certified
    shutil.rmtree(tmp_path / "sweep")
    model = network()
    model.set_weights([each / 2 for each in network().get_weights()[:1]] + model.get_weights()[1:])
    found = evaluate(model, images(), **options).certified
    fresh = evaluate(model, images(), **options | {"folder": None}).certified
    np.testing.assert_array_equal(found, fresh)
    assert (found != before).all()


@pytest.mark.slow
def test_no_more_examples_are_kept_than_are_shown(monkeypatch):
    monkeypatch.setattr(collecting, "_SHOWN", 3)
    found = evaluate(network(), images(), bounds=(-9.0, 9.0), shard_size=4)
    order = np.sort(found.l2)
    np.testing.assert_array_equal(found.nearest.l2, order[:3])
    np.testing.assert_array_equal(found.farthest.l2, order[:-4:-1])


@pytest.mark.parametrize("shard_size", [4, 8])
def test_all_shards_decide_whether_anything_is_certified(shard_size, tmp_path):
    """No image of the first shard has a radius to speak of."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    model.set_weights([np.eye(4, 3)])
    rows = images(8)
    rows[:4] *= 1e-14
    done = mock.Mock()
    done.shards.side_effect = lambda: [
        mock.Mock(
            result=mock.MagicMock(originals=part, __len__=lambda result: len(result.originals)),
            provenance={"plan": "", "images": ""},
        )
        for part in np.split(rows, 8 // shard_size)
    ]
    report = bound(model, "quick")
    certification = Certification(Classifier(model), "global", report, "", 1.0, done, False)
    radii = [certification.radii(i, shard, tmp_path) for i, shard in enumerate(done.shards())]
    assert not certification.why_not
    np.testing.assert_array_equal(np.concatenate(radii), Certifier(model).radius(rows))


def test_examples_that_rounding_leaves_without_a_class_do_not_survive():
    result = mock.MagicMock(
        status=np.array(["found"] * 3),
        images=np.zeros((3, 4), np.float32),
        original_predictions=np.array([0, 1, 2]),
    )
    result.__len__.return_value = 3
    classifier = mock.Mock(predict=lambda images, batch_size: np.array([1, 1, -1]))
    survives = collecting._survives_rounding(classifier, result, (0.0, 1.0))
    assert survives.tolist() == [True, False, False]


@pytest.mark.slow
def test_an_example_within_a_certified_radius_is_a_fault():
    found = evaluate(network(), images(), bounds=(-9.0, 9.0))
    wrong = dataclasses.replace(found, certified=2 * found.l2)
    assert "10 examples lie within a radius that was certified" in next(wrong.own_doubts())
    assert not list(found.own_doubts())


@pytest.mark.parametrize("bad", [None, 0, 1])
def test_spreads_are_those_of_all_shards_and_nan_stays_nan(bad):
    parts = [np.array([[0.0, 3.0]], "float32"), np.array([[1.0, -1.0]], "float32")]
    if bad is not None:
        parts[bad][0, 0] = np.nan
    shards = [mock.Mock(**{"result.originals": part}) for part in parts]
    classifier = mock.Mock(predict_logits=lambda images, batch: 2 * images)
    expected = (6.0, 4.0) if bad is None else (np.nan, np.nan)
    np.testing.assert_equal(collecting._spreads(classifier, shards), expected)
