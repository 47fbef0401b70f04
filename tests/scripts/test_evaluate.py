"""`itf-evaluate`, from flags to the page."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from intriguing_tf.scripts.evaluate import run

from intriguing_tf.store import locked


@pytest.mark.slow
def test_a_folder_of_pictures_becomes_a_page(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            pixels = random.integers(0, 256, (7, 9, 3)).astype(np.uint8)
            file = tmp_path / "data" / name / f"{i}.png"
            file.write_bytes(tf.io.encode_png(pixels).numpy())
    (tmp_path / "data" / "dogs" / "broken.png").write_bytes(b"no picture")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.save(tmp_path / "my.keras")
    arguments = [
        f"--model={tmp_path / 'my.keras'}", f"--data={tmp_path / 'data'}", "--preprocess=tf",
        f"--output={tmp_path / 'page'}", "--shard_size=4",
    ]  # fmt: skip
    assert run.main(arguments) == 0
    printed = capsys.readouterr()
    assert "Evaluation of my" in printed.out and "broken.png" in printed.err
    assert (tmp_path / "page" / "report.html").exists()
    values = json.loads((tmp_path / "page" / "evaluation.json").read_text())
    assert values["class_names"] == ["cats", "dogs"] and values["images"] == 6
    assert "broken.png" in values["skipped"][0][0]
    assert (tmp_path / "page" / "figures" / "layers.svg").exists()
    assert run.main([*arguments, "--certify=none"]) == 0  # resumes
    assert not (tmp_path / "page" / "figures" / "layers.svg").exists()


def test_a_folder_in_use_is_told_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("intriguing_tf.evaluate", None)
    with locked(tmp_path):
        assert run.main([f"--output={tmp_path}", "--number=1"]) == 1
    assert "Another process is at work in" in capsys.readouterr().err


def test_wrong_names_are_told_at_once(capsys):
    assert run.main(["--model=no.keras"]) == 1
    assert "no such file: no.keras" in capsys.readouterr().err
    assert run.main(["--data=no.npz"]) == 1
    assert "no such file: no.npz" in capsys.readouterr().err
