"""What a worker asks of an adversary."""

from unittest import mock

import numpy as np
import pytest

from intriguing_tf.sweeps.workers import Task, attack


@pytest.mark.parametrize(
    "labels, expected", [([0, 1, 0], [1, 0, 1]), (None, [1, 2, 0])], ids=["labels", "none"]
)
def test_random_targets_are_classes_where_outputs_are_not_finite(monkeypatch, labels, expected):
    """The second image is misclassified where there are labels; the third gives NaN."""
    adversary = mock.Mock()
    adversary.return_value.settings = {}
    logits = np.array([[1.0, 0, 0], [1, 0, 0], [np.nan] * 3])
    predictions = np.array([0, 0 if labels else 1, -1])
    adversary.classifier.predict_both.return_value = logits, predictions
    monkeypatch.setattr("dataclasses.replace", lambda result, **changes: result)
    labels = None if labels is None else np.array(labels)
    attack(adversary, Task(None, 0, np.ones(3, np.int64), 1), np.zeros((3, 2)), labels)
    assert adversary.call_args.kwargs["targets"].tolist() == expected
