"""What is measured for cards: the same, whatever range of pixels an entry takes."""

import functools

import pytest

from intriguing_tf import datasets, zoo
from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.publishing import evaluation


@pytest.mark.slow
def test_an_entry_of_other_pixels_has_the_metrics_of_these(monkeypatch):
    images, labels = datasets.mnist_sample()
    monkeypatch.setattr(datasets, "mnist_sample", lambda: (images[:4], labels[:4]))
    quick = {"solver": "scipy", "jit_compile": False, "maxfun": 30}
    adversary = functools.partial(LBFGSAdversary, **quick)
    monkeypatch.setattr(evaluation, "LBFGSAdversary", adversary)
    model, card = zoo.load("mnist/fc10-1"), zoo.info("mnist/fc10-1")
    metrics, _ = evaluation.measure(model, card, full=False, verbose=False)
    kernel, bias = model.get_weights()
    model.set_weights([kernel / 2, bias + kernel.sum(0) / 2])  # as much of pixels in [-1, 1]
    signed = card.replace(bounds=(-1.0, 1.0))
    found, _ = evaluation.measure(model, signed, full=False, verbose=False)
    assert found == {
        key: value if isinstance(value, dict) else pytest.approx(value, rel=1e-3)
        for key, value in metrics.items()
    }
