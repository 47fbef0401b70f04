import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.experiments import ImagenetTransfer, at_size


@pytest.mark.slow
def test_transfer_resumes_and_refuses_other_attacks(tmp_path, linear_network, images, quick):
    models = {"one": linear_network(0), "two": linear_network(7)}
    x = images(6)
    labels = models["one"].predict(x, verbose=0).argmax(-1)
    experiment = ImagenetTransfer(stddevs=(0.05,), options=quick)
    matrix = experiment.run(models, x, labels, tmp_path)
    assert matrix["undistorted", "one"] == 0
    assert matrix["for one", "one"] == 1
    assert matrix.rows[-1] == "Gaussian noise 0.05" and len(matrix.rows) == 6
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    assert before
    again = experiment.run(models, x, labels, tmp_path)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    np.testing.assert_array_equal(again.errors, matrix.errors)
    for other in (
        lambda: experiment.run(models, images(6, seed=5), labels, tmp_path),
        lambda: experiment.run(models | {"two": linear_network(8)}, x, labels, tmp_path),
        lambda: dataclasses.replace(experiment, seed=1).run(models, x, labels, tmp_path),
    ):
        with pytest.raises(ValueError, match="holds another sweep"):
            other()
    with pytest.raises(ValueError, match="one size"):
        experiment.run({"one": models["one"], "big": linear_network(size=16)}, x, labels)
    resized = at_size(linear_network(size=16), (12, 12))
    np.testing.assert_allclose(
        resized(x), linear_network(size=16)(tf.image.resize(x, (16, 16))), rtol=1e-4, atol=1e-4
    )
