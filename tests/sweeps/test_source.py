"""Any data set as slices."""

import numpy as np
import pytest
import tensorflow as tf

from tests.sweeps.small_sweep import run


@pytest.mark.slow
def test_a_data_set_gives_the_same_shards_as_arrays(done, model, data, tmp_path):
    stream = tf.data.Dataset.from_tensor_slices(data)
    other = run(model, (stream,), tmp_path)
    for a, b in zip(done.shards(targets="random"), other.shards(), strict=True):
        np.testing.assert_array_equal(a.result.images, b.result.images)
        np.testing.assert_array_equal(a.labels, b.labels)


def test_a_shuffled_data_set_is_refused(model, data, tmp_path):
    stream = tf.data.Dataset.from_tensor_slices(data).shuffle(10)
    with pytest.raises(ValueError, match="shuffling"):
        run(model, (stream,), tmp_path)
