"""Commands and files that once gave an error, or what nobody can use."""

import runpy
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from intriguing_tf.scripts import inputs
from intriguing_tf.scripts.attack import run as attack
from intriguing_tf.scripts.evaluate import run as evaluate
from intriguing_tf.scripts.ostrich import run as ostrich

import intriguing_tf as itf
from intriguing_tf import zoo
from intriguing_tf.datasets import names
from intriguing_tf.datasets.loading import load_data
from tests.scripts.test_command import COMMANDS, run_of

OF_MODELS = ["attack", "evaluate", "lipschitz", "ostrich", "sweep", "transfer", "units"]


@pytest.mark.parametrize("command", OF_MODELS)
def test_every_command_takes_the_same_names(command, capsys):
    """ "The zoo has no entry" was what some said of files and applications."""
    flag = "models" if command in ("sweep", "transfer") else "model"
    for name, words in {
        "nowhere/my.keras": "no such file: nowhere/my.keras",
        "nowhere/my.h5": "no such file: nowhere/my.h5",
        "nowhere/mine.py:build": "no such file: nowhere/mine.py",
        "applications/MobilNetV2": "Did you mean 'MobileNetV2'",
    }.items():
        assert run_of(command).main([f"--{flag}={name}"]) == 1
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", OF_MODELS)
def test_applications_pass_the_check(command):
    values = run_of(command).define_flags()
    flag = "models" if command in ("sweep", "transfer") else "model"
    extra = ["--data=" + __file__] if command == "ostrich" else []
    values(["", f"--{flag}=applications/MobileNetV2:random", *extra])
    inputs.check_model_name("applications/MobileNetV2")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_status_0(command, capsys):
    assert run_of(command).main(["--help"]) == 0
    assert "--" in capsys.readouterr().out


def test_a_file_without_a_number_gives_all_its_images(tmp_path):
    """It was "number must be from 1 to 20. Received: 64"."""
    np.savez(tmp_path / "f.npz", images=np.ones((20, 2), "float32"), labels=np.arange(20))
    assert len(load_data(str(tmp_path / "f.npz"), of_known=64)) == 20


def test_the_nearest_name_comes_first():
    with pytest.raises(ValueError, match="Did you mean 'mnist/fc100-100-10', "):
        zoo.load("mnist/fc100")


def test_the_data_directory_of_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/link")
    assert names.data_dir() == str(tmp_path / "link")


def test_what_is_no_flag_is_answered_with_one(capsys, tmp_path):
    assert attack.main(["my.keras"]) == 2
    assert "type --model=my.keras" in capsys.readouterr().err
    assert attack.main([str(tmp_path)]) == 2
    assert f"type --data={tmp_path}" in capsys.readouterr().err


@pytest.mark.slow
def test_ostriches_are_ostriches_in_8_bits(tmp_path):
    """With the README's flags no PNG was one."""
    random = np.random.default_rng(0)
    for i in range(2):
        pixels = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        (tmp_path / f"{i}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(1000)]
    )
    model.save(tmp_path / "my.keras")
    arguments = [f"--data={tmp_path / '0.png'},{tmp_path / '1.png'}", "--solver=scipy"]
    out = tmp_path / "out"
    assert ostrich.main([*arguments, f"--model={tmp_path / 'my.keras'}", f"--output={out}"]) == 0
    ostrich_class = itf.datasets.imagenet_class_index("ostrich")
    for file in out.glob("*_adversarial.png"):
        pixels = tf.io.decode_png(file.read_bytes()).numpy()
        scores = model(pixels[None].astype("float32") / 255)[0]
        assert int(np.argmax(scores)) == ostrich_class, file
    assert len(list(out.glob("*_adversarial.png"))) == 2
    assert (out / "figure5.png").stat().st_size > 1000


def test_python_dash_m_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["intriguing_tf"])
        runpy.run_module("intriguing_tf", run_name="__main__")
    assert ended.value.code == 0 and "itf-evaluate" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["my.keras", "pictures"], "flags only: type --model=my.keras --data=pictures. Received"),
        (["--model=My.keras"], "no such file: My.keras. Did you mean my.keras?"),
        (["--data=pictrues"], "--data=pictrues: no such file or folder: pictrues. Did you mean"),
        (["--data=pictures"], "error: flag --data=pictures: there must be images"),
        (["--output=my.keras/page"], "my.keras is a file, where a folder is needed"),
        (
            ["--model=my.keras"],
            "Keras cannot load my.keras: a .keras file is a zip archive, and this is none",
        ),
        (["--model=applications/MobileNetV3Smal:random"], "Did you mean 'MobileNetV3Small'"),
    ],
    ids=["no flags", "model", "data", "lists as typed", "output", "damaged", "application"],
)
def test_a_slip_of_the_pen_is_understood(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "my.keras").write_bytes(b"half a file")
    assert evaluate.main(arguments) in (1, 2)
    assert words in capsys.readouterr().err
