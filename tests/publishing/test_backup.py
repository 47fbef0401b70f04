"""Trainings that are kept from epoch to epoch, on a network of three weights."""

import warnings

import keras
import numpy as np
import pytest

from intriguing_tf.publishing import backup
from intriguing_tf.publishing.backup import Backup

X, Y = np.arange(12, dtype=np.float32).reshape(6, 2) / 10, np.ones(6, np.float32)


def restored(folder, made_from=0):
    """Returns a compiled model with what a folder keeps, and its backup."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    kept = Backup(folder, {"work": made_from})
    kept.restore(model)
    kept.set_model(model)
    return model, kept


def fit(folder, epochs):
    """Returns weights and losses of a training in a folder."""
    model, kept = restored(folder)
    options = {"initial_epoch": len(kept.loss), "batch_size": 6, "shuffle": False, "verbose": 0}
    model.fit(X, Y, epochs=epochs, callbacks=[kept], **options)
    return np.concatenate([each.ravel() for each in model.get_weights()]), kept.loss


@pytest.mark.slow
def test_a_training_goes_on_where_it_was_with_its_optimizer(tmp_path):
    weights, loss = fit(tmp_path / "whole", 4)
    fit(tmp_path / "parts", 2)
    for _ in range(2):  # at last there is nothing left to do
        resumed = fit(tmp_path / "parts", 4)
        np.testing.assert_array_equal(resumed[0], weights)
        assert resumed[1] == loss
    assert [each.name for each in (tmp_path / "parts").iterdir()] == ["training.npz"]
    backup.remove(tmp_path / "parts")
    assert not (tmp_path / "parts").exists()
    backup.remove(tmp_path / "parts")


def test_what_cannot_be_read_or_is_of_another_training_is_dropped(tmp_path):
    restored(tmp_path)[1].on_epoch_end(0, {"loss": 2.0})
    file = tmp_path / "training.npz"
    good = file.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert restored(tmp_path)[1].loss == [2.0]
    with pytest.warns(UserWarning, match="of another recipe, other data or versions"):
        assert restored(tmp_path, made_from=1)[1].loss == []
    for content in (b"", good[: len(good) // 2]):
        file.write_bytes(content)
        with pytest.warns(UserWarning, match=r"training\.npz is .*dropped, and training begins"):
            assert restored(tmp_path)[1].loss == []


@pytest.mark.parametrize("mine", [np.zeros(2), np.array([{}])], ids=["plain", "pickled"])
def test_arrays_of_others_are_not_dropped(mine, tmp_path):
    np.savez(tmp_path / "training.npz", images=mine)
    with pytest.raises(ValueError, match=r"training\.npz has arrays that are no training's: move"):
        restored(tmp_path)
