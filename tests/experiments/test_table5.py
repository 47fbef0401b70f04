"""Table 5: the layers of AlexNet."""

from __future__ import annotations

import numpy as np
import pytest

import intriguing_tf as itf


@pytest.mark.slow
def test_table_5_of_a_small_alexnet_and_of_kernels_agree():
    rng = np.random.default_rng(0)
    kernels = {
        "conv3/kernel": rng.normal(size=(3, 3, 8, 16)),
        "fc8/kernel": rng.normal(size=(9, 4)),
    }
    result = itf.experiments.Table5.of_kernels(kernels)
    assert set(result.bounds) == {"Conv 3", "FC 3"}
    assert result.bounds["FC 3"] == itf.lipschitz.dense_norm(kernels["fc8/kernel"])
    assert result.bounds["Conv 3"] == itf.lipschitz.conv_norm(
        kernels["conv3/kernel"], (13, 13), padding="same"
    )
    text = str(result)
    assert "FC 1" in text and "2.75" in text and "empty" in text
    with pytest.raises(ValueError, match="conv1/kernel"):
        itf.experiments.Table5.of_kernels({})
