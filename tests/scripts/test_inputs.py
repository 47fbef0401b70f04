"""What names on command lines become."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from intriguing_tf.scripts import inputs

import intriguing_tf as itf


def own_loss(labels, predictions):
    return keras.ops.mean(predictions)


class OwnMetric(keras.metrics.Mean):
    pass


class OwnOptimizer(keras.optimizers.SGD):
    pass


@pytest.fixture
def network():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            itf.layers.LocalResponseNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model.compile(OwnOptimizer(), own_loss, [OwnMetric()])
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_loads_whatever_it_was_compiled_with(network, tmp_path, suffix):
    network.save(tmp_path / f"my{suffix}")
    code = (  # another process: this one has imported the layers and knows the classes
        "import sys, numpy as np\n"
        "from intriguing_tf.scripts.inputs import load_model\n"
        "x = np.linspace(0, 1, 72, dtype='float32').reshape(1, 6, 6, 2)\n"
        "np.save(sys.argv[2], load_model(sys.argv[1])(x).numpy())"
    )
    out = tmp_path / "out.npy"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / f"my{suffix}", out], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    x = np.linspace(0, 1, 72, dtype="float32").reshape(1, 6, 6, 2)
    np.testing.assert_allclose(np.load(out), network(x).numpy(), rtol=1e-6)


def test_names_of_the_zoo_and_of_applications(monkeypatch):
    assert inputs.load_model("mnist/fc10-1").count_params() == 7850
    asked = []
    monkeypatch.setattr(itf.models, "keras_application", lambda *given: asked.append(given))
    inputs.load_model("applications/MobileNetV2")
    inputs.load_model("applications/MobileNetV2", application_weights=None)
    assert asked == [("MobileNetV2", "imagenet"), ("MobileNetV2", None)]


def test_home_is_expanded(network, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    network.save(tmp_path / "my.keras")
    assert inputs.load_model("~/my.keras").count_params() == network.count_params()


@pytest.mark.parametrize(
    "name, error, words",
    [
        ("my.keras", FileNotFoundError, "no such file: my.keras"),
        ("folder/my.h5", FileNotFoundError, "no such file: folder/my.h5"),
        ("my_model", ValueError, "no such file: my_model"),
        ("fc100-100-10", ValueError, "Did you mean 'mnist/fc100-100-10'"),
        ("mnist/fc10-7", ValueError, "The zoo has no entry 'mnist/fc10-7'. Did you mean"),
        (__file__, ValueError, "a .keras or .h5 file"),
    ],
    ids=["keras file", "h5 file", "no suffix", "no family", "zoo", "other file"],
)
def test_wrong_names_of_models(name, error, words):
    with pytest.raises(error, match=words):
        inputs.check_model(name)
    with pytest.raises(error, match=words):
        inputs.load_model(name)


def test_a_damaged_model_file_is_named(tmp_path):
    (tmp_path / "my.keras").write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"Keras cannot load .*my\.keras"):
        inputs.load_model(str(tmp_path / "my.keras"))


@pytest.fixture
def twenty(tmp_path):
    images = np.random.default_rng(0).random((20, 4), "float32")
    np.savez(tmp_path / "my.npz", images=images, labels=np.arange(20))
    return str(tmp_path / "my.npz")


def test_all_images_of_a_file_without_a_number(twenty):
    images, labels = inputs.load_images(twenty, of_mnist=64)
    assert len(images) == 20 and labels.tolist() == [*range(20)]
    assert len(inputs.load_images(twenty, 3)[0]) == 3
    with pytest.raises(ValueError, match=r"from 1 to 20 .* Received: 21"):
        inputs.load_images(twenty, 21)


def test_so_many_of_mnist_without_a_number():
    images, labels = itf.datasets.mnist_sample()
    assert len(inputs.load_images("sample")[0]) == 1000
    first, _ = inputs.load_images("sample", of_mnist=64)
    np.testing.assert_array_equal(first, images[:64])
    scaled, same = inputs.load_images("sample", 5, (-1.0, 1.0), of_mnist=64)
    np.testing.assert_allclose(scaled, 2 * images[:5] - 1, atol=1e-6)
    np.testing.assert_array_equal(same, labels[:5])


@pytest.mark.parametrize(
    "write, words",
    [
        (lambda path: path.write_bytes(b""), "is not an .npz file"),
        (lambda path: path.write_bytes(b"PK\x03\x04damaged"), "is not an .npz file"),
        (lambda path: np.savez(path, images=np.ones(3)), "holds \\['images'\\]"),
    ],
    ids=["empty", "damaged", "no labels"],
)
def test_a_wrong_npz_file_is_named(write, words, tmp_path):
    write(tmp_path / "my.npz")
    with pytest.raises(ValueError, match=words):
        inputs.load_images(str(tmp_path / "my.npz"))


def test_wrong_names_of_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: my\.npz"):
        inputs.load_images("my.npz")
    with pytest.raises(ValueError, match="the bundled 'sample'"):
        inputs.load_images(__file__)


def test_image_files_are_those_named_and_those_in_folders(tmp_path):
    folder = tmp_path / "n01518878"
    folder.mkdir()
    picture = folder / "x.png"
    picture.write_bytes(tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy())
    for named in ([tmp_path], [folder], [picture]):
        assert inputs.image_files([str(path) for path in named]) == [picture]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        inputs.image_files([str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="name image files"):
        inputs.image_files([])


def test_size_of_images(network):
    rgb = keras.Sequential([keras.Input((12, 8, 3)), keras.layers.Flatten()])
    assert inputs.size_of_images(rgb) == (12, 8)
    with pytest.raises(ValueError, match=r"must take images .* Received: \(6, 6, 2\)"):
        inputs.size_of_images(network)
