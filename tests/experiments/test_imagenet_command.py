"""itf-ostrich: what the command writes, and what it says to wrong input."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver
from intriguing_tf.scripts import ostrich

FLAGS = flags.FLAGS


@pytest.fixture(scope="module", autouse=True)
def defined_flags():
    """The command's flags for this module only: another command may have some of the same name."""
    before = set(FLAGS)
    ostrich.define_flags()
    FLAGS(["test"])
    yield
    for name in set(FLAGS) - before:
        delattr(FLAGS, name)


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    model = keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(1000)]
    )
    model.set_weights([random.normal(size=(432, 1000)), np.zeros(1000)])
    model.save(tmp_path / "model.keras")
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b"):
        pixels = random.integers(60, 200, (20, 30, 3)).astype("uint8")
        (tmp_path / "pictures" / f"{name}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    (tmp_path / "pictures" / "broken.png").write_bytes(b"not a picture")
    return tmp_path


def run(folder, **values):
    values = {
        "images": [str(folder / "pictures")],
        "model": str(folder / "model.keras"),
        "output": str(folder / "out"),
    } | values
    with flagsaver.flagsaver(**values):
        return ostrich.main(["itf-ostrich"])


@pytest.mark.slow
def test_command_writes_pictures_and_names_what_it_skipped(folder, capsys):
    assert run(folder) == 0
    printed = capsys.readouterr()
    assert "2 of 2 became 'ostrich, Struthio camelus'" in printed.out
    assert "broken.png" in printed.err
    sheet = tf.io.decode_png((folder / "out" / "figure5.png").read_bytes())
    assert sheet.shape == (24, 36, 3)
    assert (folder / "out" / "001_b_adversarial.png").exists()
    # A folder that holds results is left alone.
    assert run(folder) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    "values, words",
    [
        ({"target": "ostritch"}, "Near: 9"),
        ({"images": []}, "--images must name"),
        ({"images": ["no-such-folder"]}, "no-such-folder"),
        ({"model": "imagenet/no-such-net"}, "no-such-net"),
        ({"model": "applications/NoSuchNet"}, "MobileNetV2"),
    ],
)
def test_wrong_input_is_one_line(values, words, folder, capsys):
    assert run(folder, **values) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and words in error
    assert not (folder / "out").exists()


def test_help_does_not_load_tensorflow():
    code = (
        "import sys; sys.argv = ['itf-ostrich', '--help']\n"
        "from intriguing_tf.scripts import ostrich\n"
        "try:\n    ostrich.run()\nfinally:\n    assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "survive_rounding" in done.stdout and "AssertionError" not in done.stderr
