"""Networks of keras.applications take pixels in [0, 1]."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf


@pytest.mark.slow
def test_keras_applications_take_pixels():
    model = itf.models.keras_application("MobileNetV2", weights=None)
    images = np.random.default_rng(0).uniform(size=(1, 224, 224, 3)).astype("float32")
    network = model.layers[-1]
    pixels = keras.applications.mobilenet_v2.preprocess_input(255 * images)
    np.testing.assert_allclose(model(images), network(pixels), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="MobileNetV2"):
        itf.models.keras_application("NoSuchNet")


@pytest.mark.parametrize("kind", [OSError, Exception], ids=lambda kind: kind.__name__)
def test_weights_that_cannot_be_had_are_a_value_error(monkeypatch, kind):
    """Keras raises a plain Exception where a download fails."""

    def fail(weights):
        raise kind("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(ValueError, match=r"URL fetch failure\. Without a network, put the file"):
        itf.models.keras_application("VGG16")
