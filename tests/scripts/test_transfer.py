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
