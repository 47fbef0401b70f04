"""itf-transfer, from flags to files."""

import json

import keras
import numpy as np
import pytest
from intriguing_tf.scripts.transfer import run

import intriguing_tf as itf


@pytest.mark.slow
def test_transfer_prints_the_matrix_and_keeps_the_images(tmp_path, capsys):
    folder = tmp_path / "transfer"
    models = "mnist/fc10-1e-2,mnist/fc10-1"
    flags = [f"--models={models}", "--number=6", "--noise=0.3", f"--output={folder}"]
    assert run.main(flags) == 0
    assert "av. distortion" in capsys.readouterr().out
    values = json.loads((folder / "errors.json").read_text())
    assert values["columns"] == models.split(",")
    for counts in values["attacks"].values():
        assert list(counts) == ["found", "already", "failed"] and sum(counts.values()) == 6
    assert [r.split(",")[0] for r in values["rows"]] == [
        "undistorted",
        *("for mnist/fc10-1e-2",) * 2,
        *("for mnist/fc10-1",) * 2,
        "Gaussian noise 0.3",
    ]
    errors = np.array(values["errors"])
    assert errors[1, 0] == errors[3, 1] == 1
    kept = itf.AdversarialResult.load(folder / "adversarial" / "mnist_fc10-1.npz")
    wrong = np.asarray(itf.zoo.load("mnist/fc10-1e-2")(kept.images)).argmax(1)
    labels = itf.datasets.mnist_sample()[1][:6]
    assert errors[3, 0] == pytest.approx((wrong != labels).mean())


@pytest.mark.slow
@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.drawn(1)
def test_what_saved_models_return_is_said_by_a_flag(units, tmp_path, capsys):
    keras.utils.set_random_seed(0)
    end = "softmax" if units > 1 else "sigmoid"
    layers = [keras.Input((6,)), keras.layers.Dense(units), keras.layers.Activation(end)]
    model = keras.Sequential(layers)
    model.save(tmp_path / "file.keras")
    model.export(tmp_path / "saved", verbose=False)
    images = np.random.default_rng(0).random((9, 6), "float32")
    scores = model.predict(images, verbose=0)
    labels = (scores[:, 0] > 0.5) if units == 1 else scores.argmax(axis=1)
    np.savez(tmp_path / "d.npz", images=images, labels=labels.astype(int))
    models = ",".join(str(tmp_path / name) for name in ("file.keras", "saved"))
    flags = [f"--models={models}", f"--data={tmp_path / 'd.npz'}", f"--output={tmp_path / 'out'}"]
    assert run.main(flags) == 1 and "outputs=" in capsys.readouterr().err
    assert run.main([*flags, "--outputs=probabilities", "--noise=", "--amplify="]) == 0
    errors = np.array(json.loads((tmp_path / "out" / "errors.json").read_text())["errors"])
    np.testing.assert_array_equal(errors[0], [0, 0])
    assert errors[1, 0] == errors[2, 1] == 1 and np.isin(errors, np.arange(10) / 9).all()


def test_a_model_named_twice_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run.main(["--models=mnist/fc10-1,mnist/fc10-1"]) == 1
    assert "Received: mnist/fc10-1,mnist/fc10-1." in capsys.readouterr().err


def test_models_whose_files_would_be_the_same_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for file in ("a_b.keras", "a/b.keras"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert run.main(["--models=a_b.keras,a/b.keras"]) == 1
    assert "more than / and _" in capsys.readouterr().err and not (tmp_path / "transfer").exists()


def test_models_with_long_paths_have_files(tmp_path, capsys):
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    for name in ("a", "b"):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.save(folder / f"{name * 60}.keras")
    images = np.random.default_rng(0).random((2, 4), "float32")
    np.savez(tmp_path / "d.npz", images=images, labels=[0, 1])
    models = ",".join(str(folder / f"{name * 60}.keras") for name in ("a", "b"))
    flags = [f"--models={models}", f"--data={tmp_path / 'd.npz'}", f"--output={tmp_path / 'out'}"]
    assert run.main([*flags, "--noise=", "--amplify="]) == 0, capsys.readouterr().err
    files = [each.suffix for each in (tmp_path / "out" / "adversarial").iterdir()]
    assert sorted(files) == [".json", ".json", ".npz", ".npz"]


@pytest.mark.slow
def test_transfer_is_the_same_in_other_bounds(tmp_path):
    network = itf.zoo.load("mnist/fc10-1")
    rescaled = keras.Sequential(
        [keras.Input(network.input_shape[1:]), keras.layers.Rescaling(0.5, 0.5), network]
    )
    rescaled.save(tmp_path / "rescaled.keras")
    values = []
    for model, bounds in (("mnist/fc10-1", "0,1"), (tmp_path / "rescaled.keras", "-1,1")):
        folder = tmp_path / bounds
        arguments = (f"--models={model}", f"--bounds={bounds}", f"--output={folder}", "--number=8")
        assert run.main(arguments) == 0
        values.append(json.loads((folder / "errors.json").read_text()))
    assert values[0]["errors"] == values[1]["errors"]
    np.testing.assert_allclose(values[0]["distortions"], values[1]["distortions"], rtol=1e-3)


@pytest.mark.parametrize("wrong", ["shape", "labels", "noise", "amplify"])
def test_what_does_not_fit_is_told_before_the_attacks(wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(itf, "LBFGSAdversary", None)
    for name, size in (("a", 4), ("b", 5)):
        layers = [keras.Input((size if wrong == "shape" else 4,)), keras.layers.Dense(3)]
        keras.Sequential(layers).save(tmp_path / f"{name}.keras")
    arrays = {"images": np.zeros((3, 4), np.float32), "labels": np.arange(3)}
    if wrong == "labels":
        del arrays["labels"]
    np.savez(tmp_path / "d.npz", **arrays)
    models = f"--models={tmp_path / 'a.keras'},{tmp_path / 'b.keras'}"
    flags = [models, f"--data={tmp_path / 'd.npz'}", f"--output={tmp_path / 'out'}"]
    flags += [f"--{wrong}=-0.1"] if wrong in ("noise", "amplify") else []
    assert run.main(flags) == 1
    assert {"shape": "takes images", "labels": "must have labels"}.get(
        wrong, "at least 0"
    ) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
