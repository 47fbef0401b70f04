"""Noise belongs to the seed, the image, the target and the number of the start."""

import numpy as np

from intriguing_tf.adversary.margins import hard_margins
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.solver import Batch
from intriguing_tf.adversary.starts import noisy_starts
from intriguing_tf.classifier import Classifier
from tests.adversary.networks import points, small_network


def batch_of(problem, x, targets):
    logits = problem.classifier.predict_logits(x)
    confidence = problem.least_confidence(logits)
    return Batch(
        originals=x, starts=x, targets=targets, lower=np.zeros_like(x), upper=np.ones_like(x),
        logits=logits, gap=np.maximum(hard_margins(logits, targets), confidence),
        confidence=confidence, enough=np.zeros(len(x)),
        image=np.arange(len(x)), spent=np.zeros(len(x), np.int64),
    )  # fmt: skip


def test_starts_do_not_depend_on_the_batch_and_lead_towards_the_target():
    model = small_network()
    problem = Problem(Classifier(model), (8,))
    x = points(6)
    batch = batch_of(problem, x, (model.predict(x, verbose=0).argmax(axis=1) + 1) % 4)
    distance, numbers = np.full(6, 0.3), np.arange(6) % 2 + 1
    starts, evaluations = noisy_starts(problem, batch, distance, numbers, seed=2)
    assert evaluations >= 10 and (starts >= 0).all() and (starts <= 1).all()
    some = [4, 1]
    part, _ = noisy_starts(problem, batch.rows(some), distance[some], numbers[some], seed=2)
    np.testing.assert_allclose(part, starts[some], atol=1e-4)
    other, _ = noisy_starts(problem, batch, distance, numbers + 1, seed=2)
    another, _ = noisy_starts(problem, batch, distance, numbers, seed=3)
    for different in (other, another):
        assert (np.abs(different - starts).max(axis=1) > 1e-3).all()
    before = hard_margins(batch.logits, batch.targets)
    after = hard_margins(problem.classifier.predict_logits(starts), batch.targets)
    assert (after < before).all()
