"""itf-units, itf-transfer and itf-reproduce, from flags to files, on the bundled images."""

import importlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from absl import flags

import intriguing_tf as itf

COMMANDS = ("units", "transfer", "reproduce")


@pytest.fixture
def command():
    """Runs a command in this process; its flags are forgotten afterwards."""
    importlib.import_module("absl.app")  # has flags of its own
    before = set(flags.FLAGS)

    def run(name, *arguments):
        module = importlib.import_module(f"intriguing_tf.scripts.{name}")
        if "output" not in flags.FLAGS:
            module.define_flags()
        rest = flags.FLAGS([name, *arguments])
        return module.main(rest)

    yield run
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.mark.slow
def test_units_prints_its_tests_and_draws_both_kinds(command, tmp_path, capsys):
    folder = tmp_path / "units"
    arguments = ("--data=sample", "--random=30", "--units=20", "--shown=3", f"--output={folder}")
    assert command("units", *arguments) == 0
    assert "natural / random" in capsys.readouterr().out
    contrasts = json.loads((folder / "contrasts.json").read_text())
    assert len(contrasts) == 5 * 3
    assert all(-1 <= c["test"]["delta"] <= 1 for c in contrasts)
    assert {p.name for p in (folder / "figures").iterdir()} == {"natural.svg", "random.svg"}
    assert command("units", *arguments) == 1  # the folder is not empty
    assert "--overwrite" in capsys.readouterr().err
    assert command("units", *arguments, "--overwrite", "--layer=fc9") == 1
    assert "Valid: conv1" in capsys.readouterr().err


@pytest.mark.slow
def test_transfer_prints_the_matrix_and_keeps_the_images(command, tmp_path, capsys):
    folder = tmp_path / "transfer"
    models = "mnist/fc10-1e-2,mnist/fc10-1"
    assert (
        command(
            "transfer",
            f"--models={models}",
            "--data=sample",
            "--number=6",
            "--noise=0.3",
            f"--output={folder}",
        )
        == 0
    )
    assert "av. distortion" in capsys.readouterr().out
    values = json.loads((folder / "errors.json").read_text())
    assert values["columns"] == models.split(",")
    assert [r.split(",")[0] for r in values["rows"]] == [
        "undistorted",
        *("for mnist/fc10-1e-2",) * 2,
        *("for mnist/fc10-1",) * 2,
        "Gaussian noise 0.3",
    ]
    errors = np.array(values["errors"])
    assert errors[1, 0] == errors[3, 1] == 1
    kept = itf.AdversarialResult.load(folder / "adversarial" / "mnist_fc10-1.npz")
    wrong = np.asarray(itf.zoo.load("mnist/fc10-1e-2")(kept.images)).argmax(1)
    labels = itf.datasets.mnist_sample()[1][:6]
    assert errors[3, 0] == pytest.approx((wrong != labels).mean())


@pytest.mark.slow
def test_transfer_is_the_same_in_other_bounds(command, tmp_path):
    network = itf.zoo.load("mnist/fc10-1")
    rescaled = keras.Sequential(
        [keras.Input(network.input_shape[1:]), keras.layers.Rescaling(0.5, 0.5), network]
    )
    rescaled.save(tmp_path / "rescaled.keras")
    values = []
    for model, bounds in (("mnist/fc10-1", "0,1"), (tmp_path / "rescaled.keras", "-1,1")):
        folder = tmp_path / bounds
        arguments = (f"--models={model}", f"--bounds={bounds}", f"--output={folder}", "--number=8")
        assert command("transfer", *arguments) == 0
        values.append(json.loads((folder / "errors.json").read_text()))
    assert values[0]["errors"] == values[1]["errors"]
    np.testing.assert_allclose(values[0]["distortions"], values[1]["distortions"], rtol=1e-3)


def test_bad_flags_are_said_plainly(command, tmp_path, capsys):
    assert command("transfer", "--models=mnist/fc11", f"--output={tmp_path}") == 1
    assert "mnist/fc10" in capsys.readouterr().err
    assert command("transfer", "surplus") == 2
    assert "Received: surplus" in capsys.readouterr().err


def test_help_needs_no_tensorflow():
    code = (
        "import sys\n"
        + "".join(f"import intriguing_tf.scripts.{name} as {name}\n" for name in COMMANDS)
        + "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
