"""The unsupervised objective against NumPy, and training that lowers it."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.experiments import ReconstructionICA, train_features
from intriguing_tf.layers import L2Pooling2D, LocallyConnected2D


def test_objective_is_reconstruction_plus_pooled_sparsity():
    images = np.random.default_rng(0).uniform(size=(4, 7, 6, 2)).astype("float32")
    filtering = LocallyConnected2D(3, 3, use_bias=False)
    stage = ReconstructionICA(filtering, L2Pooling2D(2, epsilon=1e-3), sparsity=0.7)
    reconstructed = stage(images).numpy()
    # The filters as one matrix, column by column.
    basis = np.eye(7 * 6 * 2, dtype="float32").reshape(-1, 7, 6, 2)
    matrix = filtering(basis).numpy().reshape(84, -1)
    codes = images.reshape(4, -1) @ matrix
    np.testing.assert_allclose(reconstructed.reshape(4, -1), codes @ matrix.T, rtol=1e-3, atol=1e-5)
    squares = (codes**2).reshape(4, 5, 4, 3)
    pooled = sum(squares[:, i : i + 4, j : j + 3] for i in (0, 1) for j in (0, 1))
    error = ((codes @ matrix.T - images.reshape(4, -1)) ** 2).sum(1).mean()
    expected = error + 0.7 * np.sqrt(1e-3 + pooled).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(sum(stage.losses), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="at least 0"):
        ReconstructionICA(filtering, L2Pooling2D(2), sparsity=-1.0)
    with pytest.raises(TypeError, match=r"`sparsity` must be one number. Received: 'a'"):
        ReconstructionICA(filtering, L2Pooling2D(2), sparsity="a")


@pytest.mark.slow
def test_training_lowers_the_objective_of_every_stage():
    images = itf.datasets.mnist_sample()[0][:200, 8:20, 8:20]
    config = itf.models.QuocNetConfig((12, 12, 1), (3, 2), maps=2, pool_size=2, contrast_size=3)
    settings = {"batch_size": 50, "learning_rate": 3e-3, "seed": 1}
    trained = train_features(config, images, epochs=8, **settings)
    keras.utils.set_random_seed(1)
    untrained = itf.models.quocnet(config)
    again = train_features(config, images, epochs=8, **settings)
    below = images
    for i in (1, 2):
        losses = []
        for features in (trained, untrained):
            stage = ReconstructionICA(
                features.get_layer(f"filtering_{i}"), features.get_layer(f"pooling_{i}")
            )
            stage(below)
            losses.append(float(sum(stage.losses)))
        assert losses[0] < 0.8 * losses[1]
        part = keras.Model(trained.input, trained.get_layer(f"contrast_{i}").output)
        below = part.predict(images, verbose=0)
    for ours, theirs in zip(trained.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_images_of_another_shape_are_refused():
    config = itf.models.QuocNetConfig((12, 11, 2), (4, 3), maps=3, pool_size=2, contrast_size=3)
    with pytest.raises(ValueError, match=r"\[n, 12, 11, 2\]"):
        train_features(config, np.zeros((3, 28, 28, 1), "float32"))
    with pytest.raises(ValueError, match=r"number of images.*Received: 0"):
        train_features(config, np.zeros((0, 12, 11, 2), "float32"))
