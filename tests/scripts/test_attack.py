"""itf-attack, from flags to files."""

import keras
import numpy as np
import pytest
from intriguing_tf.scripts.attack import run

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.store import locked


def own_loss(labels, predictions):
    return keras.ops.mean(predictions)


@pytest.fixture
def own(tmp_path):
    """A model, its compiled loss of one's own, and 20 images in [-1, 1] with its own labels."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 2, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation="tanh"),
            keras.layers.Dense(4),
        ]
    )
    model.compile("sgd", own_loss)
    model.save(tmp_path / "own.keras")
    images = np.random.default_rng(1).uniform(-1, 1, (20, 4, 2, 1)).astype("float32")
    labels = model.predict(images, verbose=0).argmax(1)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    return model, tmp_path


@pytest.mark.slow
def test_a_keras_file_and_all_images_of_an_npz_file(own, capsys):
    model, folder = own
    flags = [
        f"--model={folder / 'own.keras'}", f"--data={folder / 'own.npz'}", "--bounds=-1,1",
        f"--output={folder / 'out'}", "--loss=margin", "--seed=5", "--shown=3",
    ]  # fmt: skip
    assert run.main(flags) == 0
    printed = capsys.readouterr().out
    assert "100.0%" in printed and "distortion found, median" in printed
    result = AdversarialResult.load(folder / "out" / "attack")
    assert len(result) == 20 and result.success.all() and result.settings["seed"] == 5
    np.testing.assert_array_equal(
        model.predict(result.images, verbose=0).argmax(1), result.predictions
    )
    assert (folder / "out" / "attack.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    before = (folder / "out" / "attack.npz").read_bytes()
    assert run.main(flags) == 1
    assert "is not empty" in capsys.readouterr().err
    assert (folder / "out" / "attack.npz").read_bytes() == before


@pytest.mark.slow
def test_one_class_as_the_target(tmp_path):
    flags = ["--model=mnist/fc10-1", "--number=8", "--targets=3", f"--output={tmp_path}"]
    assert run.main(flags) == 0
    result = AdversarialResult.load(tmp_path / "attack")
    assert (result.targets == 3).all()
    assert (result.predictions[result.status == "found"] == 3).all()


@pytest.mark.slow
def test_a_second_result_is_not_mixed_with_the_first(own):
    _, folder = own
    flags = [
        f"--model={folder / 'own.keras'}", f"--data={folder / 'own.npz'}", "--bounds=-1,1",
        f"--output={folder / 'out'}", "--solver=scipy", "--overwrite", "--targets=nearest",
    ]  # fmt: skip
    assert run.main([*flags, "--save_images", "--number=6"]) == 0
    images = folder / "out" / "images"
    assert len([*images.iterdir()]) == 6
    (images / "mine.png").write_bytes(b"")
    assert run.main([*flags, "--save_images", "--number=2"]) == 0
    assert sorted(each.name.split("_")[0] for each in images.iterdir()) == [
        "0000",
        "0001",
        "mine.png",
    ]
    assert run.main([*flags, "--number=3"]) == 0
    assert [each.name for each in images.iterdir()] == ["mine.png"]


def test_a_folder_in_use_is_told_before_the_attack(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("intriguing_tf.LBFGSAdversary", None)
    with locked(tmp_path):
        assert run.main([f"--output={tmp_path}", "--number=1"]) == 1
    assert "Another process is at work in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--model=mnist/fc100-100", "mnist/fc100-100-10"),
        ("--bounds=0,x", "must be two numbers"),
        ("--targets=²", "`targets` must be an integer array or one of 'random'"),
        ("--targets=--5", "`targets` must be an integer array or one of 'random'"),
        ("--targets=" + "9" * 30, "`targets` must be"),
        ("--targets=-5", "must lie between 0 and 9"),
        ("--loss=?", "'cross_entropy', 'margin'"),
        ("--solver=?", "'compiled', 'scipy'"),
    ],
    ids=["model", "bounds", "power", "two signs", "30 digits", "below 0", "loss", "solver"],
)
def test_bad_flags_leave_no_folder(flag, words, tmp_path, capsys):
    assert run.main([flag, f"--output={tmp_path / 'out'}"]) == 1
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_pngs_of_tables_are_refused_before_the_attack(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("intriguing_tf.LBFGSAdversary", None)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", images=np.zeros((3, 4), np.float32))
    flags = [f"--model={tmp_path / 'm.keras'}", f"--data={tmp_path / 'd.npz'}", "--save_images"]
    assert run.main([*flags, f"--output={tmp_path / 'new'}"]) == 1
    assert "--save_images is for images" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
