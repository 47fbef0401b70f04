"""What float32 computes lies within the errors of the evaluation in float64."""

from __future__ import annotations

import numpy as np
import pytest
from keras import layers

from intriguing_tf.keras_graph import float64_copy
from intriguing_tf.lipschitz.evaluation import Evaluator
from tests.lipschitz.small_networks import sequential

IMAGES = np.random.default_rng(0).normal(size=(4, 5, 4, 2)).astype("float32")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(
    "make",
    [
        lambda kind: layers.UpSampling2D(2, interpolation=kind),
        lambda kind: layers.Resizing(3, 7, interpolation=kind),
    ],
    ids=["up", "resized"],
)
def test_resampled_images_have_errors(make, interpolation):
    model = sequential((5, 4, 2), make(interpolation), layers.Flatten(), layers.Dense(3))
    found = Evaluator(float64_copy(model), single=True)(IMAGES)
    differences = np.abs(model(IMAGES).numpy() - found.logits)
    errors = found.errors(unit=2.0**-24, rounded=True)
    assert np.all(differences <= errors)
    assert errors.max() < 1e-3
