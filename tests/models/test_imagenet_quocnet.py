"""QuocNet: its size on paper, its build, and its unsupervised objective against NumPy."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.experiments import ReconstructionICA, train_features
from intriguing_tf.layers import L2Pooling2D, LocallyConnected2D

SMALL = itf.models.QuocNetConfig((12, 11, 2), (4, 3), maps=3, pool_size=2, contrast_size=3)


def test_full_size_is_counted_without_being_made():
    config = itf.models.QuocNetConfig()
    by_hand = 0
    side, channels = 200, 3
    for _ in range(3):
        side = side - 18 + 1
        by_hand += side * side * (18 * 18 * channels) * 8
        side, channels = side - 5 + 1, 8
    assert config.parameters == by_hand == 1_216_858_464
    assert config.output_shapes()[-1] == (side, side, 8)
    assert "1,216,858,464 weights" in str(config)


def test_built_network_has_the_sizes_on_paper():
    features = itf.models.quocnet(SMALL)
    assert features.count_params() == SMALL.parameters
    assert features.output_shape == (None, *SMALL.output_shapes()[-1])
    kernels = [tuple(features.get_layer(f"filtering_{i}").kernel.shape) for i in (1, 2)]
    assert kernels == SMALL.filter_shapes()
    classifier = itf.models.with_binary_classifier(features)
    assert classifier.output_shape == (None, 1)


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"receptive_fields": (18,) * 12}, "Stage 10 does not fit"),
        ({"maps": 0}, "`maps` must be a positive integer"),
        ({"receptive_fields": ()}, "a stage at least"),
        ({"contrast_size": 4}, "must be odd"),
        ({"contrast_size": float("nan")}, "must be a positive integer"),
    ],
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        itf.models.QuocNetConfig(**sizes)


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


@pytest.mark.slow
def test_training_lowers_the_objective_of_every_stage():
    images = itf.datasets.mnist_sample()[0][:200, 8:20, 8:20]
    config = itf.models.QuocNetConfig((12, 12, 1), (4, 3), maps=2, pool_size=2, contrast_size=3)
    settings = {"batch_size": 50, "learning_rate": 3e-3, "seed": 1}
    trained = train_features(config, images, epochs=8, **settings)
    untrained = train_features(config, images, epochs=1, **settings | {"learning_rate": 1e-9})
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
    with pytest.raises(ValueError, match=r"\[n, 12, 11, 2\]"):
        train_features(SMALL, np.zeros((3, 28, 28, 1), "float32"))


def test_keras_applications_take_pixels():
    model = itf.models.keras_application("MobileNetV2", weights=None)
    images = np.random.default_rng(0).uniform(size=(1, 224, 224, 3)).astype("float32")
    network = model.layers[-1]
    pixels = keras.applications.mobilenet_v2.preprocess_input(255 * images)
    np.testing.assert_allclose(model(images), network(pixels), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="MobileNetV2"):
        itf.models.keras_application("NoSuchNet")
