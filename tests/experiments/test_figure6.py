import dataclasses

import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.experiments import Figure6, figure6
from intriguing_tf.experiments.figure6 import one_against_rest


@pytest.mark.slow
def test_figure6_fools_a_binary_classifier_both_ways(monkeypatch):
    """On the bundled digits, with a network small enough to train in moments."""
    images, labels = itf.datasets.mnist_sample()
    truth = (labels == 0).astype(np.int64)
    config = itf.models.QuocNetConfig((28, 28, 1), (5,), maps=4, pool_size=5, contrast_size=3)
    figure = Figure6(positive=0, config=config, attacked=8, epochs=2)
    train, test = (images[::2], truth[::2, None]), (images[1::2], truth[1::2].tolist())
    result = figure.run_on(train, test)
    assert (result.trained_on, result.tested_on, result.source) == (500, 500, None)
    said = " ".join(result.table().notes)
    assert "on 500 images; one class against the rest" in said and "6000" not in said
    np.testing.assert_array_equal(result.truth, [1] * 4 + [0] * 4)
    of_images = images[1::2]
    predicted = result.model.predict(of_images, verbose=0)[:, 0] > 0
    assert result.missed == np.mean(~predicted[truth[1::2] == 1])
    assert result.missed < 0.35 and result.false_alarms < 0.1
    assert result.model.output_shape == (None, 1)
    right = result.adversarial.original_predictions == result.truth
    assert right.sum() >= 6 and (result.adversarial.status[right] == "found").all()
    assert (result.adversarial.predictions[right] == 1 - result.truth[right]).all()
    assert "class to rest" in str(result)
    assert result.picture(shown=1).figure is not None
    monkeypatch.setattr(figure6, "train_features", lambda *_, **__: None)
    monkeypatch.setattr(figure6, "_train_classifier", lambda *_: result.model)  # once is enough
    monkeypatch.setattr(figure6, "one_against_rest", lambda *_: (images, truth))
    said = " ".join(figure.run().table().notes)
    assert f"on {len(images)} images of mnist; class 0 against the rest" in said
    for side in (0, 1):
        with pytest.raises(ValueError, match="of both sides"):
            figure.run_on((images[::2], 0 * truth[::2] + side), test)
    with pytest.raises(ValueError, match=r"`truth` must have shape \(500,\)"):
        figure.run_on((images[::2], truth), test)
    with pytest.raises(ValueError, match="leave `bounds` out"):
        dataclasses.replace(figure, options={"bounds": (0, 1)}).run()
    with pytest.raises(ValueError, match="must hold 4 of each side"):
        figure.run_on((images[::2], truth[::2]), (images[1::2], 0 * truth[1::2]))
    with pytest.raises(ValueError, match=r"`truth` must lie between 0 and 1.*Received: 2"):
        figure.run_on((images[::2], 2 * truth[::2]), (images[1::2], truth[1::2]))


@pytest.mark.parametrize(
    "change", [{"attacked": 1}, {"epochs": 0}, {"train_number": 1.5}, {"seed": -1}]
)
def test_numbers_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=f"`{next(iter(change))}` must be"):
        Figure6(**change)


def test_an_unknown_class_is_refused(monkeypatch):
    monkeypatch.setattr("intriguing_tf.datasets.mnist", lambda split: itf.datasets.mnist_sample())
    with pytest.raises(ValueError, match="has the classes 0, 1, 2"):
        one_against_rest("mnist", "car", "test", 10)
