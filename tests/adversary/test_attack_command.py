"""`itf-attack` from the outside."""

import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from conftest import points, small_network

from intriguing_tf.adversary import AdversarialResult


def attack(*flags):
    command = [sys.executable, "-m", "scripts.attack", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_help_does_not_import_tensorflow():
    code = (
        "import sys; sys.argv = ['attack', '--help']\n"
        "from scripts import attack\n"
        "try:\n    attack.run()\nexcept SystemExit:\n    pass\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    started = time.process_time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.process_time() - started < 1
    for flag in ("--model", "--data", "--targets", "--output", "--loss"):
        assert flag in done.stdout


@pytest.mark.slow
def test_a_keras_file_and_an_npz_file(tmp_path):
    model = keras.Sequential(
        [keras.Input((4, 2, 1)), keras.layers.Flatten(), *small_network().layers]
    )
    model.save(tmp_path / "own.keras")
    x = 2 * points(9).reshape(9, 4, 2, 1) - 1
    labels = model.predict(x, verbose=0).argmax(1)
    np.savez(tmp_path / "own.npz", images=x, labels=labels)
    folder = tmp_path / "out"
    flags = [
        f"--model={tmp_path / 'own.keras'}", f"--data={tmp_path / 'own.npz'}", "--number=8",
        "--bounds=-1,1", f"--output={folder}", "--loss=margin", "--seed=5",
    ]  # fmt: skip
    done = attack(*flags)
    assert done.returncode == 0, done.stderr
    assert "100.0%" in done.stdout and "distortion, median" in done.stdout
    result = AdversarialResult.load(folder / "attack")
    assert len(result) == 8 and result.success.all() and result.settings["seed"] == 5
    np.testing.assert_array_equal(
        model.predict(result.images, verbose=0).argmax(1), result.predictions
    )
    assert (folder / "attack.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    before = (folder / "attack.npz").read_bytes()
    again = attack(*flags)
    assert again.returncode == 1 and "is not empty" in again.stderr
    assert (folder / "attack.npz").read_bytes() == before


ERRORS = [
    (["--model=mnist/fc100-100"], "mnist/fc100-100-10"),
    (["--bounds=0,x"], "--bounds must be two numbers"),
]


@pytest.mark.slow
@pytest.mark.parametrize("flags, message", ERRORS)
def test_bad_flags_are_explained_without_a_traceback(flags, message, tmp_path):
    done = attack(*flags, f"--output={tmp_path / 'out'}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ") and message in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
