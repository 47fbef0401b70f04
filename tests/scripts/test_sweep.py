"""itf-sweep, from flags to files."""

import csv
import importlib

import keras
import numpy as np
import pytest
from intriguing_tf.scripts.sweep import run


@pytest.fixture
def flags(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.save(tmp_path / "own.keras")
    images = np.random.default_rng(0).random((7, 6), "float32")
    np.savez(tmp_path / "own.npz", images=images, labels=np.zeros(7, int))
    return [
        f"--models={tmp_path / 'own.keras'}", f"--data={tmp_path / 'own.npz'}",
        f"--output={tmp_path / 'out'}", "--solver=scipy", "--shard_size=4",
        f"--table={tmp_path / 'rows.csv'}",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_row_for_each_image_and_nothing_twice(flags, tmp_path, capsys):
    assert run.main(flags) == 0
    assert "own" in capsys.readouterr().out
    with open(tmp_path / "rows.csv", newline="") as file:
        assert len([*csv.DictReader(file)]) == 7
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.npz")}
    assert written
    assert run.main(flags) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.npz")} == written


@pytest.mark.slow
def test_any_file_and_what_a_saved_model_returns(flags, tmp_path, capsys):
    softmax = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3), keras.layers.Activation("softmax")]
    )
    softmax.export(tmp_path / "_my model (1)", verbose=False)
    flags = [*flags, f"--models={tmp_path / '_my model (1)'}"]
    assert run.main(flags) == 1
    assert "--outputs=probabilities" in capsys.readouterr().err
    assert run.main([*flags, "--outputs=probabilities"]) == 0
    assert "my_model__1_" in capsys.readouterr().out
    assert run.main([*flags, "--outputs=probabilities"]) == 0


def test_models_must_differ(flags, tmp_path, capsys):
    same = f"--models={tmp_path / 'own.keras'},{tmp_path / 'own.keras'}"
    assert run.main([*flags, same]) == 1
    assert "--models must differ" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sweep", "transfer"])
def test_outputs_are_those_of_ones_own_models_alone(command, tmp_path, capsys):
    """What is wrong is one's own model, which gives logits, and not the zoo's before it."""
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.save(tmp_path / "own.keras")
    flags = [
        f"--models=mnist/fc10-1,{tmp_path / 'own.keras'}", "--outputs=probabilities", "--number=2",
        f"--output={tmp_path / 'out'}",
    ]  # fmt: skip
    assert importlib.import_module(f"intriguing_tf.scripts.{command}").run.main(flags) == 1
    assert "own" in (said := capsys.readouterr().err) and "': With outputs=" in said
