"""Networks that experiments train, and keep in a store."""

import types

import keras
import pytest

from intriguing_tf import datasets, publishing
from intriguing_tf.experiments import networks
from intriguing_tf.store import Store


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_said_of_the_network(tmp_path, monkeypatch):
    made = types.SimpleNamespace(model=keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    monkeypatch.setattr(networks, "train_on", lambda *_, **__: made)
    recipe = publishing.load_recipe("mnist/fc10-1")
    with (
        Store(tmp_path) as store,
        pytest.raises(OSError, match=r"No space left on device: .*model\.keras"),
    ):
        networks.trained(store, recipe, datasets.mnist_sample(), verbose=False)
