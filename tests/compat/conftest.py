"""Files that earlier versions saved."""

import shutil
from pathlib import Path
from zipfile import ZIP_STORED

import keras
import pytest

from intriguing_tf.zoo import keras_files

FIXTURES = Path(__file__).parent / "fixtures"
SAVED_BY = (3, 15)  # the Keras that saved them


@pytest.fixture(scope="session")
def load_saved(tmp_path_factory):
    """Returns a function that loads a saved model; for an older Keras without what it refuses."""

    def load(name):
        file = FIXTURES / name
        if tuple(map(int, keras.__version__.split(".")[:2])) < SAVED_BY:
            file = Path(shutil.copy(file, tmp_path_factory.mktemp("saved")))
            members = keras_files._portable_members(file)
            file.write_bytes(keras_files._archive(members, ZIP_STORED))
        return keras.saving.load_model(file)

    return load
