"""itf-train-adversarial: what its flags ask for. What it trains is tested with the experiments."""

import os
import re

import numpy as np
import pytest
from intriguing_tf.scripts.adversarial_training import run

import intriguing_tf as itf
from intriguing_tf.experiments import adversarial_training, corrupted_split
from intriguing_tf.store import locked

SETS = {"train": "the training set", "test": "the test set"}
PARTS = {None: SETS["train"], "p1": "the first half"}


class Result:
    def __str__(self):
        return "the comparison"

    def table(self):
        return itf.reporting.Table("", ("a",), [("1",)])


@pytest.fixture
def asked(monkeypatch):
    """What the experiments were asked to do."""
    seen = []

    def experiment(name):
        return lambda *args, **kwargs: seen.append((name, args, kwargs)) or Result()

    mnist = {("train", part): images for part, images in PARTS.items()} | {
        ("test", None): SETS["test"]
    }
    monkeypatch.setattr(itf.datasets, "mnist", lambda split, subset=None: mnist[split, subset])
    monkeypatch.setattr(adversarial_training, "compare", experiment("compare"))
    monkeypatch.setattr(corrupted_split, "corrupt_and_retrain", experiment("corrupt"))
    return seen


def test_comparison(asked, tmp_path, capsys):
    flags = ["--methods=decay,gradient", "--seeds=4", "--number=7", "--radius=0.5"]
    assert run.main([*flags, f"--output={tmp_path}"]) == 0
    arguments = (["decay", "gradient"], [4], tmp_path, *SETS.values())
    assert asked == [("compare", arguments, {"attacked": 7, "radius": 0.5})]
    assert "the comparison" in capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == Result().table().markdown() + "\n"


def test_help_names_every_way_to_train(capsys):
    assert run.main(["--help"]) == 0
    lines = re.sub(r"-\n\s+", "-", capsys.readouterr().out)  # names are broken at their hyphens
    names = ", ".join(adversarial_training.METHODS)
    assert f"ways to train, of {names}, or paths of recipes" in " ".join(lines.split())
    assert all(adversarial_training.load_method(name) for name in adversarial_training.METHODS)


def test_validation_leaves_the_test_set_alone(asked, tmp_path):
    assert run.main(["--validation", f"--output={tmp_path}"]) == 0
    assert asked[0][1][-2:] == ("the training set", None)


@pytest.mark.parametrize(("name", "part"), [("mnist/conv", None), ("mnist/fc100-100-10-p1", "p1")])
def test_corrupted_split_is_of_the_recipes_images(name, part, asked, tmp_path):
    assert run.main(["--corrupted_split", f"--recipe={name}", f"--output={tmp_path}"]) == 0
    arguments = (itf.publishing.load_recipe(name), tmp_path, PARTS[part], SETS["test"])
    assert asked == [("corrupt", arguments, {"attacked": 256})]


@pytest.mark.parametrize("flags", [[], ["--corrupted_split"]])
def test_a_folder_in_which_another_process_is_at_work_is_refused(
    monkeypatch, tmp_path, capsys, flags
):
    some = np.zeros((2, 28, 28, 1), np.float32), np.zeros(2, np.int64)
    monkeypatch.setattr(itf.datasets, "mnist", lambda *which: some)
    with locked(tmp_path):
        assert run.main([*flags, f"--output={tmp_path}"]) == 1
    assert "Another process is at work" in capsys.readouterr().err
    assert os.listdir(tmp_path) == [".lock"]
