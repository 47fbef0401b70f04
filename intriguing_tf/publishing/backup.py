"""Training that is kept from epoch to epoch, so that a call after a kill resumes it."""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.archives import own_arrays
from intriguing_tf.files import expanded, write_atomically
from intriguing_tf.fingerprints import json_fingerprint, versions


class Backup(keras.callbacks.Callback):
    """Keeps what a training has reached after each epoch: one file, written atomically.

    Args:
        folder: gets the file `training.npz`; made when it is missing. Whoever has saved what the
            training gave removes it (`remove`).
        made_from: JSON of all that determines the training; versions are added.

    Attributes:
        loss: of each epoch that is done.
    """

    def __init__(self, folder: str | os.PathLike, made_from: Mapping[str, Any]):
        super().__init__()
        self._file = expanded(folder) / "training.npz"
        self._made_from = json_fingerprint({**made_from, "versions": versions()})
        self.loss: list[float] = []

    def restore(self, model: keras.Model) -> None:
        """Takes a compiled model to the end of the last epoch that was kept, if one was.

        What cannot be read, or is of another training, is dropped with a warning.

        Raises:
            ValueError: the file has arrays of something else, which are not dropped.
        """
        if not self._file.exists():
            return
        if _is_foreign(self._file):
            raise ValueError(
                f"{self._file} has arrays that are no training's: move it, or give another folder."
            )
        try:
            kept = own_arrays(self._file)
            if str(kept.get("made_from")) != self._made_from:
                raise ValueError(f"{self._file} is of another recipe, other data or versions.")
        except (OSError, ValueError) as error:
            warnings.warn(f"{error} It is dropped, and training begins again.", stacklevel=2)
            return
        for number, variable in enumerate(_state(model)):
            variable.assign(kept[str(number)])
        self.loss = kept["loss"].tolist()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.loss.append(float(logs["loss"]))
        state = [keras.ops.convert_to_numpy(variable) for variable in _state(self.model)]
        arrays = {str(number): values for number, values in enumerate(state)}
        content = io.BytesIO()
        np.savez(content, made_from=self._made_from, loss=self.loss, **arrays)
        write_atomically(self._file, content.getvalue())


def remove(folder: str | os.PathLike) -> None:
    """Removes a backup, if there is one."""
    shutil.rmtree(expanded(folder), ignore_errors=True)


def _is_foreign(file: Path) -> bool:
    """Whether a file has arrays, and they are not those of a backup."""
    try:
        return not own_arrays(file, ["made_from"])
    except (OSError, ValueError):  # damaged
        return False


def _state(model: keras.Model) -> list[keras.Variable]:
    """All that training changes from step to step: weights, seeds, and the optimizer's."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
