"""itf-units, from flags to files."""

import json

import keras
import numpy as np
import pytest
import scipy.special
from intriguing_tf.scripts.units import run


@pytest.fixture
def saved(tmp_path):
    """Saves a model of inputs of some shape, and data for it; returns the flags for them."""

    def save(*shape, scale=None):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Flatten(), keras.layers.Dense(9, name="fc1"), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input(shape), *layers])
        model.save(tmp_path / "m.keras")
        values = np.random.default_rng(0).normal(size=(60, *shape)).astype("float32")
        values = values if scale is None else scale(values)
        np.savez(tmp_path / "d.npz", images=values, labels=np.arange(60) % 3)
        names = (f"--model={tmp_path / 'm.keras'}", f"--data={tmp_path / 'd.npz'}")
        return [*names, f"--output={tmp_path / 'units'}", "--random=9", "--k=4", "--shown=2"]

    return save


@pytest.mark.parametrize(
    ("shape", "pictures"), [((5,), 0), ((6, 2), 0), ((6, 5), 2), ((6, 5, 1), 2), ((2, 3, 2), 0)]
)
def test_tables_and_series_are_listed_where_images_are_drawn(saved, shape, pictures, tmp_path):
    assert run.main([*saved(*shape), "--bounds=-9,9"]) == 0
    assert len([*(tmp_path / "units").rglob("*.svg")]) == pictures
    page = (tmp_path / "units" / "report.html").read_text()
    assert page.count("go furthest" if pictures else "goes furthest") >= 2


def test_layers_behind_preprocessing(saved):
    assert run.main([*saved(6, 5, 1, scale=scipy.special.expit), "--preprocess=pixels"]) == 0


def test_images_out_of_bounds_are_told_before_the_comparison(saved, capsys):
    assert run.main([*saved(6, 5, 1)]) == 1
    shown = capsys.readouterr()
    assert "lie between" in shown.err and not shown.out


@pytest.mark.slow
def test_units_prints_its_tests_and_draws_both_kinds(tmp_path, capsys):
    folder = tmp_path / "units"
    arguments = ("--data=sample", "--random=30", "--units=20", "--shown=3", f"--output={folder}")
    assert run.main([*arguments]) == 0
    assert "natural / random" in capsys.readouterr().out
    contrasts = json.loads((folder / "contrasts.json").read_text())
    assert len(contrasts) == 5 * 3
    assert all(-1 <= c["test"]["delta"] <= 1 for c in contrasts)
    assert {p.name for p in (folder / "figures").iterdir()} == {"natural.svg", "random.svg"}
    assert run.main([*arguments]) == 1  # the folder is not empty
    assert "--overwrite" in capsys.readouterr().err
    assert run.main([*arguments, "--overwrite", "--layer=fc9"]) == 1
    assert "Valid: conv1" in capsys.readouterr().err


def test_progress_is_shown_to_a_terminal_alone(saved, capsys):
    assert run.main(saved(6, scale=scipy.special.expit)) == 0
    assert not capsys.readouterr().err
