"""Any data set as slices."""

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.sweeps.source import Source
from tests.sweeps.small_sweep import run


@pytest.mark.slow
def test_a_data_set_gives_the_same_shards_as_arrays(done, model, data, tmp_path):
    stream = tf.data.Dataset.from_tensor_slices(data)
    other = run(model, (stream,), tmp_path)
    for a, b in zip(done.shards(targets="random"), other.shards(), strict=True):
        np.testing.assert_array_equal(a.result.images, b.result.images)
        np.testing.assert_array_equal(a.labels, b.labels)


class MaskedRows:
    """Gives masked arrays when it is sliced, as files of climate data do."""

    shape = (10, 4)

    def __len__(self):
        return 10

    def __getitem__(self, rows):
        return np.ma.masked_equal(np.arange(40.0).reshape(10, 4)[rows], 17.0)


def test_masked_elements_of_what_is_sliced_are_refused():
    slices = Source(MaskedRows(), None, 4).slices()
    assert len(next(slices).images) == 4
    with pytest.raises(TypeError, match="`images` must be an array without masked elements"):
        next(slices)


def test_masked_targets_are_refused(model, data, tmp_path):
    targets = np.ma.masked_array(data[1], np.arange(10) == 3)
    with pytest.raises(TypeError, match="`targets` must be an array without masked elements"):
        run(model, data, tmp_path, targets=targets)


def test_a_shuffled_data_set_is_refused(model, data, tmp_path):
    stream = tf.data.Dataset.from_tensor_slices(data).shuffle(10)
    with pytest.raises(ValueError, match="shuffling"):
        run(model, (stream,), tmp_path)


@pytest.mark.parametrize("left", [0, 8], ids=["none", "fewer"])
def test_a_data_set_that_gives_fewer_images_when_it_is_read_again_is_refused(
    model, data, tmp_path, left
):
    numbers = iter([len(data[0]), left])

    def give():
        rows = slice(next(numbers))
        yield from zip(*(each[rows] for each in data), strict=True)

    signature = tf.TensorSpec([4]), tf.TensorSpec([], tf.int64)
    stream = tf.data.Dataset.from_generator(give, output_signature=signature)
    with pytest.raises(
        ValueError, match=rf"Images range\({left}, {min(left + 4, 10)}\) were others"
    ):
        run(model, (stream,), tmp_path, shard_size=4)


def test_the_type_of_labels_and_given_classes_makes_no_other_sweep(model, data, tmp_path):
    images, labels = data
    targets = (labels + 1) % 3
    before = run(model, data, tmp_path, targets=targets).plan
    for kind in ("int8", "uint32"):
        given = run(model, (images, labels.astype(kind)), tmp_path, targets=targets.astype(kind))
        assert given.plan == before
    assert run(model, (images, labels.tolist()), tmp_path, targets=targets.tolist()).missing == 0


@pytest.mark.slow
def test_labels_in_a_column_are_labels(model, data, tmp_path):
    images, labels = data
    done = run(model, (images, labels[:, None]), tmp_path)
    np.testing.assert_array_equal(next(done.shards()).labels, labels[:4])
    one_hot = run(model, (images, np.eye(3)[labels]), tmp_path / "new")
    np.testing.assert_array_equal(next(one_hot.shards()).labels, labels[:4])


def test_one_hot_labels_are_classes():
    """Rows of zeros and one 1 are taken; others are not."""
    images, labels = np.zeros((3, 2), np.float32), np.array([2, 0, 1])
    (piece,) = Source(images, np.eye(3)[labels], 5).slices()
    np.testing.assert_array_equal(piece.labels, labels)
    with pytest.raises((TypeError, ValueError), match="labels"):
        Source(images, np.full((3, 3), 0.5), 5)


def test_a_data_set_without_an_end_is_refused():
    endless = tf.data.Dataset.from_tensor_slices(np.zeros((3, 2), np.float32)).repeat()
    with pytest.raises(ValueError, match="must end"):
        Source(endless, None, 2)
