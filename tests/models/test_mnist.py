"""The paper's MNIST networks: shapes, functions, decay, and files that plain Keras opens."""

import json

import keras
import numpy as np
import pytest

from intriguing_tf import datasets, models
from intriguing_tf.models.mnist import sparse_autoencoder

WIDTHS = {
    "fc10": [10],
    "fc100_100_10": [100, 100, 10],
    "fc200_200_10": [200, 200, 10],
    "fc123_456_10": [123, 456, 10],
    "ae400_10": [400, 10],
}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.fixture(scope="module")
def images():
    return datasets.mnist_sample()[0][:8]


@pytest.mark.parametrize(("builder", "widths"), WIDTHS.items())
def test_perceptrons_are_sigmoid_layers_under_linear_logits(builder, widths, images):
    model = getattr(models, builder)()
    weights = [w.astype(np.float64) for w in model.get_weights()]
    assert [w.shape[1] for w in weights[0::2]] == widths
    values = images.reshape(len(images), -1).astype(np.float64)
    for kernel, bias in zip(weights[0:-2:2], weights[1:-2:2], strict=True):
        values = sigmoid(values @ kernel + bias)
    expected = values @ weights[-2] + weights[-1]
    assert model.input_shape == (None, 28, 28, 1)
    np.testing.assert_allclose(model(images).numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("builder", "decay"),
    [
        ("fc10", [0.3]),
        ("fc100_100_10", [0.1, 0.2, 0.3]),
        ("fc200_200_10", [0.1, 0.2, 0.3]),
        ("fc123_456_10", [0.1, 0.2, 0.3]),
        ("ae400_10", [0.0, 0.3]),
        ("conv", [0.2, 0.2, 0.2]),
    ],
)
def test_decay_is_lambda_times_squared_weights_over_units(builder, decay):
    argument = decay if len(decay) == 3 and builder != "conv" else decay[-1]
    model = getattr(models, builder)(weight_decay=argument)
    kernels = [w for w in model.get_weights() if w.ndim > 1]
    expected = sum(
        lam * np.sum(kernel.astype(np.float64) ** 2) / kernel.shape[-1]
        for lam, kernel in zip(decay, kernels, strict=True)
    )
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_paper_decay_is_the_default():
    model = models.fc100_100_10()
    rates = [layer.kernel_regularizer.l2 for layer in model.layers[1:]]
    assert rates == pytest.approx([1e-5 / 100, 1e-5 / 100, 1e-6 / 10])


def test_features_of_the_autoencoder_are_not_fine_tuned():
    model = models.ae400_10()
    assert model.trainable_variables == model.get_layer("logits").variables


def test_conv_is_one_convolution_pooling_one_dense_layer_dropout(images):
    model = models.conv(filters=4, units=16, dropout=0.5)
    kernel, bias, w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    windows = np.lib.stride_tricks.sliding_window_view(images[..., 0], (5, 5), axis=(1, 2))
    maps = np.maximum(np.einsum("nijhw,hwf->nijf", windows, kernel[:, :, 0]) + bias, 0)
    pooled = maps.reshape(len(images), 8, 3, 8, 3, 4).max((2, 4)).reshape(len(images), -1)
    expected = np.maximum(pooled @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(model(images, training=False).numpy(), expected, atol=1e-5)
    assert not np.allclose(model(images, training=True).numpy(), expected, atol=1e-3)


def test_sparse_autoencoder_reconstructs_from_its_code(images):
    model = sparse_autoencoder(units=7, weight_decay=0.5)
    kernel, bias, back, offset = (w.astype(np.float64) for w in model.get_weights())
    reconstruction, code = model(images)
    expected = sigmoid(images.reshape(len(images), -1) @ kernel + bias)
    np.testing.assert_allclose(code.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(reconstruction.numpy(), expected @ back + offset, atol=1e-5)
    decay = 0.5 * (np.sum(kernel**2) + np.sum(back**2))
    assert float(sum(model.losses)) == pytest.approx(decay, rel=1e-5)


@pytest.mark.parametrize("builder", [*WIDTHS, "conv"])
def test_saved_file_is_plain_keras(builder, images, tmp_path):
    model = getattr(models, builder)()
    model.save(tmp_path / "model.keras")
    assert "intriguing_tf" not in json.dumps(model.get_config())
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(model(images).numpy(), again(images).numpy())


@pytest.mark.parametrize("decay", [-1.0, float("nan"), float("inf")])
def test_impossible_decay_is_refused(decay):
    with pytest.raises(ValueError, match="weight_decay"):
        models.fc10(weight_decay=decay)


@pytest.mark.parametrize("decay", [1e-4, (1e-4, 1e-4)])
def test_one_decay_per_layer(decay):
    with pytest.raises(ValueError, match="one λ for each of the 3 layers"):
        models.fc100_100_10(weight_decay=decay)


def test_dropout_and_activation_of_the_hidden_layers():
    model = models.fc100_100_10(activation="relu", dropout=0.3)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert {layer.rate for layer in model.layers if "dropout" in layer.name} == {0.3}
    activations = [model.get_layer(name).activation.__name__ for name in ("fc1", "fc2", "logits")]
    assert activations == ["relu", "relu", "linear"]
    for dropout in (-0.1, 1.0):
        with pytest.raises(ValueError, match="dropout must lie in"):
            models.fc100_100_10(dropout=dropout)


def test_group_sort_sorts_pairs_between_its_layers():
    model = models.group_sort(units=6, depth=2)
    assert [layer.name for layer in model.layers] == [
        *("flatten", "fc1", "sort1", "fc2", "sort2", "logits")
    ]
    below = keras.Model(model.inputs, model.get_layer("sort2").output)
    pairs = below(np.random.default_rng(0).random((3, 28, 28, 1))).numpy().reshape(3, 3, 2)
    assert (pairs[..., 0] < pairs[..., 1]).all()
    kernel = model.get_layer("fc1").kernel.numpy()
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(6), atol=1e-5)
    assert models.group_sort(4, 1, "relu").layers[2].activation is keras.activations.relu


@pytest.mark.parametrize("arguments", [{"units": 0}, {"depth": 0}, {"units": 3}])
def test_group_sort_needs_pairs(arguments):
    with pytest.raises(ValueError, match=r"positive integer|multiple of group_size=2"):
        models.group_sort(**arguments)
