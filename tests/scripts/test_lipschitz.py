"""itf-lipschitz, from flags to files."""

import json

import keras
import numpy as np
import pytest
from intriguing_tf.scripts.lipschitz import run

import intriguing_tf as itf


@pytest.fixture(scope="module")
def total():
    return itf.lipschitz.bound(itf.zoo.load("mnist/fc10-1")).total


def test_json_is_the_report(total, capsys):
    assert run.main(["--model=mnist/fc10-1", "--format=json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["total"] == pytest.approx(total) and "certified" not in values


@pytest.mark.slow
def test_bounds_and_sandwich_are_saved(total, tmp_path, capsys):
    folder = tmp_path / "bounds"
    flags = ["--model=mnist/fc10-1", "--number=5", f"--output={folder}", "--format=markdown"]
    assert run.main(flags) == 0
    printed = capsys.readouterr().out
    tables = [(folder / f"{name}.md").read_text() for name in ("bounds", "sandwich")]
    assert printed.startswith("\n\n".join(tables))
    assert (folder / "layers.svg").exists() and (folder / "sandwich.svg").exists()
    values = json.loads((folder / "bounds.json").read_text())
    assert values["total"] == pytest.approx(total)
    certified, found = np.array(values["certified"]), np.array(values["found"], float)
    assert (certified > 0).all() and (certified <= found).all() and len(found) == 5
    assert run.main(flags) == 1
    assert "is not empty" in capsys.readouterr().err


def test_networks_of_applications_have_random_weights(monkeypatch, capsys):
    def build(name, weights):
        assert (name, weights) == ("VGG16", None)
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    monkeypatch.setattr(itf.models, "keras_application", build)
    assert run.main(["--model=applications/VGG16"]) == 0
    printed = capsys.readouterr()
    assert "Dense" in printed.out and "applications/VGG16:imagenet" in printed.err


def test_one_of_model_and_kernels(capsys):
    assert run.main([]) == 1
    assert "Exactly one of (model, alexnet_kernels)" in capsys.readouterr().err
    assert run.main(["--alexnet_kernels=no.npz"]) == 1
    assert "no such file: no.npz" in capsys.readouterr().err
