"""itf-ostrich: what the command writes, and what it says to wrong input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from intriguing_tf.scripts import inputs
from intriguing_tf.scripts.ostrich import run

import intriguing_tf as itf


@pytest.fixture
def flags(tmp_path):
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
    return [
        f"--data={tmp_path / 'pictures'}", f"--model={tmp_path / 'model.keras'}",
        f"--output={tmp_path / 'out'}",
    ]  # fmt: skip


@pytest.mark.slow
def test_command_writes_pictures_and_names_what_it_skipped(flags, tmp_path, capsys):
    assert run.main(flags) == 0
    printed = capsys.readouterr()
    assert "2 of 2 became 'ostrich, Struthio camelus'" in printed.out
    assert "broken.png" in printed.err
    figure = tf.io.decode_png((tmp_path / "out" / "figure5.png").read_bytes())
    assert min(figure.shape[:2]) > 200  # two rows of three, with classes and a caption
    assert (tmp_path / "out" / "001_b_adversarial.png").exists()
    assert run.main(flags) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_photographs_are_in_the_range_that_a_network_of_the_zoo_takes(flags, monkeypatch):
    seen = []

    def run_figure(_, model, images, names):
        seen.extend([model, images])
        raise ValueError("seen")

    monkeypatch.setattr(itf.experiments.Figure5, "run", run_figure)
    monkeypatch.setattr(inputs, "known_bounds", lambda *_: (-1.0, 1.0))
    assert run.main(flags) == 1
    model, images = seen
    own = itf.load_model(flags[1].removeprefix("--model="))
    np.testing.assert_allclose(model(images), own(2 * images - 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--target=ostritch", "Near: 9"),
        ("--data=", "--data=cat.jpg"),
        ("--data=no-such-folder", "no-such-folder"),
        ("--model=imagenet/no-such-net", "no-such-net"),
        ("--model=applications/NoSuchNet", "MobileNetV2"),
        ("--model=mnist/fc10-1", "must take images"),
    ],
    ids=["target", "no images", "no folder", "zoo", "applications", "no ImageNet network"],
)
def test_wrong_input_is_one_line(flag, words, flags, tmp_path, capsys):
    assert run.main([*flags, flag]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and words in error
    assert not (tmp_path / "out").exists()
