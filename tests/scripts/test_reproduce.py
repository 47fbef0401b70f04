"""itf-reproduce: what its flags ask for. What it measures is tested with the experiments."""

import importlib.util

import pytest
from intriguing_tf.scripts.reproduce import run

from intriguing_tf import experiments


class Reproduction:
    def __str__(self):
        return "the discussion"


@pytest.mark.parametrize(
    "flags, asked, training_seed",
    [
        ([], (1000, 0, ()), None),
        (["--quick", "--seed=3", "--training_seeds=1,2"], (128, 3, (1, 2)), None),
        (["--number=8"], (8, 0, ()), None),
        (["--retrain", "--training_seed=5"], (1000, 0, ()), 5),
    ],
    ids=["by default", "quick", "not retrained", "retrained"],
)
def test_flags(flags, asked, training_seed, tmp_path, monkeypatch, capsys):
    seen = []

    def reproduce(workspace, *arguments):
        seen.append((workspace, arguments))
        return Reproduction()

    monkeypatch.setattr(experiments, "reproduce", reproduce)
    assert run.main([*flags, f"--output={tmp_path}"]) == 0
    ((workspace, arguments),) = seen
    assert arguments == asked and workspace.training_seed == training_seed
    printed = capsys.readouterr().out
    assert "the discussion" in printed and str(tmp_path / "report.html") in printed


def test_more_images_than_a_split_has_are_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiments.Workspace, "images", lambda *_: (range(1000), range(1000)))
    monkeypatch.setattr(experiments.Workspace, "result", None)
    assert run.main(["--number=1001", f"--output={tmp_path / 'new'}"]) == 1
    assert "takes 1001 images of 'train'. Received: a split of 1000" in capsys.readouterr().err
    assert run.main(["--number=500", "--quick", f"--output={tmp_path / 'new'}"]) == 1
    assert "--number does nothing with --quick" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["1", "1,1", "1,-1"])
def test_a_spread_needs_two_seeds(seeds, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiments.Workspace, "result", None)
    flags = [f"--training_seeds={seeds}", "--number=8", f"--output={tmp_path / 'new'}"]
    assert run.main(flags) == 1
    assert "seed" in (shown := capsys.readouterr().err) and seeds in shown


def test_a_log_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    assert run.main([f"--tensorboard={tmp_path / 'file'}"]) == 1
    assert "is a file, where a folder is needed" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run.main([f"--tensorboard={tmp_path / 'log'}"]) == 1
    assert "TensorBoard is not installed" in capsys.readouterr().err
