"""Labels that pools and penalties cannot read are refused, in words; others take them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf import training
from intriguing_tf.training.batch import Batch
from tests.training.small_networks import LOGITS, network, pool

X = np.random.default_rng(0).random((24, 2)).astype(np.float32)
CLASSES = np.arange(24) % 3
SIGNS = np.where(CLASSES == 0, 1, -1)
MULTI_HOT = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)[CLASSES]
READERS = {
    "kept": {"pools": [pool(distortion=0.1)]},
    "of the batch": {"pools": [pool(interval=0, distortion=0.1)]},
    "gradient": {"penalties": [training.GradientPenalty(0.1)]},
    "worst": {"penalties": [training.CertifiedMargin(0.1, loss="worst")]},
}
BLIND = {
    "plain": {},
    "jacobian": {"penalties": [training.GradientPenalty(0.1, of="jacobian")]},
    "lipschitz": {"penalties": [training.LipschitzPenalty(total=0.1)]},
    "extra class": {"penalties": [training.CertifiedMargin(0.1)]},
}
HINGE, ROWS = keras.losses.Hinge(), keras.losses.BinaryCrossentropy(from_logits=True)
BAD = {
    "signs, one unit": (1, HINGE, SIGNS),
    "signs in a column": (1, HINGE, SIGNS[:, None].astype(np.float32)),
    "a third class, one unit": (1, HINGE, CLASSES),
    "signs, three units": (3, keras.losses.CategoricalHinge(), np.eye(3)[CLASSES] * 2 - 1),
    "multi-hot": (3, ROWS, MULTI_HOT),
    "whole multi-hot": (3, ROWS, MULTI_HOT.astype(np.int32)),
    "no probabilities": (3, ROWS, np.full((24, 3), [1.5, -0.5, 0.0], np.float32)),
    "not a number": (3, ROWS, np.full((24, 3), np.nan, np.float32)),
}


def compiled(parts, output, loss):
    model = training.AdversarialModel(network(output=output), **parts)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    return model


def batches(labels):
    return tf.data.Dataset.from_tensors((X, labels))


SOME = [(reader, "multi-hot") for reader in READERS] + [("gradient", labels) for labels in BAD]


@pytest.mark.slow
@pytest.mark.parametrize(("reader", "labels"), dict.fromkeys(SOME))
@pytest.mark.drawn(6)
def test_labels_that_cannot_be_read_are_refused(reader, labels):
    output, loss, y = BAD[labels]
    model = compiled(READERS[reader], output, loss)
    valid = f"classes from 0 to {max(output, 2) - 1}"
    with pytest.raises(ValueError, match=f"Labels are not .*{valid}.*Received"):
        model.fit(X, y, batch_size=24, verbose=0)
    assert int(model.steps.numpy()) == 0
    with pytest.raises(ValueError, match=f"Labels of step 1 are not .*{valid}"):
        model.fit(batches(y), verbose=0)
    with pytest.raises(ValueError, match=f"Labels of step 2 are not .*{valid}"):
        model.train_on_batch(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize("labels", ["signs, one unit", "multi-hot"])
@pytest.mark.drawn(4)
def test_parts_that_read_no_labels_take_what_the_loss_takes(blind, labels):
    output, loss, y = BAD[labels]
    model = compiled(BLIND[blind], output, loss)
    before = model.model.get_weights()
    model.fit(X, y, batch_size=24, verbose=0)
    model.fit(batches(y), verbose=0)
    model.train_on_batch(X, y)
    assert (model.model.get_weights()[0] != before[0]).any()


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compiled_steps_go_on_to_the_words(jit_compile):
    """Cross-entropies of labels that are no class raise TensorFlow's own errors within a step."""
    model = training.AdversarialModel(network(output=1), **READERS["gradient"])
    model.compile(keras.optimizers.SGD(0.1), HINGE, jit_compile=jit_compile)
    with pytest.raises(ValueError, match=r"Labels of step 1 are not .*from 0 to 1"):
        model.fit(batches(SIGNS), verbose=0)
    model.fit(batches((SIGNS + 1) // 2), verbose=0)  # right ones are taken afterwards


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.drawn(2)
def test_rows_of_weight_zero_may_have_any_label(reader):
    model = compiled(READERS[reader], 1, HINGE)
    weights = (SIGNS == 1).astype(np.float32)
    model.fit(X, SIGNS, sample_weight=weights, batch_size=24, verbose=0)
    model.train_on_batch(X, SIGNS, sample_weight=weights)
    with pytest.raises(ValueError, match=r"Received: -1\."):
        model.fit(X, SIGNS, batch_size=24, verbose=0)


@pytest.mark.slow
def test_one_unit_has_probabilities_as_well():
    labels = np.where(CLASSES == 0, 0.9, 0.2).astype(np.float32)
    for reader in ("gradient", "of the batch"):
        compiled(READERS[reader], 1, ROWS).fit(X, labels, batch_size=24, verbose=0)
    with pytest.raises(ValueError, match="Labels are soft"):
        compiled(READERS["worst"], 1, ROWS).fit(X, labels, batch_size=24, verbose=0)


@pytest.mark.parametrize("reader", READERS)
def test_labels_of_another_shape_are_refused(reader):
    model = compiled(READERS[reader], 3, ROWS)
    y = np.zeros((24, 2), np.float32)
    for fit in (lambda: model.fit(X, y, verbose=0), lambda: model.fit(batches(y), verbose=0)):
        with pytest.raises(ValueError, match=r"\[n, classes\]. Received: .*2\) for a .* 3 outputs"):
            fit()


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.drawn(1)
def test_truth_values_are_0_and_1(reader):
    weights = []
    for dtype in (bool, np.float32):
        model = compiled(READERS[reader], 1, ROWS)
        model.fit(X, (CLASSES == 0).astype(dtype), batch_size=24, epochs=2, verbose=0)
        model.fit(batches((CLASSES == 0).astype(dtype)), verbose=0)
        weights.append(model.model.get_weights()[0])
    np.testing.assert_array_equal(*weights)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = network()

    def call(self, inputs, training=None):
        return self.inner(inputs)


@pytest.mark.slow
def test_subclassed_models_tell_their_classes_with_the_first_batch():
    subclassed = Subclassed()
    subclassed(X)
    model = training.AdversarialModel(subclassed, **READERS["of the batch"])
    model.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(True))
    model.fit(X, np.eye(3)[CLASSES], verbose=0)
    with pytest.raises(ValueError, match=r"Labels are not .*from 0 to 2"):
        model.fit(X, MULTI_HOT, verbose=0)
    model.compile(keras.optimizers.SGD(0.1), LOGITS)
    model.fit(X, CLASSES, verbose=0)


@pytest.mark.parametrize(
    ("labels", "width", "unreadable", "soft"),
    [
        ([0, 2, 3, -1], 3, [0, 0, 1, 1], [0, 0, 0, 0]),
        ([[0.0], [1.5]], 3, [0, 1], [0, 1]),
        ([0.0, 1.0, 0.4, 1.2, -1.0], 1, [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]),
        ([[0, 1], [1, 1], [0, 0]], 2, [0, 1, 1], [0, 0, 0]),
        ([[0.3, 0.69], [0.3, 0.6], [1.3, -0.3]], 2, [0, 1, 1], [1, 1, 1]),
    ],
)
def test_rows_are_told_apart(labels, width, unreadable, soft):
    labels = tf.constant(labels)
    batch = Batch(labels, labels, None, width)
    np.testing.assert_array_equal(batch.unreadable, np.array(unreadable, bool))
    np.testing.assert_array_equal(batch.soft, np.array(soft, bool))
    assert set(batch.classes.numpy()) <= set(range(max(width, 2)))
