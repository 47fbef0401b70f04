"""itf-lipschitz, from flags to files."""

import json

import keras
import numpy as np
import pytest
from intriguing_tf.scripts.lipschitz import run

import intriguing_tf as itf
from intriguing_tf import experiments


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


def test_infinite_radii_are_null_in_json(tmp_path, monkeypatch):
    found = experiments.Sandwich(np.array([1.0, np.inf]), np.array([np.inf, np.inf]))
    monkeypatch.setattr(experiments.Sandwich, "of", lambda *_: found)
    assert run.main(["--model=mnist/fc10-1", "--number=2", f"--output={tmp_path}"]) == 0
    values = json.loads((tmp_path / "bounds.json").read_text())
    assert (values["certified"], values["found"]) == ([1.0, None], [None, None])


def test_networks_of_applications_have_random_weights(monkeypatch, capsys):
    def build(name, weights):
        assert (name, weights) == ("VGG16", None)
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    monkeypatch.setattr(itf.models, "keras_application", build)
    assert run.main(["--model=applications/VGG16"]) == 0
    printed = capsys.readouterr()
    assert "Dense" in printed.out and "applications/VGG16:imagenet" in printed.err


@pytest.mark.parametrize("layers", [["Flatten"], ["Reshape"], ["Dense", "Flatten"]])
def test_a_model_without_weights_has_no_picture(layers, tmp_path, monkeypatch, capsys):
    def build(name, weights):
        made = {"Flatten": keras.layers.Flatten, "Dense": lambda: keras.layers.Dense(2)}
        made["Reshape"] = lambda: keras.layers.Reshape((4, 1))
        return keras.Sequential([keras.Input((2, 2)), *(made[each]() for each in layers)])

    monkeypatch.setattr(itf.models, "keras_application", build)
    assert run.main(["--model=applications/VGG16", f"--output={tmp_path / 'out'}"]) == 0
    files = {"bounds.md", "bounds.json"} | ({"layers.svg"} if "Dense" in layers else set())
    assert {file.name for file in (tmp_path / "out").glob("[!.]*")} == files


def test_no_picture_is_drawn_that_nobody_wants(monkeypatch, capsys):
    monkeypatch.setattr(itf.reporting, "layer_bars", None, raising=False)
    assert run.main(["--model=mnist/fc10-1"]) == 0


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path.read_bytes()


def test_a_wrong_file_of_kernels_is_one_line(tmp_path, capsys):
    good = npz(tmp_path / "good.npz", **{"fc8/kernel": np.ones((3, 2))})
    np.save(tmp_path / "x.npy", np.ones(3))
    wrong = [b"", b"text", good[:-40], good[:90], (tmp_path / "x.npy").read_bytes()]
    for content in wrong:
        (tmp_path / "my.npz").write_bytes(content)
        assert run.main([f"--alexnet_kernels={tmp_path / 'my.npz'}"]) == 1
        error = capsys.readouterr().err
        assert "my.npz is not an .npz file" in error and error.count("\n") == 1
    np.savez(tmp_path / "my.npz", x=np.ones(3))
    assert run.main([f"--alexnet_kernels={tmp_path / 'my.npz'}"]) == 1
    assert "Received: ['x']" in capsys.readouterr().err


def test_a_file_of_kernels_of_home(tmp_path, monkeypatch, capsys):
    npz(tmp_path / "my.npz", **{"fc8/kernel": np.ones((3, 2))})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run.main(["--alexnet_kernels=~/my.npz", "--output=~/out"]) == 0
    assert (tmp_path / "out" / "table5.md").exists()


def test_one_of_model_and_kernels(capsys):
    assert run.main([]) == 1
    assert "give --model or --alexnet_kernels" in capsys.readouterr().err
    assert run.main(["--alexnet_kernels=no.npz"]) == 1
    assert "no such file: no.npz" in capsys.readouterr().err


def test_images_that_do_not_fit_are_told_before_the_bounds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(itf.lipschitz, "bound", None)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", images=np.zeros((3, 5), np.float32))
    flags = [f"--model={tmp_path / 'm.keras'}", f"--data={tmp_path / 'd.npz'}"]
    assert run.main([*flags, "--number=3"]) == 1
    assert "must have shape (n, 4)" in capsys.readouterr().err


def test_data_without_a_number_is_not_passed_over_in_silence(tmp_path, capsys):
    assert run.main(["--model=mnist/fc10-1", "--data=sample"]) == 0
    assert "--data is looked at with --number" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given, words",
    [
        ("--model=mnist/fc10-1 --radius=local", "--radius needs --number"),
        ("--model=mnist/fc10-1 --bounds=0,1", "--bounds needs --number"),
        ("--model=mnist/fc10-1 --class_names=imagenet", "--class_names needs --number"),
        ("--alexnet_kernels=k.npz --method=quick", "--method needs --model"),
        ("--alexnet_kernels=k.npz --number=3", "--number needs --model"),
        ("--model=mnist/fc10-1 --domain=0,1 --number=3", "leave out --domain or --number"),
    ],
)
def test_flags_that_do_nothing_are_refused(given, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    npz(tmp_path / "k.npz", **{"fc8/kernel": np.ones((3, 2))})
    monkeypatch.setattr("intriguing_tf.scripts.inputs.load_model", None)
    assert run.main(given.split()) == 1
    assert words in capsys.readouterr().err


def test_bounds_stay_where_radii_fail(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise itf.lipschitz.NoBoundError("no bound of rounding errors")

    monkeypatch.setattr("intriguing_tf.experiments.sandwich.certified_radius", fail)
    monkeypatch.setattr("intriguing_tf.experiments.sandwich.LBFGSAdversary", None)
    flags = ["--model=mnist/fc10-1", "--number=3", f"--output={tmp_path / 'out'}"]
    assert run.main(flags) == 1
    printed = capsys.readouterr()
    assert "total" in printed.out and "error: no bound of rounding errors" in printed.err
    assert {f.name for f in (tmp_path / "out").glob("[!.]*")} == {
        "bounds.md", "bounds.json", "layers.svg",
    }  # fmt: skip
