"""What `fit` does between the steps of an `AdversarialModel`."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np


class Upkeep(keras.callbacks.Callback):
    """Renews the pools, watches the loss, and adds what the pools cost to the epoch's logs.

    Norms that certified margins measure are refreshed before validation.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._seconds = 0.0
        self._made: list[tuple[int, float]] = []

    def on_test_begin(self, logs: Any = None) -> None:
        self.model.refresh_norms()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.check_progress()
        start = time.perf_counter()
        self._made += self.model.renew_pools()
        self._seconds += time.perf_counter() - start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is None or not self.model.renews_pools:
            return
        new = sum(count for count, _ in self._made)
        moved = [distortion for count, distortion in self._made if count]
        logs["pool_seconds"] = self._seconds
        logs["pool_new"] = new
        logs["pool_distortion"] = float(np.mean(moved)) if moved else 0.0


def with_upkeep(callbacks: Any, model: keras.Model) -> Any:
    """Returns the callbacks of a `fit` in one of the forms that Keras takes, upkeep before all."""
    upkeep = Upkeep()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        upkeep.set_model(model)
        others = [each for each in callbacks.callbacks if not isinstance(each, Upkeep)]
        callbacks.callbacks[:] = [upkeep, *others]  # that of an earlier `fit` goes
        return callbacks
    if callbacks is None or isinstance(callbacks, keras.callbacks.Callback):
        return [upkeep, *([callbacks] if callbacks else [])]
    return [upkeep, *callbacks]
