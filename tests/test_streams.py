"""Data sets of every form, read as rows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.streams import Stream
from intriguing_tf.sweeps.source import Source

IMAGES = np.random.default_rng(0).random((12, 4), np.float32)
LABELS = np.arange(12) % 3
SINGLE = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
ONE_HOT = tf.data.Dataset.from_tensor_slices((IMAGES, np.eye(3, dtype=np.float32)[LABELS]))
RAGGED = tf.ragged.constant([[1]] * 6 + [[1, 2]] * 6)


def generated(step, dataset=tf.data.Dataset):
    """Batches, or single images, of which TensorFlow knows no rank."""

    def give():
        for i in range(0, 12, step or 1):
            rows = slice(i, i + step) if step else i
            yield IMAGES[rows], LABELS[rows]

    return dataset.from_generator(give, output_types=(tf.float32, tf.int64))


FORMS = {
    "single": SINGLE,
    "batched": SINGLE.batch(5),
    "batches of batches": SINGLE.batch(3).batch(2),
    "three times": SINGLE.batch(2).batch(2).batch(2),
    "unknown rank": generated(None),
    "batches of unknown rank": generated(5),
    "batched after": generated(None).batch(5),
    "one-hot": ONE_HOT.batch(5),
    "in columns": SINGLE.map(lambda x, y: (x, y[None])).batch(5),
}
WRONG = {
    "ragged labels": tf.data.Dataset.from_tensor_slices((IMAGES, RAGGED)),
    "ragged labels, batched": tf.data.Dataset.from_tensor_slices((IMAGES, RAGGED)).batch(4),
    "dictionary": tf.data.Dataset.from_tensor_slices({"image": IMAGES, "label": LABELS}),
    "triples": tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, LABELS)),
    "a label for a batch": SINGLE.batch(3).map(lambda x, y: (x, y[0])),
    "shorter labels": SINGLE.batch(4).map(lambda x, y: (x, y[1:])),
    "endless": SINGLE.repeat(),
    "numbers": tf.data.Dataset.from_tensor_slices(LABELS),
    "failing": SINGLE.map(lambda x, y: (tf.debugging.check_numerics(x / 0, "infinite"), y)),
}


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="scores")])


@pytest.mark.parametrize("size", [1, 5, 12, 100])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(4,), (None,)])
def test_rows_are_the_arrays_whatever_the_batches(form, size, shape):
    stream = Stream(FORMS[form], shape, size)
    for _ in range(2):
        pieces = list(stream)
        assert [len(x) for x, _ in pieces[:-1]] == [size] * ((12 - 1) // size)
        np.testing.assert_array_equal(np.concatenate([x for x, _ in pieces]), IMAGES)
        labels = np.concatenate([y for _, y in pieces])
        labels = labels.argmax(1) if form == "one-hot" else labels.reshape(-1)
        np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("form", FORMS)
def test_labels_tell_batches_of_a_model_that_does_not(form):
    (rows,) = Stream(FORMS[form], None, 100)
    np.testing.assert_array_equal(rows[0], IMAGES)


@pytest.mark.parametrize("batch", [None, 5])
@pytest.mark.parametrize("shape", [(4,), None])
def test_images_alone(batch, shape):
    dataset = tf.data.Dataset.from_tensor_slices(IMAGES)
    ((images, labels),) = Stream(dataset.batch(batch) if batch else dataset, shape, 100)
    np.testing.assert_array_equal(images, IMAGES)
    assert labels is None


@pytest.mark.parametrize("form", WRONG)
def test_other_data_sets_are_refused_in_words_of_ours(form):
    with pytest.raises(ValueError, match="A data set must") as caught:
        list(Stream(WRONG[form], (4,), 5))
    assert "numpy" not in str(caught.value).lower() and "{{" not in str(caught.value)


def test_single_images_are_read_as_they_are_given():
    read = []

    def give():
        for number in range(200):
            read.append(number)
            yield IMAGES[0]

    dataset = tf.data.Dataset.from_generator(give, output_signature=tf.TensorSpec([4]))
    next(iter(Stream(dataset, (4,), 2)))
    assert len(read) < 100  # TensorFlow reads ahead


def test_of_a_large_batch_each_row_is_copied_once(monkeypatch):
    copied, concatenate = [], np.concatenate

    def counted(arrays):
        copied.append(sum(map(len, arrays)))
        return concatenate(arrays)

    monkeypatch.setattr(np, "concatenate", counted)
    assert len([*Stream(tf.data.Dataset.from_tensor_slices(IMAGES).batch(12), (4,), 1)]) == 12
    assert sum(copied) == 12


@pytest.mark.parametrize("size", [2, 5])
def test_labels_of_other_shapes_are_refused(size):
    def give():
        yield IMAGES[:2], LABELS[:2]
        yield IMAGES[:2], np.eye(3, dtype=int)[LABELS[:2]]

    dataset = tf.data.Dataset.from_generator(give, output_types=(tf.float32, tf.int64))
    with pytest.raises(ValueError, match=r"All labels.*shapes \(\) and \(3,\)"):
        list(Stream(dataset, (4,), size))


def test_images_of_other_shapes_are_refused():
    def give():
        yield np.zeros((2, 4), np.float32)
        yield np.zeros((2, 3), np.float32)

    dataset = tf.data.Dataset.from_generator(give, output_types=tf.float32)
    with pytest.raises(ValueError, match=r"one shape. Received: \(4,\) and \(3,\)"):
        list(Stream(dataset, (None,), 5))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["batches of batches", "unknown rank", "one-hot"])
def test_every_tool_reads_them(model, form):
    for piece in Source(FORMS[form], None, 5, (4,)).slices():
        rows = slice(5 * piece.number, 5 * piece.number + 5)
        np.testing.assert_array_equal(piece.images, IMAGES[rows])
        np.testing.assert_array_equal(piece.labels, LABELS[rows])
    top = itf.units.top_images(model, "scores", FORMS[form], k=3)
    np.testing.assert_array_equal(
        top.indices, itf.units.top_images(model, "scores", IMAGES, k=3).indices
    )
    adversary = itf.LBFGSAdversary(model, maxfun=2, jit_compile=False)
    found = adversary(FORMS[form], targets="nearest", verbose=False)
    np.testing.assert_array_equal(found.originals, IMAGES)
    np.testing.assert_array_equal(found.status == "already", found.original_predictions != LABELS)


def test_what_takes_arrays_alone_says_how_to_read_them(model):
    for call in (
        lambda: itf.lipschitz.certified_radius(model, SINGLE),
        lambda: itf.transfer.gaussian_noise(SINGLE),
        lambda: itf.transfer.error_matrix([model], {"a": SINGLE}, LABELS),
    ):
        with pytest.raises(TypeError, match=r"np.concatenate.*Received: .*Dataset"):
            call()
